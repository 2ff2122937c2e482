"""The life of a job. Nothing else writes its state but the claim (``assignments``), which starts it.

Every transition is a conditional UPDATE that must hit its row, or locks the row before it looks; what belongs to it is
written in the same transaction; listeners are told after the commit. The automaton is drawn in the model.
"""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from django.db import connection, transaction
from django.db.models.functions import Now

from coderproj.base.errors import DomainError
from coderproj.database.prepared import PreparedCommand
from provisioning import results
from provisioning.engine.base import LogLevel, ParameterSchema
from provisioning.log import writing
from provisioning.models import JobEnd, ProvisionerJob
from provisioning.notifications import CANCELING, END_MARK, JOB_CHANNEL, LOG_CHANNEL, QUEUED, notify
from provisioning.protocol.leases import Lease, LeaseLost
from provisioning.queue.kinds import function, kind_of, kinds

MAX_ATTEMPTS = 3
MAX_ERROR_CHARACTERS = 4000


class JobEnded(DomainError):
    """A cancel of a job that has completed, or whose cancellation was asked for already."""

    status_code = 400


class NotRepeatable(DomainError):
    """A job that cannot be queued again: it does not run, or doing it twice may do harm."""

    status_code = 409
    message = "The job cannot be queued again."


class WrongResult(Exception):
    """The result is not of the type that the job's kind names."""


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
    """Add a job within the caller's transaction. Daemons are told when it commits."""
    job = ProvisionerJob.objects.create(
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
    _notify(QUEUED, job.pk)
    return job


# ---------------------------------------------------------------------- while it runs
HEARTBEAT = PreparedCommand("""
UPDATE provisioning_provisionerjob
   SET updated_at = now(), lease_expires_at = now() + make_interval(secs => %(seconds)s::float)
 WHERE id = %(job)s AND lease = %(token)s
RETURNING canceled_at IS NOT NULL
""")


def heartbeat(lease: Lease, *, lease_seconds: float) -> bool:
    """Prolong the lease. True when the job is to be canceled. Raises LeaseLost."""
    row = HEARTBEAT.row(seconds=float(lease_seconds), job=lease.job_id, token=lease.token)
    if row is None:
        raise LeaseLost
    return bool(row[0])


@transaction.atomic
def store_readme(lease: Lease, readme: str) -> None:
    """Hand the readme to the app that owns the job's kind. Raises LeaseLost."""
    job = _locked(lease)
    if path := kind_of(job).readme_found:
        function(path)(job, writing.printable(readme, keep_lines=True))


@transaction.atomic
def store_schemas(lease: Lease, schemas: Sequence[ParameterSchema]) -> ProvisionerJob:
    """Store the variables of the template, in place of those an earlier attempt found. Raises LeaseLost."""
    job = _locked(lease)
    results.store_schemas(job, schemas)
    return job


# ---------------------------------------------------------------------- the end
def complete(lease: Lease, result: Any) -> None:
    """End a job with its result, and have its kind's ``completed`` store it in the same transaction. Raises LeaseLost
    and WrongResult.

    Here and below: the same end again by the same lease, as after a lost answer, is no error and changes nothing.
    """
    expected = kinds().returning(result)
    types = [kind.type for kind in expected]
    if not any(kind.completed and kind.has_followup(result) for kind in expected):
        _end(lease, JobEnd.COMPLETE, types=types)  # one statement is a transaction by itself
        return
    with transaction.atomic():
        ended = _end(lease, JobEnd.COMPLETE, types=types)
        if ended and (path := kinds().of(ended).completed):
            function(path)(_bare(lease), result)


def fail(lease: Lease, error: str) -> None:
    """End a job with the reason why it failed. Raises LeaseLost."""
    _end(lease, JobEnd.FAIL, error=_error_text(error))


def finish_canceled(lease: Lease) -> None:
    """End a job whose work was interrupted because its cancellation was asked for. Raises LeaseLost."""
    _end(lease, JobEnd.CANCEL)


@transaction.atomic
def release(lease: Lease, reason: str) -> None:
    """Give a job back unfinished (a daemon shuts down). It waits for another daemon, or ends when it cannot be
    repeated. Raises LeaseLost."""
    job = ProvisionerJob.objects.select_for_update().filter(pk=lease.job_id, lease=lease.token).first()
    if job is None:
        _ended_before(lease, JobEnd.RELEASE)
        return
    _give_up(job, reason)
    ProvisionerJob.objects.filter(pk=job.pk).update(ended_lease=lease.token, ended_as=JobEnd.RELEASE)


def cancel(job_id: uuid.UUID) -> None:
    """Ask for the end of a job. A waiting one ends at once and never runs; a running one is interrupted.

    Raises JobEnded when it has completed or is being canceled already.
    """
    with transaction.atomic():
        # The lock keeps the job from being queued again between the question and the answer.
        job = ProvisionerJob.objects.select_for_update().filter(pk=job_id).first()
        if job is None or job.completed_at is not None:
            raise JobEnded("The job has completed already.")
        if job.canceled_at is not None:
            raise JobEnded("The cancellation of this job was requested already.")
        rows = ProvisionerJob.objects.filter(pk=job_id)
        if job.started_at is None:
            rows.update(canceled_at=Now(), completed_at=Now(), updated_at=Now())
            _notify_end(job_id)
        else:
            rows.update(canceled_at=Now(), updated_at=Now())
            _notify(CANCELING, job_id)


def requeue(job_id: uuid.UUID, reason: str) -> None:
    """Take a running job away from its daemon, whose lease counts no more, and queue it again. ``reason`` goes into its
    log.

    Raises NotRepeatable for a job that does not run, is being canceled or cannot be repeated.
    """
    with transaction.atomic():
        job = ProvisionerJob.objects.select_for_update().filter(pk=job_id).first()
        if job is None or job.started_at is None or job.completed_at is not None:
            raise NotRepeatable("Only a job that is running can be queued again.")
        if job.canceled_at is not None:
            raise NotRepeatable("The cancellation of this job was requested.")
        if not kind_of(job).is_repeatable:
            raise NotRepeatable("What the job did so far is unknown: it cannot be repeated.")
        writing.note(job, LogLevel.WARN, f"Attempt {job.attempts} ended: {reason}. Queued again.")
        ProvisionerJob.objects.filter(pk=job_id).update(**WAITING)
        _notify(QUEUED, job_id)


def expire() -> list[uuid.UUID]:
    """Take every job whose lease ran out away from its daemon. Returns the ids of those jobs."""
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
            _give_up(job, "its daemon stopped responding")
            expired.append(job.pk)


# ---------------------------------------------------------------------- within a transition
ENDING: dict[str, Any] = {"completed_at": Now(), "updated_at": Now(), "lease": None, "lease_expires_at": None}
WAITING: dict[str, Any] = {
    "started_at": None,
    "worker_id": None,
    "lease": None,
    "lease_expires_at": None,
    "updated_at": Now(),
}


def _locked(lease: Lease) -> ProvisionerJob:
    """The job's row, locked until the transaction ends."""
    job = ProvisionerJob.objects.select_for_update().filter(pk=lease.job_id, lease=lease.token).first()
    if job is None:
        raise LeaseLost
    return job


# Only a job that is being canceled ends as canceled.
END = PreparedCommand("""
UPDATE provisioning_provisionerjob
   SET completed_at = now(), updated_at = now(), lease = NULL, lease_expires_at = NULL,
       error = %(error)s, ended_lease = %(token)s, ended_as = %(how)s
 WHERE id = %(job)s AND lease = %(token)s AND (%(types)s::text[] IS NULL OR type = ANY(%(types)s::text[]))
   AND (%(how)s::text <> 'cancel' OR canceled_at IS NOT NULL)
RETURNING type
""")


def _end(lease: Lease, how: JobEnd, *, error: str = "", types: Sequence[str] | None = None) -> str:
    """Return the type of the job that this call has ended; empty when the same lease had ended it so before. Raises
    LeaseLost, and WrongResult for a job of none of the types.
    """
    row = END.row(job=lease.job_id, token=lease.token, error=error, how=how.value, types=types)
    if row is None:
        held = ProvisionerJob.objects.filter(pk=lease.job_id, lease=lease.token)
        if types is not None and held.exclude(type__in=types).exists():
            raise WrongResult
        _ended_before(lease, how)
        _notify_end(lease.job_id)  # the first call may have come to its end before it could
        return ""
    _notify_end(lease.job_id)
    job_type: bytes = row[0]
    return job_type.decode()


def _bare(lease: Lease) -> ProvisionerJob:
    """The job with its id alone: other fields are read when they are looked at."""
    return ProvisionerJob.from_db(connection.alias, ("id",), (lease.job_id,))


def _ended_before(lease: Lease, how: JobEnd) -> None:
    """Return when that lease ended in that way. Raises LeaseLost."""
    if not ProvisionerJob.objects.filter(pk=lease.job_id, ended_lease=lease.token, ended_as=how).exists():
        raise LeaseLost


def _give_up(job: ProvisionerJob, reason: str) -> None:
    """The locked job's work is lost: queue it again when that is safe and worth it, else end it."""
    rows = ProvisionerJob.objects.filter(pk=job.pk)
    is_repeatable = kind_of(job).is_repeatable
    if job.canceled_at is not None:
        rows.update(**ENDING)
        _notify_end(job.pk)
    elif is_repeatable and job.attempts < MAX_ATTEMPTS:
        writing.note(job, LogLevel.WARN, f"Attempt {job.attempts} of {MAX_ATTEMPTS} was lost: {reason}. Queued again.")
        rows.update(**WAITING)
        _notify(QUEUED, job.pk)
    else:
        lost = f"The job was lost: {reason}"
        again = f" {job.attempts} times." if is_repeatable else ". What it did so far is unknown."
        writing.note(job, LogLevel.ERROR, lost + again)
        rows.update(error=lost + again, **ENDING)
        _notify_end(job.pk)


def _error_text(error: str) -> str:
    return (
        writing.printable(error, keep_lines=True).strip()[:MAX_ERROR_CHARACTERS] or "The job failed without a reason."
    )


def _notify(event: str, job_id: uuid.UUID) -> None:
    notify((JOB_CHANNEL, f"{event}:{job_id}"))


def _notify_end(job_id: uuid.UUID) -> None:
    """To those who follow the job's log; a daemon has nothing to do about it."""
    notify((LOG_CHANNEL, f"{job_id}{END_MARK}"))
