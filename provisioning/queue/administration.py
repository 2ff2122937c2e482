"""Actions of users on jobs of any kind: cancel and requeue. Both are recorded in the audit log."""

import uuid
from collections.abc import Collection, Iterable

from coderproj.base.errors import Forbidden, NotFound
from coderproj.identity import audit
from coderproj.identity.actor import Actor
from coderproj.identity.models import AuditAction
from provisioning.models import ProvisionerJob
from provisioning.queue import jobs
from provisioning.queue.kinds import function, kinds


def is_cancelable(job: ProvisionerJob) -> bool:
    """Return True if the job has not ended and its cancellation was not requested."""
    return job.completed_at is None and job.canceled_at is None


def cancelable(actor: Actor, rows: Iterable[ProvisionerJob]) -> Collection[uuid.UUID]:
    """Return the ids of those visible jobs that the actor may cancel: of kinds without their own rule, all that have
    not ended. Calls the rule of each kind once."""
    by_type: dict[str, list[ProvisionerJob]] = {}
    for job in rows:
        if is_cancelable(job):
            by_type.setdefault(job.type, []).append(job)
    found: set[uuid.UUID] = set()
    for job_type, listed in by_type.items():
        rule = kinds().of(job_type).cancelable
        found |= set(function(rule)(actor, listed)) if rule else {job.pk for job in listed}
    return found


def cancel(actor: Actor, job: ProvisionerJob) -> None:
    """Request the cancellation of a job: the actor's own, or one of an organization whose templates the actor manages,
    unless the job's kind has another rule.

    Raises NotFound, Forbidden, and JobEnded when the job has ended or its cancellation was already requested.
    """
    _check(actor, job)
    with audit.refused(actor, AuditAction.STOP, job):
        rule = kinds().of(job.type).cancelable
        if rule and job.pk not in function(rule)(actor, [job]):
            raise Forbidden
        stop(actor, job)


def stop(actor: Actor, job: ProvisionerJob) -> None:
    """Request the cancellation of a job without checking permissions: the caller has done so. Raises JobEnded."""
    with audit.record(actor, AuditAction.STOP, job) as entry:
        jobs.cancel(job.pk)
        entry.after = ProvisionerJob.objects.get(pk=job.pk)


def requeue(actor: Actor, job: ProvisionerJob) -> None:
    """Revoke the lease of a running job and queue it again. Every actor who can see the job may requeue it.

    Raises NotFound, and NotRepeatable for a job that is not running or cannot be repeated.
    """
    _check(actor, job)
    with audit.record(actor, AuditAction.START, job) as entry:
        jobs.requeue(job.pk, f"{actor.username} returned it to the queue")
        entry.after = ProvisionerJob.objects.get(pk=job.pk)


def _check(actor: Actor, job: ProvisionerJob) -> None:
    if not ProvisionerJob.objects.visible(actor).filter(pk=job.pk).exists():
        raise NotFound
