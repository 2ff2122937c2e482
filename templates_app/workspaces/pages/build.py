"""The page of a build: its stages, its log and its results."""

from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from coderproj.base.errors import NotFound
from provisioning.files import stored
from provisioning.models import JobStatus
from provisioning.pages.parts import facts_answer, job_context, raw_log_answer, source_context
from templates_app.pages.addresses import version_url
from templates_app.workspaces import states
from templates_app.workspaces.models import BuildState, BuildStatus, WorkspaceBuild
from templates_app.workspaces.pages import questions
from templates_app.workspaces.pages.addresses import build_url, workspace_url
from templates_app.workspaces.pages.base import WorkspaceSection
from templates_app.workspaces.pages.cells import build_chip, build_title, log_of, started_by
from templates_app.workspaces.pages.parameters import rich_values_of
from templates_app.workspaces.services import access


class BuildSection(WorkspaceSection):
    """A page of one build of a visible workspace, ``self.build``."""

    build: WorkspaceBuild

    def prepare(self, **route: Any) -> None:
        super().prepare(**route)
        rows = WorkspaceBuild.objects.filter(workspace=self.workspace).select_related(
            "initiator", "job__initiator", "job__file", "template_version__job"
        )
        rows = rows.defer("template_version__readme", "job__file__data")
        build = rows.filter(build_number=route["number"]).first()
        if build is None:
            raise NotFound
        build.workspace = self.workspace
        build.template_version.template = self.workspace.template
        self.build = build


class BuildPage(BuildSection):
    def get(self, request: HttpRequest, **route: Any) -> HttpResponseBase:
        build, job = self.build, self.build.job
        if facts := facts_answer(self, job):
            return facts
        title = f"#{build.build_number} {build_title(build)}"
        found = (
            questions.resources_of(self.workspace, build) if job.status == JobStatus.SUCCEEDED else questions.Found()
        )
        context = self.frame(title) | job_context(job)
        if context["template_url"]:
            context["version_url"] = version_url(build.template_version)
            if stored.source_of(self.actor, job):
                context |= source_context(job, version_url(build.template_version, "version-files"))
        is_latest = self.latest is not None and self.latest.pk == build.pk
        context |= {
            "build": build,
            "title": title,
            "build_title": build_title(build),
            "chip": build_chip(build),
            "started_by": started_by(build),
            "log": log_of(build),
            "build_found": found,
            "unknown": "Unknown: the build has not succeeded.",
            "resources": [row for row in found.resources if not row.hide],
            "cost": sum(row.daily_cost for row in found.resources),
            "runs": is_latest and self.status == BuildStatus.RUNNING,
            "parameters": rich_values_of(build),
            "late_for": BuildState.objects.filter(build=build).values_list("late_for", flat=True).first(),
            "cancellation": self.cancellation() if is_latest and self.may_update else None,
            "is_latest": is_latest,
            "retry_url": self._retry_url() if is_latest else "",
        } | self._state(is_latest=is_latest)
        return self.show("workspaces/build.html", context)

    def _state(self, *, is_latest: bool) -> dict[str, Any]:
        """Return the context of ``_build_state.html`` for users who may handle the state. At most two queries."""
        if not access.may_handle_state(self.actor, self.workspace):
            return {}
        facts = states.facts_of(self.build)
        return {
            "shows_state": True,
            "state": facts,
            "state_url": build_url(self.build, "workspace-build-state") if facts and facts.size else "",
            "push_url": workspace_url(self.workspace, "push-state") if is_latest and self.may_update else "",
        }

    def _retry_url(self) -> str:
        """Return the page that repeats the latest build, empty unless it failed or was canceled and that is allowed."""
        ended_badly = self.status in {BuildStatus.FAILED, BuildStatus.CANCELED}
        repeats = {"start": "start-workspace", "stop": "stop-workspace", "delete": "delete-workspace"}
        return workspace_url(self.workspace, repeats[self.build.transition]) if ended_badly and self.may_update else ""


class BuildLogText(BuildSection):
    """The build's log as a text file."""

    def get(self, request: HttpRequest, **route: Any) -> HttpResponseBase:
        return raw_log_answer(self.build.job, f"{self.workspace.name}-{self.build.build_number}")
