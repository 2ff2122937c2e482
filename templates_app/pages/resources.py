"""The resources of a workspace of a version, while it runs and while it is stopped."""

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.safestring import SafeString

from provisioning.engine.base import Transition
from provisioning.models import JobStatus, WorkspaceResource
from provisioning.pages.parts import shown_agents
from provisioning.pages.resource_graph import DRAWN_AT_MOST, resource_graph
from templates_app.models import TemplateVersion
from templates_app.pages.addresses import template_url
from templates_app.pages.base import TemplateSection
from templates_app.pages.trying import chosen_version, version_names
from templates_app.pages.version import VersionSection


@dataclass(frozen=True, slots=True)
class ResourceSet:
    """The resources in one state of a workspace. ``not_drawn`` are too many for the graph, ``hidden`` those that the
    template hides; ``daily_cost`` is the sum of all, in credits."""

    key: str
    title: str
    sub: str
    none: str
    resources: list[WorkspaceResource]
    graph: SafeString
    not_drawn: int
    hidden: int
    daily_cost: int


# Title, hint, and the text without resources.
WORDS = {
    Transition.START: (
        "While a workspace runs",
        "created when it starts",
        "A workspace of this version has no resources.",
    ),
    Transition.STOP: (
        "While it is stopped",
        "kept when it stops",
        "Nothing is kept: all data of a workspace is deleted when it stops.",
    ),
}


class TemplateResources(TemplateSection):
    """The resources of the active version, or of the one in ``?version=``."""

    tab = "resources"

    def get(self, request: HttpRequest, **route: str) -> HttpResponseBase:
        version = chosen_version(self, request)
        context = {
            "version": version,
            "names": version_names(self),
            "address": template_url(self.template, "template-resources"),
            "sets": resource_sets(version),
        }
        return self.show("templates_app/template_resources.html", self.frame("Resources") | context)


class VersionResources(VersionSection):
    """The resources of a version."""

    tab = "resources"

    def get(self, request: HttpRequest, **route: Any) -> HttpResponseBase:
        context = self.frame("Resources") | {"sets": resource_sets(self.version)}
        return self.show("templates_app/version_resources.html", context)


def resource_sets(version: TemplateVersion, *transitions: Transition) -> list[ResourceSet]:
    """Return the resources in these states, by default of a running and of a stopped workspace. Empty unless the import
    succeeded. At most four queries."""
    if version.job.status != JobStatus.SUCCEEDED:
        return []
    wanted = transitions or tuple(WORDS)
    rows = WorkspaceResource.objects.filter(job=version.job_id, workspace_transition__in=wanted)
    found = list(rows.order_by("name", "type", "position", "id").prefetch_related("metadata", shown_agents()))
    return [_set(each, [row for row in found if row.workspace_transition == each]) for each in wanted]


def _set(transition: Transition, rows: list[WorkspaceResource]) -> ResourceSet:
    title, sub, none = WORDS[transition]
    shown = [row for row in rows if not row.hide]
    agents = sum(len(row.agents.all()) for row in shown)
    label = f"{len(shown)} resource{'' if len(shown) == 1 else 's'} with {agents} agent{'' if agents == 1 else 's'}"
    return ResourceSet(
        key=transition.value,
        title=title,
        sub=sub,
        none=none,
        resources=shown,
        graph=resource_graph(shown, label),
        not_drawn=max(len(shown) - DRAWN_AT_MOST, 0),
        hidden=len(rows) - len(shown),
        daily_cost=sum(row.daily_cost for row in rows),
    )
