"""The questions before a workspace is stopped or deleted and before a build is canceled, with their consequences."""

from collections.abc import Sequence
from dataclasses import dataclass

from coderproj.console.questions import Choice, Question
from provisioning.engine.base import Transition
from provisioning.models import WorkspaceResource
from templates_app.workspaces.models import Workspace, WorkspaceBuild
from templates_app.workspaces.pages.addresses import workspace_url
from templates_app.workspaces.pages.cells import build_title

MAX_NAMED = 6
# The name of the choice to leave the resources behind.
ORPHAN = "orphan"


@dataclass(frozen=True, slots=True)
class Found:
    """The resources that exist, made by ``build``; None if no build has succeeded. ``kept`` are those that the version
    keeps when a workspace stops."""

    build: WorkspaceBuild | None = None
    resources: Sequence[WorkspaceResource] = ()
    kept: Sequence[WorkspaceResource] = ()


def resources_of(workspace: Workspace, latest: WorkspaceBuild | None) -> Found:
    """Return the resources of the newest build that succeeded, and what its version keeps. At most four queries."""
    build = latest if latest is not None and _succeeded(latest) else _last_success(workspace)
    if build is None:
        return Found()
    rows = WorkspaceResource.objects.order_by("name", "type", "position", "id")
    made = list(rows.filter(job=build.job_id).prefetch_related("metadata", "agents__apps"))
    kept = list(rows.filter(job=build.template_version.job_id, workspace_transition=Transition.STOP))
    return Found(build, made, kept)


def _succeeded(build: WorkspaceBuild) -> bool:
    job = build.job
    return bool(job.started_at and job.completed_at and not job.error)


def _last_success(workspace: Workspace) -> WorkspaceBuild | None:
    rows = WorkspaceBuild.objects.select_related("job", "template_version").defer("template_version__readme")
    ended = rows.filter(workspace=workspace, job__started_at__isnull=False, job__completed_at__isnull=False)
    return ended.filter(job__error="").newest_first().first()


# ---------------------------------------------------------------------- questions
def starting(workspace: Workspace, cost_note: str = "") -> Question:
    """Return the question before a workspace starts, for browsers without script."""
    return Question(
        key="start-workspace",
        url=workspace_url(workspace, "start-workspace"),
        action="Start",
        title=f"Start {workspace.name}?",
        consequences=tuple(
            filter(None, ("It starts with the version and the parameters of its latest build.", cost_note))
        ),
        button=f"Start {workspace.name}",
        back_url=workspace_url(workspace),
        back_label="Do not start",
    )


def stopping(workspace: Workspace, found: Found) -> Question:
    """Return the question before a workspace stops."""
    return Question(
        key="stop-workspace",
        url=workspace_url(workspace, "stop-workspace"),
        action="Stop",
        title=f"Stop {workspace.name}?",
        consequences=_of_stopping(found),
        button=f"Stop {workspace.name}",
        back_url=workspace_url(workspace),
        back_label="Keep it running",
        danger=True,
    )


def _of_stopping(found: Found) -> tuple[str, ...]:
    if found.build is None:
        return ("No build has succeeded, so it is not known what is destroyed and what is kept.",)
    kept = {_identity(row) for row in found.kept}
    destroyed = [row for row in found.resources if _identity(row) not in kept]
    first = f"Destroyed: {named(destroyed)}." if destroyed else "No resource is destroyed."
    last = f"Kept: {named(found.kept)}." if found.kept else "Nothing is kept: all data of the workspace is deleted."
    return (first, last)


def deletion(workspace: Workspace, found: Found, *, may_orphan: bool = False) -> Question:
    """Return the question before a workspace is deleted, which asks for its name. Users who may handle the state can
    choose to leave the resources behind: ``may_orphan``."""
    if found.build is None:
        first = "No build has succeeded. What builds left behind is destroyed, if they saved a state."
    elif found.resources:
        first = f"Destroyed, with all data in them: {named(found.resources)}."
    else:
        first = "The workspace has no resources that could be destroyed."
    return Question(
        key="delete-workspace",
        url=workspace_url(workspace, "delete-workspace"),
        action="Delete",
        title=f"Delete {workspace.name}?",
        consequences=(first, "This cannot be undone. Only the logs of its builds are kept."),
        button=f"Delete {workspace.name}",
        back_url=workspace_url(workspace),
        back_label="Keep it",
        danger=True,
        confirmation=workspace.name,
        choice=_orphaning(found) if may_orphan else None,
    )


def _orphaning(found: Found) -> Choice:
    """Return the choice to delete a workspace without destroying what it made."""
    if found.resources:
        one = len(found.resources) == 1
        stays = f"{named(found.resources)} {'stays' if one else 'stay'} and can go on to cost money."
    else:
        stays = "What the builds left behind stays and can go on to cost money."
    return Choice(
        name=ORPHAN,
        label="Leave the resources behind",
        note=f"Then nothing is destroyed. {stays} Terraform forgets them: remove them by hand.",
    )


def cancellation(build: WorkspaceBuild) -> Question:
    """Return the question before a build is canceled."""
    what = build_title(build).lower()
    if build.job.started_at is None:
        consequences: tuple[str, ...] = (
            "The build has not started and will never start. The workspace stays as it is.",
        )
    else:
        consequences = (
            "The daemon interrupts the build. What it already changed stays as it is and is kept in the state.",
            f"The next build continues from there. The {what} counts as failed if it was interrupted.",
        )
    return Question(
        key="cancel-build",
        url=workspace_url(build.workspace, "cancel-workspace-build"),
        action="Cancel",
        title=f"Cancel the {what}?",
        consequences=consequences,
        button=f"Cancel the {what}",
        back_url=workspace_url(build.workspace),
        back_label="Let it continue",
        danger=True,
    )


# ---------------------------------------------------------------------- resources in sentences
def _identity(row: WorkspaceResource) -> tuple[str, str, str | None]:
    return row.type, row.name, row.instance_key


def named(rows: Sequence[WorkspaceResource]) -> str:
    """Return the names of resources for a sentence, at most MAX_NAMED of them."""
    texts = [f"{row.label} ({row.type})" for row in rows[:MAX_NAMED]]
    more = len(rows) - MAX_NAMED
    return ", ".join(texts) + (f" and {more} more" if more > 0 else "")
