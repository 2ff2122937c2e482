"""Match jobs with daemons, and explain why a waiting job cannot start: the tags that no online daemon has."""

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from provisioning.models import DEFAULT_TAGS, ProvisionerDaemon, ProvisionerJob
from provisioning.protocol.leases import Worker

# A job's tags must be a subset of the daemon's. A job with the default tags runs only on a daemon with exactly these.
MATCH_SQL = """
 WHERE started_at IS NULL AND completed_at IS NULL AND canceled_at IS NULL
   AND provisioner = ANY(%(provisioners)s::text[])
   AND (%(organization)s::uuid IS NULL OR organization_id = %(organization)s::uuid)
   AND CASE WHEN tags = %(default_tags)s::jsonb THEN tags = %(tags)s::jsonb
            ELSE tags <@ %(tags)s::jsonb END
"""


def match_parameters(worker: Worker) -> dict[str, Any]:
    """Return the parameters of MATCH_SQL for the waiting jobs that the worker may claim."""
    return {
        "organization": worker.organization_id,
        "provisioners": list(worker.provisioners),
        "default_tags": json.dumps(DEFAULT_TAGS),
        "tags": json.dumps(dict(worker.tags)),
    }


@dataclass(frozen=True, slots=True)
class Unmatched:
    """Why a waiting job cannot start. ``missing`` are the tags (``key=value``) that no online daemon with the job's
    engine has; it is empty when no daemon with the engine is online. ``last_seen_at`` is the time of the last heartbeat
    of a daemon that could run the job."""

    missing: tuple[str, ...]
    last_seen_at: datetime | None

    @property
    def reason(self) -> str:
        """The reason in a few words, for users."""
        if self.missing:
            return f"No online daemon has {', '.join(self.missing)}"
        return "No matching daemon is online"


def unmatched(jobs: Iterable[ProvisionerJob]) -> Mapping[uuid.UUID, Unmatched]:
    """Return the waiting jobs that no online daemon can run, with the reasons. Runs two queries."""
    waiting = list(jobs)
    if not waiting:
        return {}
    known = list(ProvisionerDaemon.objects.select_related("key").order_by("-last_seen_at"))
    online_ids = set(ProvisionerDaemon.objects.online().values_list("pk", flat=True))
    online = [daemon for daemon in known if daemon.pk in online_ids]
    reasons = {}
    for job in waiting:
        if not any(can_claim(daemon, job) for daemon in online):
            before = next((daemon for daemon in known if can_claim(daemon, job)), None)
            reasons[job.pk] = Unmatched(_missing(job, online), before.last_seen_at if before else None)
    return reasons


@dataclass(frozen=True, slots=True)
class Matched:
    """How many known daemons may run a job, how many of them are online, and the last heartbeat of any of them."""

    count: int
    available: int
    most_recently_seen: datetime | None


def matched(job: ProvisionerJob) -> Matched:
    """Return the daemons that may run a job, without those that deregistered. Runs two queries."""
    known = ProvisionerDaemon.objects.filter(stopped_at=None).select_related("key").order_by("-last_seen_at")
    found = [daemon for daemon in known if can_claim(daemon, job)]
    online_ids = set(ProvisionerDaemon.objects.online().values_list("pk", flat=True)) if found else set()
    available = sum(daemon.pk in online_ids for daemon in found)
    return Matched(len(found), available, found[0].last_seen_at if found else None)


def can_claim(daemon: ProvisionerDaemon, job: ProvisionerJob) -> bool:
    """Return True if the daemon may claim the job, by the same rules as MATCH_SQL."""
    if job.provisioner not in daemon.provisioners:
        return False
    if daemon.key and daemon.key.organization_id and daemon.key.organization_id != job.organization_id:
        return False
    if job.tags == DEFAULT_TAGS:
        return bool(daemon.tags == DEFAULT_TAGS)
    return bool(job.tags.items() <= daemon.tags.items())


def _missing(job: ProvisionerJob, online: Sequence[ProvisionerDaemon]) -> tuple[str, ...]:
    """Return the job's tags that no online daemon has; if each is on some daemon, all tags but the default ones."""
    candidates = [daemon for daemon in online if job.provisioner in daemon.provisioners]
    if not candidates or job.tags == DEFAULT_TAGS:
        return ()
    pairs = [(key, value) for key, value in job.tags.items() if DEFAULT_TAGS.get(key) != value]
    absent = [(key, value) for key, value in pairs if not any(daemon.tags.get(key) == value for daemon in candidates)]
    return tuple(f"{key}={value}" for key, value in absent or pairs)
