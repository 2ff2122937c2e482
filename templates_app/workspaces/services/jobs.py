"""The server's part of builds: create their payload, store their states and results, record their end."""

import logging
import uuid
from datetime import timedelta

from django.conf import settings
from django.db.models import Q
from django.db.models.functions import Now

from coderproj.identity.audit import record_outcome
from provisioning import parameters, results
from provisioning.engine.base import BuildInput, BuildResult, LogLevel, PlanInput, Transition, WorkspaceContext
from provisioning.log import writing
from provisioning.models import JobStatus, ProvisionerJob
from provisioning.queue.claims import CannotRun, LeasedJob
from templates_app.workspaces import due, states
from templates_app.workspaces.events import announce
from templates_app.workspaces.models import Workspace, WorkspaceBuild
from templates_app.workspaces.services import builds, quota, values

logger = logging.getLogger(__name__)


# ---------------------------------------------------------------------- before a job
def build_input(job: LeasedJob) -> BuildInput:
    """Return the input of a build. All names are those of the moment at which a daemon claims the job. Raises
    CannotRun."""
    rows = WorkspaceBuild.objects.select_related("workspace__owner", "template_version")
    build = rows.filter(pk=uuid.UUID(job.job_input["workspace_build_id"])).first()
    if build is None:
        raise CannotRun("the build does not exist")
    workspace, version = build.workspace, build.template_version
    computed = parameters.compute(
        version.job_id, template_id=workspace.template_id, given=values.variables_of(workspace.pk)
    )
    announce(workspace.pk)
    context = WorkspaceContext(
        transition=Transition(build.transition),
        access_url=settings.ACCESS_URL,
        workspace_id=str(workspace.pk),
        workspace_name=workspace.name,
        owner=workspace.owner.username,
        owner_email=workspace.owner.email,
        owner_id=str(workspace.owner_id),
    )
    plan = PlanInput(context, parameters.for_engine(computed), values.stored_rich_values(build))
    try:
        state = states.state_of(build)
    except states.StateUnreadable as error:
        raise CannotRun(f"{error.message} {error.detail}") from None
    return BuildInput(plan, state, commits_cost=quota.applies_to(build))


# ---------------------------------------------------------------------- during and after a job
def state_found(job: ProvisionerJob, state: bytes) -> None:
    """Store what the build changed so far.

    The daemon of a lost build can report its state after a newer build has begun without it. Then it is stored with its
    own build as well, and the build's log, its page and the server's log name it.
    """
    build = WorkspaceBuild.objects.filter(job=job).first()
    if build is None:
        return
    late_for = _begun_after(build) if job.completed_at is not None else None
    if late_for is not None and states.has(build.pk, state):
        return  # reported again, or known when the newer build began
    states.store(build.pk, state, late_for=late_for)
    if job.completed_at is not None:
        quota.count_leftovers(build)
    if late_for is not None:
        writing.note(
            job,
            LogLevel.WARN,
            f"The state of this build was reported after build {late_for} had begun, which did not use it. "
            "It is kept with this build.",
        )
        logger.warning(
            "Workspace %s: the state of build %d was reported after build %d had begun, which did not use it",
            build.workspace_id,
            build.build_number,
            late_for,
        )
        announce(build.workspace_id)


def _begun_after(build: WorkspaceBuild) -> int | None:
    """Return the number of the first newer build that has begun or brings a state of its own; None if there is none.

    Builds that wait are locked until the transaction ends: daemons pass over locked jobs, so a build either has begun
    here, or begins with the state that is being stored.
    """
    newer = WorkspaceBuild.objects.filter(workspace=build.workspace_id, build_number__gt=build.build_number)
    waiting = newer.filter(job__completed_at=None).values("job")
    list(ProvisionerJob.objects.select_for_update(no_key=True).filter(pk__in=waiting).values_list("pk"))
    begun = newer.filter(Q(job__started_at__isnull=False) | Q(state__isnull=False)).order_by("build_number")
    return begun.values_list("build_number", flat=True).first()


def build_completed(job: ProvisionerJob, result: BuildResult) -> None:
    """Store the resources, and mark the workspace as deleted after a deletion."""
    build = WorkspaceBuild.objects.select_related("workspace").filter(job=job).first()
    if build is None:
        return
    results.store_resources(job, ((build.transition, resource) for resource in result.resources))
    quota.store_cost(build, result.resources)
    if build.transition == Transition.DELETE:
        Workspace.objects.filter(pk=build.workspace_id).update(deleted=True, updated_at=Now())


def build_changed(job: ProvisionerJob) -> None:
    """Set the deadline of a build that ended and when the workspace is due, record the build in the audit log, and
    notify watchers of the workspace."""
    rows = WorkspaceBuild.objects.select_related("workspace__template", "job", "template_version")
    build = rows.filter(job_id=job.pk).first()
    if build is None:
        return
    if build.job.completed_at is not None:
        quota.count_leftovers(build)
        _set_deadline(build)
        _set_due(build)
        _record(build)
    announce(build.workspace_id)


def _set_deadline(build: WorkspaceBuild) -> None:
    """A start has a deadline if the workspace has a time to live, also one that failed: things may exist (W16, W20)."""
    workspace, job = build.workspace, build.job
    lifetime_ms = workspace.lifetime_ms
    if build.transition == Transition.START and lifetime_ms and job.started_at and job.completed_at:
        build.deadline = job.completed_at + timedelta(milliseconds=lifetime_ms)
    build.save(update_fields=["deadline", "updated_at"])


def _set_due(build: WorkspaceBuild) -> None:
    """Decide when the workspace starts or stops by itself after this build."""
    workspace = builds.lock(build.workspace_id)
    due.count_failed_stops(workspace, build)
    due.reschedule(workspace, build)


def _record(build: WorkspaceBuild) -> None:
    workspace = build.workspace
    before = WorkspaceBuild.objects.filter(workspace=workspace, build_number=build.build_number - 1).first()
    version, earlier = str(build.template_version_id), str(before.template_version_id) if before else ""
    changed = {"template_version_id": {"old": earlier, "new": version, "secret": False}} if version != earlier else {}
    record_outcome(
        user_id=build.initiator_id,
        instance=build,
        action=builds.AUDITED[Transition(build.transition)],
        organization_id=workspace.organization_id,
        diff=changed,
        status_code=200 if build.job.status in {JobStatus.SUCCEEDED, JobStatus.CANCELED} else 500,
        request_id=build.job_id,
        additional_fields={
            "workspaceName": workspace.name,
            "buildNumber": str(build.build_number),
            "buildReason": build.reason,
        },
    )
