"""Which daemon takes which job, and why a waiting job cannot start: which of its tags no online daemon has."""

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from provisioning.models import DEFAULT_TAGS, ProvisionerDaemon, ProvisionerJob
from provisioning.protocol.leases import Worker

# A job's tags must be a subset of the daemon's; a job with the default tags goes only to a daemon with exactly these.
FITS_SQL = """
 WHERE started_at IS NULL AND completed_at IS NULL AND canceled_at IS NULL
   AND provisioner = ANY(%(provisioners)s::text[])
   AND (%(organization)s::uuid IS NULL OR organization_id = %(organization)s::uuid)
   AND CASE WHEN tags = %(default_tags)s::jsonb THEN tags = %(tags)s::jsonb
            ELSE tags <@ %(tags)s::jsonb END
"""


def fitting(worker: Worker) -> dict[str, Any]:
    """The parameters of FITS_SQL: the waiting jobs that the worker may claim."""
    return {
        "organization": worker.organization_id,
        "provisioners": list(worker.provisioners),
        "default_tags": json.dumps(DEFAULT_TAGS),
        "tags": json.dumps(dict(worker.tags)),
    }


@dataclass(frozen=True, slots=True)
class Unmatched:
    """``missing`` are the tags (``key=value``) that no online daemon has together with the engine that the job needs;
    it is empty when no daemon of that kind is online at all. ``last_seen_at``: of the last daemon that would do."""

    missing: tuple[str, ...]
    last_seen_at: datetime | None

    @property
    def reason(self) -> str:
        """In a few words."""
        if self.missing:
            return f"No online daemon has {', '.join(self.missing)}"
        return "No daemon that could take it is online"


def unmatched(jobs: Iterable[ProvisionerJob]) -> Mapping[uuid.UUID, Unmatched]:
    """Those of the waiting jobs that no online daemon can take, and why. Two queries without regard to their number."""
    waiting = list(jobs)
    if not waiting:
        return {}
    known = list(ProvisionerDaemon.objects.select_related("key").order_by("-last_seen_at"))
    online_ids = set(ProvisionerDaemon.objects.online().values_list("pk", flat=True))
    online = [daemon for daemon in known if daemon.pk in online_ids]
    reasons = {}
    for job in waiting:
        if not any(takes(daemon, job) for daemon in online):
            before = next((daemon for daemon in known if takes(daemon, job)), None)
            reasons[job.pk] = Unmatched(_missing(job, online), before.last_seen_at if before else None)
    return reasons


def takes(daemon: ProvisionerDaemon, job: ProvisionerJob) -> bool:
    """Whether the daemon may claim the job: as FITS_SQL decides."""
    if job.provisioner not in daemon.provisioners:
        return False
    if daemon.key and daemon.key.organization_id and daemon.key.organization_id != job.organization_id:
        return False
    if job.tags == DEFAULT_TAGS:
        return bool(daemon.tags == DEFAULT_TAGS)
    return bool(job.tags.items() <= daemon.tags.items())


def _missing(job: ProvisionerJob, online: Sequence[ProvisionerDaemon]) -> tuple[str, ...]:
    """The job's tags that no online daemon has; when each of them is had by some, all but the default ones."""
    fitting = [daemon for daemon in online if job.provisioner in daemon.provisioners]
    if not fitting or job.tags == DEFAULT_TAGS:
        return ()
    pairs = [(key, value) for key, value in job.tags.items() if DEFAULT_TAGS.get(key) != value]
    absent = [(key, value) for key, value in pairs if not any(daemon.tags.get(key) == value for daemon in fitting)]
    return tuple(f"{key}={value}" for key, value in absent or pairs)
