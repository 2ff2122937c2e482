"""The utilisation of daemons, computed from the jobs that they finished. One grouped query each."""

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from django.db import connection

from provisioning.models import ProvisionerDaemon
from provisioning.queue.outcomes import FAILED, RAN, percentile

DAY = timedelta(days=1)
# The part of a job's run time that lies after a given time.
SECONDS = "extract(epoch FROM job.completed_at - greatest(job.started_at, %(since)s))"
WORK_SQL = f"""
SELECT job.worker_id, count(*), count(*) FILTER (WHERE {FAILED}), sum({SECONDS}),
       {percentile(0.5, RAN)}
  FROM provisioning_provisionerjob job
 WHERE job.worker_id = ANY(%(daemons)s::uuid[]) AND job.completed_at >= %(since)s AND job.started_at IS NOT NULL
 GROUP BY 1
"""  # noqa: S608 - made of constants
DAILY_WORK_SQL = f"""
SELECT (job.completed_at AT TIME ZONE 'UTC')::date, count(*), count(*) FILTER (WHERE {FAILED})
  FROM provisioning_provisionerjob job
 WHERE job.worker_id = %(daemon)s AND job.completed_at >= %(since)s AND job.started_at IS NOT NULL
 GROUP BY 1
"""  # noqa: S608 - made of constants


@dataclass(frozen=True, slots=True)
class Work:
    """The jobs that a daemon finished in a period, the seconds it spent on them in the period, and their median
    duration in seconds. ``share`` is the percentage of its capacity, which is the time since the start of the period,
    or since it first registered, for each worker slot."""

    count: int = 0
    failed: int = 0
    seconds: float = 0
    p50: float | None = None
    share: float = 0

    @property
    def success_rate(self) -> float | None:
        """The percentage of successful jobs; None when there are no jobs."""
        return 100 * (self.count - self.failed) / self.count if self.count else None


def work_of(daemons: Sequence[ProvisionerDaemon], period: timedelta = DAY) -> Mapping[uuid.UUID, Work]:
    """Return the work of these daemons in the period until now. Runs one query for any number of daemons."""
    now = datetime.now(UTC)
    since = now - period
    with connection.cursor() as cursor:
        cursor.execute(WORK_SQL, {"daemons": [daemon.pk for daemon in daemons], "since": since})
        found = {row[0]: row[1:] for row in cursor.fetchall()}
    work = {}
    for daemon in daemons:
        count, failed, seconds, p50 = found.get(daemon.pk, (0, 0, 0, None))
        could = (now - max(since, daemon.created_at)).total_seconds() * daemon.concurrency
        share = min(100 * float(seconds) / could, 100.0) if could > 0 else 0.0
        work[daemon.pk] = Work(count, failed, float(seconds), p50, share)
    return work


def daily_jobs(daemon: ProvisionerDaemon, days: Collection[date]) -> list[tuple[int, int]]:
    """Return the numbers of jobs that the daemon finished on each day (UTC), and of failed ones. Runs one query."""
    first = min(days)
    since = datetime(first.year, first.month, first.day, tzinfo=UTC)
    with connection.cursor() as cursor:
        cursor.execute(DAILY_WORK_SQL, {"daemon": daemon.pk, "since": since})
        found = {day: (count, failed) for day, count, failed in cursor.fetchall()}
    return [found.get(day, (0, 0)) for day in days]
