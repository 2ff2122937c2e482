"""Workspaces in the global search."""

from collections.abc import Sequence

from django.db.models import Q

from coderproj.base.identifiers import parse_uuid
from coderproj.console.search import Hit, Source
from coderproj.identity.actor import Actor
from templates_app.workspaces.models import Workspace
from templates_app.workspaces.pages.addresses import workspace_url


def find_workspaces(actor: Actor, text: str, count: int) -> Sequence[Hit]:
    """Return existing workspaces by ID, part of the name, or ``owner/name``."""
    owner, slash, name = text.partition("/")
    matches = Q(name__icontains=text)
    if slash:
        matches = Q(owner__username__iexact=owner.removeprefix("@"), name__icontains=name)
    elif workspace_id := parse_uuid(text):
        matches |= Q(pk=workspace_id)
    rows = Workspace.objects.visible(actor).existing().filter(matches).select_related("owner", "template")
    return [Hit(workspace_url(row), row.name, _note(row), "monitor") for row in rows.order_by("name", "id")[:count]]


def _note(workspace: Workspace) -> str:
    template = workspace.template
    return f"of {workspace.owner.username}, from {template.display_name or template.name}"


SOURCES = [Source("Workspaces", 5, find_workspaces, "/workspaces?show=all&q=")]
