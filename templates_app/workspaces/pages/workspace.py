"""The page of a workspace: its status, what runs, its builds, its parameters and its schedule."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from coderproj.base.errors import NotFound
from coderproj.console.lists import Column, Listing
from coderproj.console.paging import slice_of
from coderproj.console.templatetags.console import ago, duration
from coderproj.console.views import SignedInPage
from provisioning.models import JobStatus
from provisioning.pages.log import stage_times
from provisioning.pages.parts import facts_answer, job_context, seconds_run
from templates_app.workspaces.models import BuildStatus, WorkspaceBuild
from templates_app.workspaces.pages import questions
from templates_app.workspaces.pages.addresses import build_url
from templates_app.workspaces.pages.agents import agents_of
from templates_app.workspaces.pages.base import WorkspaceSection
from templates_app.workspaces.pages.cells import build_chip, build_title, log_of, started_by
from templates_app.workspaces.pages.parameters import values_of
from templates_app.workspaces.pages.schedule_text import Times, times_of
from templates_app.workspaces.services import quota, workspaces

BUILDS_SIZE = 10
BUILDS_HEADING = "builds-heading"
# The ID of the element that asks whether another build was started.
PULSE = "workspace-pulse"


@dataclass(frozen=True, slots=True)
class BuildRow:
    """A build in the list, with the seconds of its stages."""

    build: WorkspaceBuild
    url: str
    stages: Sequence[tuple[str, float]]


# ---------------------------------------------------------------------- the list of builds
def _build_link(row: BuildRow) -> SafeString:
    number = row.build.build_number
    return format_html('<a href="{}"><strong>#{} {}</strong></a>', row.url, number, build_title(row.build))


def _stages(row: BuildRow) -> SafeString:
    times = ((stage, duration(seconds)) for stage, seconds in row.stages)
    return format_html_join(" ", '<span class="stage-time">{} <span class="number">{}</span></span>', times)


def _took(row: BuildRow) -> SafeString | str:
    return duration(seconds_run(row.build.job))


JOB_FIELDS = ("started_at", "canceled_at", "completed_at", "error")
BUILD_LIST = Listing[BuildRow](
    Column("Build", _build_link, ("build_number", "transition"), "number", phone_label=""),
    Column(
        "Result",
        lambda row: build_chip(row.build),
        tuple(f"job__{name}" for name in JOB_FIELDS),
        "wide",
        phone_label="",
    ),
    Column(
        "Version",
        lambda row: format_html('<span class="mono">{}</span>', row.build.template_version.name),
        ("template_version__name",),
        "wide",
    ),
    Column("Stages", _stages, ("job__log_count",), "full muted"),
    Column("Took", _took, (), "number right"),
    Column("By", lambda row: started_by(row.build), ("reason", "initiator__username")),
    Column("Started", lambda row: ago(row.build.created_at), ("created_at",), "muted number right"),
)


class WorkspacePage(WorkspaceSection):
    def get(self, request: HttpRequest, **route: Any) -> HttpResponseBase:
        if "workspace_id" in route and not self.workspace.deleted:
            return self.go(self.address)
        if request.htmx.target == PULSE:  # type: ignore[attr-defined]
            return self._pulse()
        build = self.latest
        if build is not None and (facts := facts_answer(self, build.job)):
            return facts
        found = questions.resources_of(self.workspace, build)
        context = self.frame() | self._build_context() | self._builds() | self._times() | self._quota()
        context |= {
            "offers": self.offers(found),
            "found": found,
            "is_current": found.build is not None and build is not None and found.build.pk == build.pk,
            "cost": sum(row.daily_cost for row in found.resources),
            "resources": [row for row in found.resources if not row.hide],
            "runs": self.status == BuildStatus.RUNNING,
            "parameters": values_of(self.workspace, build) if build else [],
        }
        if context["runs"] and build is not None:
            context["agents"] = agents_of(self.actor, self.workspace, build, may_update=self.may_update)
        return self.show("workspaces/workspace.html", context)

    def _pulse(self) -> HttpResponseBase:
        """Answer whether the page is up to date: if another build was started, have the browser load it again."""
        response = HttpResponse(status=204)
        if self.latest is not None and self.request.GET.get("shown") != str(self.latest.pk):
            response["HX-Refresh"] = "true"
        return response

    def _build_context(self) -> dict[str, Any]:
        """Return the context of the latest build: its error, and its log while it has not ended or has just ended."""
        build = self.latest
        if build is None:
            return {}
        context: dict[str, Any] = {"build_url": build_url(build), "build_title": build_title(build)}
        active = build.job.completed_at is None
        if active or build.job.status == JobStatus.FAILED or self.wants_part:
            context |= job_context(build.job) | {"log": log_of(build)}
        return context | {"active": active, "job": build.job, "shows_log": active or self.wants_part}

    def _builds(self) -> dict[str, Any]:
        rows = BUILD_LIST.fetch(WorkspaceBuild.objects.filter(workspace=self.workspace).newest_first())
        found = slice_of(self.request, rows, BUILDS_SIZE, address=self.address, fragment=BUILDS_HEADING)
        times = stage_times(build.job for build in found.rows)
        listed = []
        for build in found.rows:
            build.workspace = self.workspace
            listed.append(BuildRow(build, build_url(build), times[build.job_id]))
        return {"builds": BUILD_LIST.table(listed), "slice": found}

    def _quota(self) -> dict[str, Any]:
        """Return the quota of the owner, if the actor may see it and there is a budget."""
        workspace = self.workspace
        if workspace.deleted or not quota.may_read(self.actor, workspace.owner_id, workspace.organization_id):
            return {}
        return {"quota": quota.quota_of(workspace.owner_id, workspace.organization_id)}

    def _times(self) -> dict[str, Any]:
        times: Times = times_of(self.workspace)
        deadline = self.latest.deadline if self.latest is not None else None
        stops = deadline if self.status == BuildStatus.RUNNING else None
        may_extend = self.may_update and workspaces.may_extend(self.actor, self.workspace)
        return {"times": times, "stops_at": stops, "may_extend": may_extend}


class AnyBuild(SignedInPage):
    """Redirects from the address of a build by its ID, which the audit log has, to its page."""

    def get(self, request: HttpRequest, **route: Any) -> HttpResponseBase:
        rows = WorkspaceBuild.objects.visible(self.actor).select_related("workspace__owner")
        build = rows.filter(pk=route["build_id"]).first()
        if build is None:
            raise NotFound
        return self.go(build_url(build))
