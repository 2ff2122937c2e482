"""The state transitions of a job. Besides this module, only ``claims``, which starts a job, writes its state.

Every transition is a conditional UPDATE that must match its row, or locks the row before reading it. Dependent rows are
written in the same transaction, and listeners are notified after the commit. The model has a diagram of the states.
"""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models.functions import Now

from coderproj.base.errors import DomainError
from coderproj.database.prepared import PreparedCommand
from provisioning import results
from provisioning.engine.base import CostDecision, LogLevel, ParameterSchema
from provisioning.log import writing
from provisioning.models import JobEnd, ProvisionerJob
from provisioning.models.jobs import WITHOUT_VALUES_SQL, without_values
from provisioning.notifications import CANCELING, END_MARK, JOB_CHANNEL, LOG_CHANNEL, QUEUED, notify
from provisioning.protocol.leases import Lease, LeaseLost, StateKept
from provisioning.queue.kinds import function, kind_of, kinds

MAX_ATTEMPTS = 3
MAX_ERROR_CHARACTERS = 4000
# A daemon that was killed and restarted, or frozen, reports after this time at the latest.
SETTLE_SECONDS = 60


class JobEnded(DomainError):
    """The job to cancel has completed, or its cancellation was already requested."""

    status_code = 400


class NotRepeatable(DomainError):
    """The job cannot be queued again: it is not running, or running it twice could do harm."""

    status_code = 409
    message = "The job cannot be queued again."


class WrongResult(Exception):
    """The result does not have the type that the job's kind declares."""


# ---------------------------------------------------------------------- queue
def enqueue(
    *,
    job_type: str,
    organization_id: uuid.UUID,
    initiator_id: uuid.UUID,
    provisioner: str,
    file_id: uuid.UUID | None,
    job_input: Mapping[str, Any],
    tags: Mapping[str, str],
    priority: int = 0,
    job_id: uuid.UUID | None = None,
) -> ProvisionerJob:
    """Add a job within the caller's transaction. Daemons are notified after its commit."""
    job = ProvisionerJob(
        id=job_id or uuid.uuid4(),
        type=job_type,
        organization_id=organization_id,
        initiator_id=initiator_id,
        provisioner=provisioner,
        file_id=file_id,
        input=dict(job_input),
        tags=dict(tags),
        priority=priority,
    )
    enqueue_all([job])
    return job


def enqueue_all(rows: Sequence[ProvisionerJob]) -> None:
    """Add new jobs within the caller's transaction, in one statement. Daemons are notified after its commit."""
    ProvisionerJob.objects.bulk_create(rows)
    _notify(QUEUED, *(job.pk for job in rows))


# ---------------------------------------------------------------------- while it runs
HEARTBEAT = PreparedCommand("""
UPDATE provisioning_provisionerjob
   SET updated_at = now(), lease_expires_at = now() + make_interval(secs => %(seconds)s::float)
 WHERE id = %(job)s AND lease = %(token)s
RETURNING canceled_at IS NOT NULL
""")


def heartbeat(lease: Lease, *, lease_seconds: float) -> bool:
    """Extend the lease. Returns True when the job must be canceled. Raises LeaseLost."""
    row = HEARTBEAT.row(seconds=float(lease_seconds), job=lease.job_id, token=lease.token)
    if row is None:
        raise LeaseLost
    return bool(row[0])


@transaction.atomic
def store_readme(lease: Lease, readme: str) -> None:
    """Pass the readme to the app that owns the job's kind. Raises LeaseLost."""
    job = _locked(lease)
    if path := kind_of(job).readme_found:
        function(path)(job, writing.printable(readme, keep_lines=True))


@transaction.atomic
def store_schemas(lease: Lease, schemas: Sequence[ParameterSchema]) -> ProvisionerJob:
    """Store the variables of the template, replacing those of an earlier attempt. Raises LeaseLost."""
    job = _locked(lease)
    results.store_schemas(job, schemas)
    return job


@transaction.atomic
def commit_cost(lease: Lease, cost: int) -> CostDecision:
    """Have the app that owns the job's kind decide about the cost of its plan. Raises LeaseLost."""
    job = _locked(lease)
    path = kind_of(job).cost_planned
    decision: CostDecision = function(path)(job, cost) if path else CostDecision()
    return decision


def store_state(lease: Lease, state: bytes, *, is_last: bool = False) -> None:
    """Pass a state to the app that owns the job's kind. Raises LeaseLost.

    The state tells what the job changed. So it is stored even if the lease has expired, or the job has ended otherwise
    without success; then this raises StateKept. After a success, the server has the last state already: only the last
    report raises StateKept then, and stores nothing. An empty state says that there is no newer one. ``is_last`` says
    that nothing runs any more: only then ``settles_at`` does not wait for another state.
    """
    with transaction.atomic():
        job = ProvisionerJob.objects.select_for_update().filter(pk=lease.job_id).first()
        is_held = job is not None and job.lease == lease.token
        is_complete = job is not None and job.ended_as == JobEnd.COMPLETE
        if job is None or not (is_held or (job.ended_lease == lease.token and (is_last or not is_complete))):
            raise LeaseLost
        if state and not is_complete and (path := kind_of(job).state_found):
            function(path)(job, state)
        if is_last and job.ended_as == JobEnd.EXPIRE:
            ProvisionerJob.objects.filter(pk=job.pk).update(ended_as=JobEnd.FAIL)  # see ``settles_at``
    if not is_held:
        raise StateKept


def settles_at(job: ProvisionerJob) -> datetime | None:
    """Return until when the daemon of a lost job that changed things outside can be expected to report its last state;
    None if there is nothing to wait for."""
    if job.ended_as != JobEnd.EXPIRE or job.completed_at is None or not kind_of(job).applies:
        return None
    recent = ProvisionerJob.objects.filter(pk=job.pk, completed_at__gt=Now() - timedelta(seconds=SETTLE_SECONDS))
    return job.completed_at + timedelta(seconds=SETTLE_SECONDS) if recent.exists() else None


# ---------------------------------------------------------------------- end a job
def complete(lease: Lease, result: Any) -> None:
    """End a job with its result, which its kind's ``completed`` stores in the same transaction. Raises LeaseLost and
    WrongResult.

    This and the functions below can be repeated with the same lease, as after a lost answer: this changes nothing.
    """
    expected = kinds().returning(result)
    types = [kind.type for kind in expected]
    if not any(kind.changed or (kind.completed and kind.has_followup(result)) for kind in expected):
        _end(lease, JobEnd.COMPLETE, types=types)  # a single statement is atomic
        return
    with transaction.atomic():
        ended = _end(lease, JobEnd.COMPLETE, types=types)
        if ended and (path := kinds().of(ended).completed):
            function(path)(_bare(lease), result)
        _changed(ended, lease)


@transaction.atomic
def fail(lease: Lease, error: str) -> None:
    """End a job as failed with a reason. Raises LeaseLost."""
    _changed(_end(lease, JobEnd.FAIL, error=_error_text(error)), lease)


@transaction.atomic
def finish_canceled(lease: Lease) -> None:
    """End a job that was interrupted because its cancellation was requested. Raises LeaseLost."""
    _changed(_end(lease, JobEnd.CANCEL), lease)


@transaction.atomic
def release(lease: Lease, reason: str) -> None:
    """Return an unfinished job to the queue (its daemon shuts down). A job that cannot be repeated ends instead. Raises
    LeaseLost."""
    job = ProvisionerJob.objects.select_for_update().filter(pk=lease.job_id, lease=lease.token).first()
    if job is None:
        _ended_before(lease, JobEnd.RELEASE)
        return
    _give_up(job, reason, JobEnd.RELEASE)


def cancel(job_id: uuid.UUID) -> None:
    """Request the cancellation of a job. A waiting job ends at once and never runs; a running job is interrupted.

    Raises JobEnded when it has completed or is already being canceled.
    """
    with transaction.atomic():
        # The lock prevents the job from being requeued between the check and the update.
        job = ProvisionerJob.objects.select_for_update().filter(pk=job_id).first()
        if job is None or job.completed_at is not None:
            raise JobEnded("The job has already completed.")
        if job.canceled_at is not None:
            raise JobEnded("The cancellation of this job was already requested.")
        rows = ProvisionerJob.objects.filter(pk=job_id)
        if job.started_at is None:
            rows.update(canceled_at=Now(), completed_at=Now(), updated_at=Now(), input=without_values())
            _notify_end(job_id)
        else:
            rows.update(canceled_at=Now(), updated_at=Now())
            _notify(CANCELING, job_id)
        _report_change(job)


def requeue(job_id: uuid.UUID, reason: str) -> None:
    """Revoke the lease of a running job and queue it again. ``reason`` is written to its log.

    Raises NotRepeatable for a job that is not running, is being canceled or cannot be repeated.
    """
    with transaction.atomic():
        job = ProvisionerJob.objects.select_for_update().filter(pk=job_id).first()
        if job is None or job.started_at is None or job.completed_at is not None:
            raise NotRepeatable("Only a job that is running can be queued again.")
        if job.canceled_at is not None:
            raise NotRepeatable("The cancellation of this job was requested.")
        if not kind_of(job).is_repeatable:
            raise NotRepeatable("The job cannot be repeated, because its effects so far are unknown.")
        writing.note(job, LogLevel.WARN, f"Attempt {job.attempts} ended: {reason}. Queued again.")
        ProvisionerJob.objects.filter(pk=job_id).update(**WAITING)
        _notify(QUEUED, job_id)


def expire() -> list[uuid.UUID]:
    """Revoke all expired leases: queue the jobs again, or end them. Returns the ids of these jobs."""
    expired: list[uuid.UUID] = []
    while True:
        with transaction.atomic():
            job = (
                ProvisionerJob.objects.select_for_update(skip_locked=True)
                .filter(completed_at=None, lease__isnull=False, lease_expires_at__lt=Now())
                .order_by("lease_expires_at")
                .first()
            )
            if job is None:
                return expired
            _give_up(job, "its daemon stopped responding", JobEnd.EXPIRE)
            expired.append(job.pk)


# ---------------------------------------------------------------------- within a transition
ENDING: dict[str, Any] = {
    "completed_at": Now(),
    "updated_at": Now(),
    "lease": None,
    "lease_expires_at": None,
    "input": without_values(),
}
WAITING: dict[str, Any] = {
    "started_at": None,
    "worker_id": None,
    "lease": None,
    "lease_expires_at": None,
    "updated_at": Now(),
}


def _locked(lease: Lease) -> ProvisionerJob:
    """Return the job's row, locked until the transaction ends. Raises LeaseLost."""
    job = ProvisionerJob.objects.select_for_update().filter(pk=lease.job_id, lease=lease.token).first()
    if job is None:
        raise LeaseLost
    return job


# A job can end as canceled only after its cancellation was requested.
END = PreparedCommand(f"""
UPDATE provisioning_provisionerjob
   SET completed_at = now(), updated_at = now(), lease = NULL, lease_expires_at = NULL,
       input = {WITHOUT_VALUES_SQL}, error = %(error)s, ended_lease = %(token)s, ended_as = %(how)s
 WHERE id = %(job)s AND lease = %(token)s AND (%(types)s::text[] IS NULL OR type = ANY(%(types)s::text[]))
   AND (%(how)s::text <> 'cancel' OR canceled_at IS NOT NULL)
RETURNING type
""")  # noqa: S608 - made of constants


def _end(lease: Lease, how: JobEnd, *, error: str = "", types: Sequence[str] | None = None) -> str:
    """End a job; return its type, or an empty text when the same lease has ended it in this way before. Raises
    LeaseLost, and WrongResult for a job of none of the types.
    """
    row = END.row(job=lease.job_id, token=lease.token, error=error, how=how.value, types=types)
    if row is None:
        held = ProvisionerJob.objects.filter(pk=lease.job_id, lease=lease.token)
        if types is not None and held.exclude(type__in=types).exists():
            raise WrongResult
        _ended_before(lease, how)
        _notify_end(lease.job_id)  # the first call may have been interrupted before it notified
        return ""
    _notify_end(lease.job_id)
    job_type: bytes = row[0]
    return job_type.decode()


def _changed(job_type: str, lease: Lease) -> None:
    """Report the end of a job to the app that owns its kind; an empty type means that this was done before."""
    if job_type and (path := kinds().of(job_type).changed):
        function(path)(_bare(lease))


def _report_change(job: ProvisionerJob) -> None:
    if path := kind_of(job).changed:
        function(path)(ProvisionerJob.from_db(connection.alias, ("id",), (job.pk,)))


def _bare(lease: Lease) -> ProvisionerJob:
    """Return the job with its id only; Django loads other fields on access."""
    return ProvisionerJob.from_db(connection.alias, ("id",), (lease.job_id,))


def _ended_before(lease: Lease, how: JobEnd) -> None:
    """Check that this lease has ended the job in this way before. Raises LeaseLost."""
    if not ProvisionerJob.objects.filter(pk=lease.job_id, ended_lease=lease.token, ended_as=how).exists():
        raise LeaseLost


def _give_up(job: ProvisionerJob, reason: str, how: JobEnd) -> None:
    """Queue a locked job again whose attempt was lost, or end it when it cannot or must not be repeated."""
    rows = ProvisionerJob.objects.filter(pk=job.pk)
    is_repeatable = kind_of(job).is_repeatable
    is_ended = job.canceled_at is not None or not is_repeatable or job.attempts >= MAX_ATTEMPTS
    if job.canceled_at is not None:
        rows.update(**ENDING)
        _notify_end(job.pk)
    elif not is_ended:
        writing.note(job, LogLevel.WARN, f"Attempt {job.attempts} of {MAX_ATTEMPTS} was lost: {reason}. Queued again.")
        rows.update(**WAITING)
        _notify(QUEUED, job.pk)
    else:
        lost = f"The job was lost: {reason}"
        again = f" {job.attempts} times." if is_repeatable else ". Its effects so far are unknown."
        writing.note(job, LogLevel.ERROR, lost + again)
        rows.update(error=lost + again, **ENDING)
        _notify_end(job.pk)
    rows.update(ended_lease=job.lease, ended_as=how)
    if is_ended:
        _report_change(job)


def _error_text(error: str) -> str:
    return (
        writing.printable(error, keep_lines=True).strip()[:MAX_ERROR_CHARACTERS] or "The job failed without a reason."
    )


def _notify(event: str, *job_ids: uuid.UUID) -> None:
    notify(*((JOB_CHANNEL, f"{event}:{job_id}") for job_id in job_ids))


def _notify_end(job_id: uuid.UUID) -> None:
    """Notify the followers of the job's log; daemons do not need this event."""
    notify((LOG_CHANNEL, f"{job_id}{END_MARK}"))
