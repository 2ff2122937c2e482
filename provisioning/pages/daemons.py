"""The daemons: tags, current jobs and utilisation."""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.html import format_html
from django.utils.safestring import SafeString

from coderproj.base.errors import NotFound
from coderproj.console import cells, charts
from coderproj.console.charts import Series
from coderproj.console.lists import Column, Listing
from coderproj.console.paging import slice_of
from coderproj.console.templatetags.console import ago, status
from coderproj.console.views import SignedInPage
from coderproj.identity.actor import Actor
from coderproj.identity.rbac import Action, Resource, allowed_everywhere, authorize
from provisioning.keys import may_manage_keys
from provisioning.models import ProvisionerDaemon, ProvisionerJob
from provisioning.models.daemons import ONLINE_SECONDS
from provisioning.pages.addresses import daemon_url
from provisioning.pages.job_lists import FINISHED_BY_DAEMON, JobRow
from provisioning.pages.parts import tags_of
from provisioning.queue import utilisation
from provisioning.queue.subjects import subjects_of
from provisioning.queue.utilisation import Work

PAGE_SIZE = 50
JOBS_SIZE = 25
DAYS = 30
DAEMONS = ("Daemons", "/daemons")
SHOWN = {"": "Registered", "online": "Online", "stale": "Not seen", "stopped": "Stopped", "all": "All"}


@dataclass(frozen=True, slots=True)
class DaemonRow:
    """A daemon in a list. ``busy`` is the number of its running jobs, ``jobs`` are the visible ones among them."""

    daemon: ProvisionerDaemon
    state: str
    tags: list[str]
    busy: int
    jobs: list[JobRow]
    work: Work


def _daemon_entity(row: DaemonRow) -> SafeString:
    daemon = row.daemon
    version = daemon.version or "unknown version"
    note = f"{version}, {daemon.hostname}" if daemon.hostname else version
    return cells.entity(cells.icon_tile("server"), daemon.name, note, url=daemon_url(daemon))


def _job_count(row: DaemonRow) -> SafeString:
    failed = cells.muted(f"{row.work.failed} failed") if row.work.failed else ""
    return format_html("{} {}", row.work.count, failed)


DAEMON_LIST = Listing[DaemonRow](
    Column("Daemon", _daemon_entity, ("name", "version", "hostname"), "wide", phone_label=""),
    Column("State", lambda row: status(row.state, chip=True), ("stopped_at", "last_seen_at")),
    Column("Current job", "provisioning/_daemon_work.html", ("concurrency",), "full"),
    Column("Tags", lambda row: cells.tags(row.tags), ("tags",), "full"),
    Column(
        "Busy, 24 h",
        lambda row: cells.gauge(row.work.share, f"{row.daemon.name}, busy", digits=-1),
        ("concurrency", "created_at"),
    ),
    Column("Jobs, 24 h", _job_count, ("concurrency", "created_at"), "number right"),
    Column("Last seen", lambda row: ago(row.daemon.last_seen_at), ("last_seen_at",), "number muted"),
)


class DaemonsPage(SignedInPage):
    """All daemons with their current jobs and their utilisation in the last 24 hours."""

    section = "daemons"

    def prepare(self) -> None:  # type: ignore[override]
        authorize(self.actor, Action.READ, Resource.PROVISIONER_DAEMON)

    def get(self, request: HttpRequest) -> HttpResponseBase:
        show = request.GET.get("show", "")
        show = show if show in SHOWN else ""
        query = request.GET.get("q", "").strip()
        found = with_state(show)
        if query:
            found = found.filter(Q(name__icontains=query) | Q(hostname__icontains=query))
        page = slice_of(request, DAEMON_LIST.fetch(found).order_by("stopped_at", "name"), PAGE_SIZE)
        context: dict[str, Any] = {
            "daemons": DAEMON_LIST.table(rows_of(self.actor, page.rows)),
            "slice": page,
            "q": query,
            "show": show,
            "tabs": SHOWN.items(),
            "may_manage_keys": may_manage_keys(self.actor),
        }
        return self.show("provisioning/daemons.html", context, part="provisioning/_daemon_list.html")


def with_state(show: str) -> "QuerySet[ProvisionerDaemon]":
    """Return the daemons in this state of the page's filter; "" means all that have not deregistered."""
    match show:
        case "online":
            return ProvisionerDaemon.objects.online()
        case "stale":
            return ProvisionerDaemon.objects.missing()
        case "stopped":
            return ProvisionerDaemon.objects.filter(stopped_at__isnull=False)
        case "all":
            return ProvisionerDaemon.objects.all()
    return ProvisionerDaemon.objects.filter(stopped_at=None)


def state_of(daemon: ProvisionerDaemon, busy: int) -> str:
    """Return the state for the tag ``status``. A stale daemon can still be running."""
    if daemon.stopped_at:
        return "stopped"
    if daemon.last_seen_at <= datetime.now(UTC) - timedelta(seconds=ONLINE_SECONDS):
        return "stale"
    return "busy" if busy else "idle"


def rows_of(actor: Actor, daemons: Sequence[ProvisionerDaemon]) -> list[DaemonRow]:
    """Return the rows of a list with at most five queries in total."""
    ids = [daemon.pk for daemon in daemons]
    running = list(ProvisionerJob.objects.active().filter(worker_id__in=ids).order_by("started_at"))
    visible = set(
        ProvisionerJob.objects.visible(actor).filter(pk__in=[job.pk for job in running]).values_list("pk", flat=True)
    )
    shown = {job.job.pk: job for job in jobs_of(actor, [job for job in running if job.pk in visible])}
    work = utilisation.work_of(daemons)
    rows = []
    for daemon in daemons:
        own = [job for job in running if job.worker_id == daemon.pk]
        jobs = [shown[job.pk] for job in own if job.pk in shown]
        rows.append(
            DaemonRow(daemon, state_of(daemon, len(own)), tags_of(daemon.tags), len(own), jobs, work[daemon.pk])
        )
    return rows


def jobs_of(actor: Actor, jobs: Iterable[ProvisionerJob]) -> list[JobRow]:
    """Return jobs with their subjects. At most two queries."""
    listed = list(jobs)
    subjects = subjects_of(actor, listed)
    return [JobRow(job, subjects[job.pk]) for job in listed]


class DaemonPage(SignedInPage):
    """One daemon: facts, figures of the last 30 days, and its visible finished jobs."""

    section = "daemons"
    daemon: ProvisionerDaemon

    def prepare(self, daemon: uuid.UUID) -> None:  # type: ignore[override]
        found = ProvisionerDaemon.objects.filter(pk=daemon).select_related("key__organization").first()
        if found is None or not allowed_everywhere(self.actor, Action.READ, Resource.PROVISIONER_DAEMON):
            raise NotFound
        self.daemon = found

    def get(self, request: HttpRequest, daemon: uuid.UUID) -> HttpResponseBase:
        row = rows_of(self.actor, [self.daemon])[0]
        today = datetime.now(UTC).date()
        days = [today - timedelta(days=DAYS - 1 - index) for index in range(DAYS)]
        daily = utilisation.daily_jobs(self.daemon, days)
        month = utilisation.work_of([self.daemon], timedelta(days=DAYS))[self.daemon.pk]
        jobs = ProvisionerJob.objects.visible(self.actor).filter(worker_id=self.daemon.pk, completed_at__isnull=False)
        found = slice_of(request, FINISHED_BY_DAEMON.fetch(jobs).order_by("-completed_at", "id"), JOBS_SIZE)
        context = {
            "row": row,
            "daemon": self.daemon,
            "month": month,
            "history": jobs_card(daily, days, any_job=month.count > 0),
            "finished": FINISHED_BY_DAEMON.table(jobs_of(self.actor, found.rows)),
            "slice": found,
            "may_manage_keys": may_manage_keys(self.actor),
            "trail": [DAEMONS, (self.daemon.name, "")],
        }
        return self.show("provisioning/daemon.html", context)


def jobs_card(daily: Sequence[tuple[int, int]], days: Sequence[date], *, any_job: bool) -> charts.Card:
    """Return the chart of finished and failed jobs by day."""
    series = [
        Series("finished", [float(count) for count, _ in daily]),
        Series("failed", [float(failed) for _, failed in daily]),
    ]
    return charts.Card(
        key="history",
        title="Jobs by day",
        lines=("finished", "failed"),
        chart=charts.line_chart(series, days, f"Jobs finished on each of the last {DAYS} days") if any_job else "",
        none=f"No job finished in the last {DAYS} days.",
        summary="Numbers by day",
        columns=("Finished", "Failed"),
        rows=list(zip(days, daily, strict=True))[::-1] if any_job else [],
    )
