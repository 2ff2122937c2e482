"""Figures about jobs and daemons: numbers of running, waiting, succeeded and failed jobs, and of daemons."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db.models import Count, Q
from django.db.models.functions import Now

from coderproj.identity.actor import Actor
from provisioning.models import ProvisionerDaemon, ProvisionerJob
from provisioning.models.daemons import ONLINE_SECONDS
from provisioning.queue.kinds import kinds

RECENT = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class JobFigures:
    """Current jobs; developers' runs of the last 24 hours by outcome; ``users_today`` users started one today (UTC)."""

    running: int
    waiting: int
    succeeded: int
    failed: int
    users_today: int

    @property
    def active(self) -> int:
        return self.running + self.waiting

    @property
    def ended(self) -> int:
        return self.succeeded + self.failed

    @property
    def success_rate(self) -> float | None:
        """The percentage of successful runs; None when no run has ended."""
        return 100 * self.succeeded / self.ended if self.ended else None


def job_figures(actor: Actor) -> JobFigures:
    """Return the figures of the jobs that the actor may see. Runs one query."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    active = Q(completed_at=None)
    runs = Q(type__in=kinds().run_types)
    ended = Q(completed_at__isnull=False) & runs
    jobs = ProvisionerJob.objects.visible(actor).filter(active | Q(completed_at__gte=Now() - RECENT))
    return JobFigures(
        **jobs.aggregate(
            running=Count("id", filter=active & Q(started_at__isnull=False)),
            waiting=Count("id", filter=active & Q(started_at=None)),
            succeeded=Count("id", filter=ended & Q(error="", canceled_at=None)),
            failed=Count("id", filter=ended & ~Q(error="")),
            users_today=Count("initiator", distinct=True, filter=runs & Q(created_at__gte=today)),
        )
    )


@dataclass(frozen=True, slots=True)
class DaemonFigures:
    """The numbers of online daemons, and of all daemons that have not deregistered."""

    online: int
    known: int


def daemon_figures() -> DaemonFigures:
    """Return the figures of all daemons. Runs one query."""
    fresh = Q(last_seen_at__gt=Now() - timedelta(seconds=ONLINE_SECONDS))
    daemons = ProvisionerDaemon.objects.filter(stopped_at=None)
    return DaemonFigures(**daemons.aggregate(online=Count("id", filter=fresh), known=Count("id")))
