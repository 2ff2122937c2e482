"""The list of workspaces."""

from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.html import format_html
from django.utils.safestring import SafeString

from coderproj.base.errors import Invalid
from coderproj.console import cells
from coderproj.console.lists import Column, Listing
from coderproj.console.paging import slice_of
from coderproj.console.templatetags.console import tile
from coderproj.console.views import SignedInPage
from coderproj.identity.actor import Actor
from templates_app.workspaces.filters import search_workspaces
from templates_app.workspaces.models import BuildStatus, Workspace, build_status_expression
from templates_app.workspaces.models.workspaces import WorkspaceQuerySet
from templates_app.workspaces.pages.addresses import workspace_url
from templates_app.workspaces.pages.cells import outdated_tag, status_chip
from templates_app.workspaces.pages.health import agent_health

PAGE_SIZE = 50
OWN, RUNNING, ALL = "own", "running", "all"
SHOWN = {OWN: "Mine", RUNNING: "Running", ALL: "All"}


# ---------------------------------------------------------------------- cells
def _entity(workspace: Workspace) -> SafeString:
    template = workspace.template
    note = template.display_name or template.name
    return cells.entity(tile(template.icon), workspace.name, note, url=workspace_url(workspace))


def _version(workspace: Workspace) -> SafeString | str:
    build = workspace.latest_build
    if build is None:
        return ""
    name = format_html('<span class="mono">{}</span>', build.template_version.name)
    return format_html("{} {}", name, outdated_tag()) if is_outdated(workspace) else name


def _status(workspace: Workspace) -> SafeString:
    chip = status_chip(workspace.latest_build)
    badge = getattr(workspace, "agent_badge", "")
    return format_html('{} <span class="health">{}</span>', chip, badge) if badge else chip


def is_outdated(workspace: Workspace) -> bool:
    """Return True if the latest build's version is not the template's active one. Needs both."""
    build = workspace.latest_build
    return build is not None and build.template_version_id != workspace.template.active_version_id


JOB_FIELDS = ("started_at", "canceled_at", "completed_at", "error")
WORKSPACE_LIST = Listing[Workspace](
    Column(
        "Workspace",
        _entity,
        ("name", "deleted", "owner__username", "template__name", "template__display_name", "template__icon"),
        "full",
        phone_label="",
    ),
    Column(
        "Status",
        _status,
        ("latest_build__transition", "latest_build__job", *(f"latest_build__job__{name}" for name in JOB_FIELDS)),
        "wide",
    ),
    Column("Owner", lambda row: row.owner.username, ("owner__username",)),
    Column("Version", _version, ("latest_build__template_version__name", "template__active_version"), "wide"),
    Column("Last used", lambda row: cells.ago_or_never(row.last_used_at), ("last_used_at",), "muted number"),
)


class WorkspacesPage(SignedInPage):
    """The visible workspaces: the actor's own ones, all, or those that run, with search in the address."""

    section = "workspaces"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        query = request.GET.get("q", "").strip()
        show = request.GET.get("show", OWN)
        if show not in SHOWN:
            show = OWN
        problem = ""
        try:
            rows = search_workspaces(self.actor, {"q": query})
        except Invalid as error:
            rows, problem = Workspace.objects.none(), " ".join(found.detail for found in error.problems)
        found = slice_of(request, ordered(shown_rows(self.actor, rows, show)), PAGE_SIZE)
        context: dict[str, Any] = {
            "workspaces": table(found.rows),
            "slice": found,
            "q": query,
            "show": show,
            "tabs": SHOWN.items(),
            "problem": problem,
            "list_status": f"{len(found.rows)} workspace{'' if len(found.rows) == 1 else 's'} on this page",
            "is_empty": not (found.rows or query or show == ALL or found.number > 1),
        }
        return self.show("workspaces/workspace_list.html", context, part="workspaces/_workspaces.html")


def shown_rows(actor: Actor, rows: WorkspaceQuerySet, show: str) -> WorkspaceQuerySet:
    """Return the rows of one of the tabs ``SHOWN``."""
    if show == OWN:
        return rows.filter(owner=actor.id)
    if show == RUNNING:
        return rows.alias(status=build_status_expression("latest_build__")).filter(status=BuildStatus.RUNNING)
    return rows


def ordered(rows: WorkspaceQuerySet) -> WorkspaceQuerySet:
    """Return the rows in the order of the list, with the fields that it shows."""
    return WORKSPACE_LIST.fetch(rows.most_recent_first())


def table(rows: Sequence[Workspace], *, without: Sequence[str] = ()) -> Any:
    """Return the rows as a table, without the columns of these headings. One query, for the health of agents."""
    found = agent_health(rows)
    for row in rows:
        health = found.get(row.latest_build.job_id) if row.latest_build is not None else None
        row.agent_badge = health.badge if health is not None else ""  # type: ignore[attr-defined]
    return WORKSPACE_LIST.table(rows, without=without)
