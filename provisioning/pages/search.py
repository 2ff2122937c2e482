"""Jobs and daemons in the global search."""

import re
import uuid
from collections.abc import Sequence

from coderproj.console.search import Hit, Source
from coderproj.identity.actor import Actor
from coderproj.identity.rbac import Action, Resource, allowed_everywhere
from provisioning.models import ProvisionerDaemon, ProvisionerJob
from provisioning.pages.addresses import daemon_url, job_url
from provisioning.queue.kinds import kind_of

# Jobs are found by the beginning of their ID: lists show eight digits.
JOB_ID_START = re.compile(r"[0-9a-f]{8,32}")


def find_jobs(actor: Actor, text: str, count: int) -> Sequence[Hit]:
    """Return jobs by ID, or by at least its first eight digits."""
    start = text.lower().replace("-", "")
    if not JOB_ID_START.fullmatch(start):
        return []
    # A range of the primary key: from the first to the last ID with this beginning.
    first, last = uuid.UUID(start.ljust(32, "0")), uuid.UUID(start.ljust(32, "f"))
    jobs = ProvisionerJob.objects.visible(actor).filter(pk__gte=first, pk__lte=last).order_by("pk")[:count]
    return [Hit(job_url(job), f"{kind_of(job).label} {str(job.pk)[:8]}", _state(job), "list-checks") for job in jobs]


def _state(job: ProvisionerJob) -> str:
    return f"{job.status.label}, {job.created_at:%Y-%m-%d %H:%M} UTC"


def find_daemons(actor: Actor, text: str, count: int) -> Sequence[Hit]:
    if not allowed_everywhere(actor, Action.READ, Resource.PROVISIONER_DAEMON):
        return []
    daemons = ProvisionerDaemon.objects.filter(name__icontains=text).order_by("name")[:count]
    return [Hit(daemon_url(row), row.name, row.hostname, "server") for row in daemons]


SOURCES = [Source("Jobs", 60, find_jobs), Source("Daemons", 70, find_daemons, "/daemons?q=")]
