"""The queue: what runs, what waits and why, what has finished, and the daemons."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse

from coderproj.console.paging import slice_of
from coderproj.console.questions import Question
from coderproj.console.views import SignedInPage
from provisioning.job_queue import queue_of
from provisioning.job_subjects import Subject, kind_of, subjects_of
from provisioning.matching import Unmatched, unmatched
from provisioning.models import JobStatus, ProvisionerDaemon, ProvisionerJob
from provisioning.pages.addresses import job_url
from provisioning.pages.parts import daemons_by_id, seconds_queued, seconds_run, tags_of

SHOWN_AT_MOST = 25
FINISHED_SIZE = 25
LIST_SIZE = 50
# What lists show of a job, and what is needed to find the rest.
SHOWN_FIELDS = (
    *("type", "created_at", "started_at", "canceled_at", "completed_at", "error"),
    *("input", "tags", "provisioner", "organization", "worker_id", "initiator__username"),
)
# Jobs that have not ended, each kind on a page of its own: heading, order in words, template.
LISTS = {
    "running": ("Running", "Those that started first come first.", "provisioning/_running.html"),
    "waiting": ("Waiting", "In the order of the queue.", "provisioning/_waiting.html"),
}
RESULTS = {
    "": "All",
    JobStatus.SUCCEEDED.value: "Succeeded",
    JobStatus.FAILED.value: "Failed",
    JobStatus.CANCELED.value: "Canceled",
}


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job in a list. ``cancellation`` is None where it is not offered."""

    job: ProvisionerJob
    kind: str
    subject: Subject
    url: str
    daemon: str
    queued: float
    ran: float | None
    position: int
    tags: list[str]
    no_match: Unmatched | None
    cancellation: Question | None


@dataclass(frozen=True, slots=True)
class DaemonRow:
    """A daemon with its state and the jobs that it runs, as far as the actor may see them."""

    daemon: ProvisionerDaemon
    state: str
    jobs: list[JobRow]
    tags: list[str]


class JobsPage(SignedInPage):
    """Running, waiting and finished jobs that one may see; with ``?list=``, all of one kind that have not ended. htmx
    asks for what changes alone, again and again."""

    section = "jobs"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        if request.GET.get("list") in LISTS:
            return self._list(request, request.GET["list"])
        result = request.GET.get("status", "")
        result = result if result in RESULTS else ""
        if self.wants_part:
            return self.show("provisioning/jobs.html", self._queue(), part="provisioning/_queue.html")
        finished = slice_of(request, self._finished(result), FINISHED_SIZE)
        context = self._queue(finished.rows) | {
            "slice": finished,
            "result": result,
            "results": RESULTS.items(),
        }
        return self.show("provisioning/jobs.html", context)

    def _list(self, request: HttpRequest, kind: str) -> HttpResponseBase:
        label, order, part = LISTS[kind]
        jobs = self._active(kind)
        found = slice_of(request, jobs, LIST_SIZE)
        context = {
            kind: self._rows(found.rows),
            f"{kind}_count": jobs.count(),
            "slice": found,
            "label": label,
            "order": order,
            "part": part,
            "trail": [("Jobs", reverse("jobs")), (label, "")],
        }
        return self.show("provisioning/job_list.html", context, part=part)

    def _queue(self, finished: Sequence[ProvisionerJob] = ()) -> dict[str, Any]:
        """Jobs that have not ended, and the daemons; with rows for others, which are then looked up together."""
        running = list(self._active("running")[:SHOWN_AT_MOST])
        waiting = list(self._active("waiting")[:SHOWN_AT_MOST])
        rows = {row.job.pk: row for row in self._rows([*running, *waiting, *finished])}
        running_rows = [rows[job.pk] for job in running]
        waiting_rows = [rows[job.pk] for job in waiting]
        return {
            "running": running_rows,
            "waiting": waiting_rows,
            **self._counted("running", running),
            **self._counted("waiting", waiting),
            "finished": [rows[job.pk] for job in finished],
            "stuck": [row for row in waiting_rows if row.no_match],
            "daemons": daemon_rows(running_rows),
        }

    def _counted(self, kind: str, shown: Sequence[ProvisionerJob]) -> dict[str, Any]:
        """How many there are of that kind, and where all are shown when these are not all."""
        count = len(shown) if len(shown) < SHOWN_AT_MOST else self._active(kind).count()
        url = f"{reverse('jobs')}?list={kind}" if count > len(shown) else ""
        return {f"{kind}_count": count, f"all_{kind}_url": url}

    def _active(self, kind: str) -> "QuerySet[ProvisionerJob]":
        """Jobs of one of LISTS, in its order."""
        jobs = ProvisionerJob.objects.visible(self.actor).active().select_related("initiator").only(*SHOWN_FIELDS)
        if kind == "running":
            return jobs.filter(started_at__isnull=False).order_by("started_at", "id")
        return jobs.filter(started_at=None).order_by("-priority", "created_at", "id")

    def _finished(self, result: str) -> "QuerySet[ProvisionerJob]":
        jobs: Any = ProvisionerJob.objects.visible(self.actor).filter(completed_at__isnull=False)
        if result:
            jobs = jobs.with_status().filter(current_status=result)
        found: QuerySet[ProvisionerJob] = jobs.select_related("initiator").only(*SHOWN_FIELDS)
        return found.order_by("-completed_at", "id")

    def _rows(self, jobs: Sequence[ProvisionerJob]) -> list[JobRow]:
        """Rows for jobs of any state: at most six queries, however many they are."""
        now = datetime.now(UTC)
        subjects = subjects_of(self.actor, jobs)
        daemons = daemons_by_id(job.worker_id for job in jobs)
        waiting = [job for job in jobs if job.started_at is None and job.completed_at is None]
        queue = queue_of([job.pk for job in waiting])
        stuck = unmatched(waiting)
        return [
            JobRow(
                job=job,
                kind=kind_of(job),
                subject=subjects[job.pk],
                url=job_url(job),
                daemon=daemons[job.worker_id].name if job.worker_id in daemons else "",
                queued=seconds_queued(job, now),
                ran=seconds_run(job, now),
                position=queue.position(job.pk),
                tags=tags_of(job.tags),
                no_match=stuck.get(job.pk),
                cancellation=cancellation_of(job, kind_of(job)) if is_cancelable(job) else None,
            )
            for job in jobs
        ]


def daemon_rows(running: Sequence[JobRow]) -> list[DaemonRow]:
    """The daemons that did not say good-bye, by name; busy are also those with jobs that the actor may not see. Three
    queries."""
    daemons = ProvisionerDaemon.objects.filter(stopped_at=None).order_by("name")
    online = set(ProvisionerDaemon.objects.online().values_list("pk", flat=True))
    at_work = set(ProvisionerJob.objects.active().exclude(worker_id=None).values_list("worker_id", flat=True))
    rows = []
    for daemon in daemons:
        jobs = [row for row in running if row.job.worker_id == daemon.pk]
        state = "stale" if daemon.pk not in online else "busy" if daemon.pk in at_work else "idle"
        rows.append(DaemonRow(daemon, state, jobs, tags_of(daemon.tags)))
    return rows


# ---------------------------------------------------------------------- canceling
def is_cancelable(job: ProvisionerJob) -> bool:
    """Whether there is something to cancel. Whoever sees a job in the queue may: it is their own, or they manage the
    templates of its organization."""
    return job.completed_at is None and job.canceled_at is None


def cancellation_of(job: ProvisionerJob, what: str) -> Question:
    """The question before a job is canceled."""
    if job.started_at is None:
        consequences: tuple[str, ...] = ("It has not started, and never will.",)
    else:
        consequences = (
            "Its daemon interrupts it, lets it tidy up, and ends it after a while.",
            "What it found so far is not kept; its log is.",
        )
    return Question(
        key=f"cancel-{job.pk}",
        url=f"{job_url(job)}/cancel",
        action="Cancel",
        title=f"Cancel this {what.lower()}?",
        consequences=consequences,
        button=f"Cancel the {what.lower()}",
        back_url=job_url(job),
        back_label="Let it go on",
        danger=True,
    )
