"""The conditions of the filters of workspaces, for lists and compiled reads.

Texts are compared as they are: no character is a wildcard. All of them are in lower case.
"""

from typing import Any

from django.db.models import Exists, OuterRef, Q, Value
from django.db.models.functions import Lower, StrIndex
from django.db.models.lookups import GreaterThan

from provisioning.engine.base import Transition
from provisioning.models import WorkspaceAgent, agent_status_expression
from templates_app.workspaces.models.builds import BuildStatus, build_status_expression


def is_owned_by(username: Any) -> Q:
    """Match the workspaces of an existing user."""
    return Q(owner__username__iexact=username, owner__deleted=False)


def name_contains(text: Any) -> Q:
    """Match the workspaces whose name contains the text; the empty text matches all."""
    return Q(GreaterThan(StrIndex(Lower("name"), Value(text)), 0))


def is_built_from(template_name: Any) -> Q:
    """Match the workspaces of existing templates with this name, of any organization."""
    return Q(template__name__iexact=template_name, template__deleted=False)


def has_agent(status: Any) -> Q:
    """Match the workspaces whose latest build is a start and has an agent with this status."""
    agents = WorkspaceAgent.objects.filter(resource__job=OuterRef("latest_build__job_id"))
    found = agents.alias(status_=agent_status_expression()).filter(status_=status)
    return Q(latest_build__transition=Transition.START.value) & Q(Exists(found))


def in_status(status: Any) -> Q:
    """Match the workspaces that are shown with this status. Deleted workspaces match ``deleted`` only.

    The rows need the alias ``shown_status``.
    """
    return Q(**{SHOWN: status}) & (Q(deleted=False) | Q(**{SHOWN: BuildStatus.DELETED.value}))


SHOWN = "shown_status"


def shown_status() -> dict[str, Any]:
    """Return the alias for ``in_status``."""
    return {SHOWN: build_status_expression("latest_build__")}
