"""Cells and words that lists and pages of workspaces share."""

from django.utils.html import format_html
from django.utils.safestring import SafeString

from coderproj.console.templatetags.console import status
from provisioning.engine.base import Stage, Transition
from provisioning.engine.state import APPLY_STAGES
from provisioning.models import JobStatus
from provisioning.pages.log import LogConsole, log_console
from templates_app.workspaces.models import BuildReason, BuildStatus, WorkspaceBuild
from templates_app.workspaces.pages.addresses import build_url

# The stages of a build by its transition.
STAGES = {
    transition: (Stage.SETTING_UP, Stage.PLANNING, applying, Stage.CLEANING_UP)
    for transition, applying in APPLY_STAGES.items()
}
TRANSITION_NAMES = {Transition.START: "Start", Transition.STOP: "Stop", Transition.DELETE: "Delete"}


def status_key(state: BuildStatus) -> str:
    """Return the key of a status for the tag ``status``, where ``running`` is a job's."""
    return "up" if state == BuildStatus.RUNNING else state.value


def status_chip(build: WorkspaceBuild | None) -> SafeString:
    """Return the status of the workspace whose latest build this is."""
    return status(status_key(build.status) if build else BuildStatus.PENDING.value, chip=True)


def build_chip(build: WorkspaceBuild) -> SafeString:
    """Return the outcome of a build: the status of its job, or what it does while it runs."""
    state = build.job.status
    return status(build.status.value if state == JobStatus.RUNNING else state.value, chip=True)


def build_title(build: WorkspaceBuild) -> str:
    """Return what a build does, such as ``Start``."""
    return TRANSITION_NAMES[Transition(build.transition)]


def stages_of(build: WorkspaceBuild) -> tuple[str, ...]:
    """Return the stages of a build's log."""
    return STAGES[Transition(build.transition)]


def log_of(build: WorkspaceBuild) -> LogConsole:
    """Return the log of a build. At most two queries."""
    return log_console(
        build.job,
        follow_url=f"/api/v2/workspacebuilds/{build.pk}/logs",
        raw_url=build_url(build, "workspace-build-log"),
        stages=stages_of(build),
    )


def started_by(build: WorkspaceBuild) -> str:
    """Return who started a build, or that it was automatic. Needs the initiator."""
    return build.initiator.username if build.reason == BuildReason.INITIATOR else "schedule"


def outdated_tag() -> SafeString:
    return format_html('<span class="tag plain">{}</span>', "Outdated")
