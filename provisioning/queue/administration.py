"""What people do with jobs of any kind: cancel them, or have them start again elsewhere. Both are in the audit log."""

from coderproj.base.errors import NotFound
from coderproj.identity import audit
from coderproj.identity.actor import Actor
from coderproj.identity.models import AuditAction
from provisioning.models import ProvisionerJob
from provisioning.queue import jobs


def cancel(actor: Actor, job: ProvisionerJob) -> None:
    """Ask for the end of a job: of one's own, or as who manages the templates of its organization.

    Raises NotFound, and JobEnded when there is nothing to cancel.
    """
    _check(actor, job)
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
