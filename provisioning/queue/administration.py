"""What people do with jobs of any kind: cancel them, or have them start again elsewhere. Both are in the audit log."""

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
    """Whether there is something to cancel."""
    return job.completed_at is None and job.canceled_at is None


def cancelable(actor: Actor, rows: Iterable[ProvisionerJob]) -> Collection[uuid.UUID]:
    """The ids of those jobs that the actor may cancel, of jobs that they see: all that have not ended, where the job's
    kind has no rule of its own. The rule of a kind is asked once."""
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
    """Ask for the end of a job: of one's own, or as who manages the templates of its organization, unless the
    job's kind has another rule.

    Raises NotFound, Forbidden, and JobEnded when there is nothing to cancel.
    """
    _check(actor, job)
    rule = kinds().of(job.type).cancelable
    if rule and job.pk not in function(rule)(actor, [job]):
        raise Forbidden
    stop(actor, job)


def stop(actor: Actor, job: ProvisionerJob) -> None:
    """Ask for the end of a job that the caller has found the actor may end. Raises JobEnded."""
    with audit.record(actor, AuditAction.STOP, job) as entry:
        jobs.cancel(job.pk)
        entry.after = ProvisionerJob.objects.get(pk=job.pk)


def requeue(actor: Actor, job: ProvisionerJob) -> None:
    """Take a running job away from its daemon and queue it again. The same people may.

    Raises NotFound, and NotRepeatable for a job that does not run or cannot be repeated.
    """
    _check(actor, job)
    with audit.record(actor, AuditAction.START, job) as entry:
        jobs.requeue(job.pk, f"{actor.username} took it away from its daemon")
        entry.after = ProvisionerJob.objects.get(pk=job.pk)


def _check(actor: Actor, job: ProvisionerJob) -> None:
    if not ProvisionerJob.objects.visible(actor).filter(pk=job.pk).exists():
        raise NotFound
