"""Create and cancel builds of workspaces."""

import math
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import msgspec
from django.db import transaction
from django.db.models import Prefetch
from django.utils import timezone

from coderproj.base.errors import Conflict, DomainError, Forbidden, Invalid, Problem, TooLarge
from coderproj.database.clock import database_time
from coderproj.identity import audit
from coderproj.identity.actor import Actor
from coderproj.identity.models import AuditAction
from coderproj.identity.rbac import Action
from coderproj.identity.roles import SiteRole
from provisioning import parameters
from provisioning.engine.base import MAX_STATE, LogLevel, Transition
from provisioning.log import writing
from provisioning.models import JobStatus, ParameterSchema, Provisioner, ProvisionerJob
from provisioning.queue import administration, jobs
from templates_app.models import RichParameter, TemplateVersion
from templates_app.services.versions import normalised_tags
from templates_app.workspaces import states
from templates_app.workspaces.events import announce
from templates_app.workspaces.job_kinds import BUILD
from templates_app.workspaces.models import BuildParameter, BuildReason, Workspace, WorkspaceBuild
from templates_app.workspaces.services import access, values

ACTIONS = {Transition.START: Action.UPDATE, Transition.STOP: Action.UPDATE, Transition.DELETE: Action.DELETE}
AUDITED = {
    Transition.START: AuditAction.START,
    Transition.STOP: AuditAction.STOP,
    Transition.DELETE: AuditAction.DELETE,
}


class ImportUnfinished(DomainError):
    """The version to build is still being imported (406 by contract)."""

    status_code = 406
    message = "The template version is still being imported. Wait until its import has succeeded."


class Busy(Conflict):
    message = "A workspace build is already active."

    def __init__(self, detail: str = "Wait until it has ended, or cancel it.") -> None:
        super().__init__(detail=detail)


class Unsettled(Busy):
    """The daemon of the last build was lost, and can still report what the build changed (W23)."""

    message = "The daemon that ran the last build was lost, and can still report what the build changed."

    def __init__(self, remaining: timedelta) -> None:
        super().__init__(f"Try again in {max(1, math.ceil(remaining.total_seconds()))} seconds.")


class StateTooLarge(TooLarge):
    message = "The state is too large."

    def __init__(self) -> None:
        detail = f"A state has at most {MAX_STATE:,} bytes, and only users who may update the template can send it."
        super().__init__(problems=(Problem("state", detail),))


@dataclass(frozen=True, slots=True)
class NewBuild:
    """A build to create. ``version_id`` None means the version of the latest build, or for a start the active version
    if the template requires that. ``state`` replaces the workspace's
    state; ``orphan`` deletes a workspace without destroying what it made."""

    transition: Transition
    version_id: uuid.UUID | None = None
    state: bytes | None = None
    orphan: bool = False
    rich_values: Sequence[values.NamedValue] = ()
    variables: Sequence[parameters.GivenValue] = ()
    reason: BuildReason = BuildReason.INITIATOR


def create(actor: Actor, workspace: Workspace, new: NewBuild) -> WorkspaceBuild:
    """Queue a build of a readable workspace.

    Raises Forbidden, WorkspaceGone, Invalid on ``template_version_id`` (also for a version that the template does not
    allow), ``orphan`` and ``state``, ImportUnfinished,
    Busy, StateTooLarge, InvalidValues, and Unverified for a version that was imported with stubs.
    """
    with audit.refused(actor, AUDITED[new.transition], workspace):
        return _create(actor, workspace, new)


def _create(actor: Actor, workspace: Workspace, new: NewBuild) -> WorkspaceBuild:
    access.authorize(actor, ACTIONS[new.transition], workspace)
    if new.orphan and new.transition is not Transition.DELETE:
        raise Invalid.field("orphan", "Only a deletion can leave resources behind.")
    if new.orphan and new.state is not None:
        raise Invalid.field("orphan", "Give either orphan or state, not both.")
    if (new.orphan or new.state is not None) and not access.may_handle_state(actor, workspace):
        raise Forbidden("Only those who may update the template may give a state or leave resources behind.")
    with transaction.atomic():
        locked = lock(workspace.pk)
        if locked.deleted:
            raise access.WorkspaceGone
        if new.transition is Transition.START:
            access.require_version(actor, locked.template, new.version_id)
        return add(locked, new, initiator_id=actor.id)


def lock(workspace_id: uuid.UUID) -> Workspace:
    """Lock a workspace until the transaction ends, so that it has one build at a time."""
    return Workspace.objects.select_for_update(of=("self",), no_key=True).get(pk=workspace_id)


def add(workspace: Workspace, new: NewBuild, *, initiator_id: uuid.UUID) -> WorkspaceBuild:
    """Add a build to a locked workspace, without checking permissions. Raises like ``create``."""
    latest = latest_builds([workspace]).get(workspace.pk)
    planned = plan(workspace, latest, new, initiator_id=initiator_id)
    add_all([planned])
    return planned.build


@dataclass(frozen=True, slots=True)
class Planned:
    """A build that passed all checks, with its job and what is stored with both. Nothing of it is stored yet."""

    build: WorkspaceBuild
    job: ProvisionerJob
    rich_values: Mapping[str, str]
    variables: Sequence[parameters.GivenValue]
    state: bytes | None


def plan(workspace: Workspace, latest: WorkspaceBuild | None, new: NewBuild, *, initiator_id: uuid.UUID) -> Planned:
    """Check whether a locked workspace can have a build, and return what ``add_all`` stores. ``latest`` is its latest
    build, from ``latest_builds``. Stores nothing. Raises like ``create``."""
    version = _version(workspace, new, latest)
    require_buildable(version, new.transition)
    if latest is not None and latest.job.completed_at is None:
        raise Busy
    if new.state:
        _check_state(workspace, version, latest, new.state)
    brings_state = new.orphan or new.state is not None
    if latest is not None and not brings_state and (until := jobs.settles_at(latest.job)):
        raise Unsettled(until - database_time())
    kept = values.kept_values(latest) if latest else None
    given = values.rich_values(version, new.rich_values, kept, transition=new.transition)
    variables = values.check_variables(version, new.variables)
    values.require_variables(version, workspace.pk, variables, new.transition)
    build_id = uuid.uuid4()
    job = ProvisionerJob(
        type=BUILD.type,
        organization_id=workspace.organization_id,
        initiator_id=initiator_id,
        provisioner=version.job.provisioner,
        file_id=version.job.file_id,
        input={
            "workspace_build_id": str(build_id),
            "template_version_id": str(version.pk),
            "template_id": str(workspace.template_id),
        },
        tags=normalised_tags(version.job.tags, workspace.owner_id),
    )
    build = WorkspaceBuild(
        id=build_id,
        workspace=workspace,
        build_number=latest.build_number + 1 if latest else 1,
        template_version=version,
        transition=new.transition.value,
        reason=new.reason,
        initiator_id=initiator_id,
        job=job,
    )
    return Planned(build, job, given, variables, (new.state or b"") if brings_state else None)


def add_all(planned: Sequence[Planned]) -> None:
    """Store the builds of different workspaces within the caller's transaction. The number of statements does not
    depend on theirs, but on how many bring variables or a state."""
    jobs.enqueue_all([one.job for one in planned])
    WorkspaceBuild.objects.bulk_create([one.build for one in planned])
    BuildParameter.objects.bulk_create([row for one in planned for row in values.rich_rows(one.build, one.rich_values)])
    now = timezone.now()
    for one in planned:
        workspace = one.build.workspace
        values.store_variables(workspace.pk, one.variables)
        if one.state is not None:
            states.store(one.build.pk, one.state)
        workspace.latest_build = one.build
        workspace.due_at = None  # until the build has ended
        workspace.updated_at = now
    workspaces = [one.build.workspace for one in planned]
    Workspace.objects.bulk_update(workspaces, ["latest_build", "due_at", "last_due_at", "updated_at"])
    _tell_of_late_states(planned)
    announce(*(workspace.pk for workspace in workspaces))


def _tell_of_late_states(planned: Sequence[Planned]) -> None:
    """Write a line in the logs of new builds that start with a state which the build before them did not use."""
    late = states.late_ones([one.build.workspace_id for one in planned if one.state is None])
    for one in planned:
        if one.build.workspace_id in late and one.state is None:
            number, late_for = late[one.build.workspace_id]
            text = f"This build starts with the state of build {number}, reported after build {late_for} had begun."
            writing.note(one.job, LogLevel.WARN, text)


def _check_state(workspace: Workspace, version: TemplateVersion, latest: WorkspaceBuild | None, state: bytes) -> None:
    """Raise Invalid on ``state`` for bytes that are not a state of Terraform, or the state of another workspace: every
    later build would fail on it, or destroy what belongs to others. Raises StateTooLarge."""
    if len(state) > MAX_STATE:
        raise StateTooLarge
    if version.job.provisioner != Provisioner.TERRAFORM:
        return
    given = _lineage(state)
    if given is None:
        raise Invalid.field("state", "This is not a Terraform state: expected a JSON object with a lineage.")
    known = _lineage(states.state_of(latest)) if latest is not None else None
    if known and given != known:
        raise Invalid.field("state", f"This is the state of something else: its lineage is not {known}.")


class _Lineage(msgspec.Struct):
    """All that is read of a state, which can be long."""

    lineage: str = ""


def _lineage(state: bytes) -> str | None:
    """Return the id that Terraform gives a state and keeps; None if the bytes are not a state."""
    try:
        return msgspec.json.decode(state.decode(), type=_Lineage).lineage or None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def latest_build(workspace: Workspace) -> WorkspaceBuild | None:
    """Return the build with the highest number, with its job."""
    rows = WorkspaceBuild.objects.select_related("job")
    return rows.filter(pk=workspace.latest_build_id).first() if workspace.latest_build_id else None


def latest_builds(workspaces: Sequence[Workspace]) -> dict[uuid.UUID, WorkspaceBuild]:
    """Return the builds with the highest numbers by workspace, with all that ``plan`` reads. At most four statements,
    for any number of workspaces."""
    rows = (
        WorkspaceBuild.objects.filter(pk__in=[one.latest_build_id for one in workspaces if one.latest_build_id])
        .select_related("job", "template_version__job")
        .defer("template_version__readme")
        .prefetch_related(
            Prefetch("parameters", BuildParameter.objects.order_by("pk")),
            Prefetch("template_version__rich_parameters", RichParameter.objects.order_by("index")),
            Prefetch("template_version__job__schemas", ParameterSchema.objects.order_by("index")),
        )
    )
    return {build.workspace_id: build for build in rows}


def _version(workspace: Workspace, new: NewBuild, latest: WorkspaceBuild | None) -> TemplateVersion:
    """Return the version to build. Raises Invalid for a version of another template."""
    version_id = new.version_id
    if version_id is None or version_id.int == 0:
        stays = new.transition is not Transition.START or not workspace.template.require_active_version
        active_id = workspace.template.active_version_id
        if latest is not None and (stays or latest.template_version_id == active_id):
            return latest.template_version
        version_id = active_id
    versions = TemplateVersion.objects.select_related("job").filter(template=workspace.template_id)
    version = versions.filter(pk=version_id).first()
    if version is None:
        raise Invalid.field("template_version_id", "The workspace's template has no such version.")
    return version


def require_buildable(version: TemplateVersion, transition: Transition) -> None:
    """Raise ImportUnfinished, Invalid for a version whose import failed or was canceled, and Unverified for one that
    stubs replaced parts of."""
    match version.job.status:
        case JobStatus.PENDING | JobStatus.RUNNING | JobStatus.CANCELING:
            raise ImportUnfinished
        case JobStatus.FAILED:
            detail = f"The import of version {version.name} failed: {version.job.error}"
            raise Invalid.field("template_version_id", detail)
        case JobStatus.CANCELED:
            raise Invalid.field("template_version_id", f"The import of version {version.name} was canceled.")
    version.require_verified()


# ---------------------------------------------------------------------- cancel
def cancelable(actor: Actor, rows: Collection[ProvisionerJob]) -> Collection[uuid.UUID]:
    """Return the ids of those jobs of builds that the actor may cancel: users who may update the workspace, if the
    template lets users cancel; owners of the site in any case (contract, cancel)."""
    builds = WorkspaceBuild.objects.filter(job__in=[job.pk for job in rows])
    builds = builds.filter(workspace__in=Workspace.objects.changeable(actor))
    if SiteRole.OWNER not in actor.site_roles:
        builds = builds.filter(workspace__template__allow_user_cancel_workspace_jobs=True)
    return set(builds.values_list("job_id", flat=True))


def cancel(actor: Actor, build: WorkspaceBuild) -> None:
    """Request the cancellation of a build of a readable workspace. Raises Forbidden, and JobEnded when it has ended or
    its cancellation was requested before."""
    with audit.refused(actor, AuditAction.STOP, build.job):
        if build.job_id not in cancelable(actor, [build.job]):
            raise Forbidden("You are not allowed to cancel this build.")
        administration.stop(actor, build.job)
