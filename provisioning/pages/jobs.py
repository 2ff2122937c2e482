"""The queue: what runs, what waits and why, what has finished, and the daemons."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse

from coderproj.api import filtering
from coderproj.console.forms import ConsoleForm
from coderproj.console.paging import slice_of
from coderproj.console.questions import Question
from coderproj.console.views import SignedInPage
from coderproj.errors import Invalid
from provisioning.filters import JobFilter
from provisioning.job_queue import queue_of
from provisioning.job_subjects import KINDS, Subject, kind_of, subjects_of
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
    JobStatus.SUCCEEDED.value: "Succeeded",
    JobStatus.FAILED.value: "Failed",
    JobStatus.CANCELED.value: "Canceled",
}
# The id of the finished jobs, which htmx names when it asks for them.
FINISHED = "finished"


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


class FinishedForm(ConsoleForm):
    """The filters of the API that people use most, for finished jobs; all of them work in the address."""

    status = forms.ChoiceField(required=False, label="Result", choices=[("", "Any"), *RESULTS.items()])
    type = forms.ChoiceField(
        required=False, label="Kind", choices=[("", "Any"), *((key.value, name) for key, name in KINDS.items())]
    )
    template = forms.CharField(
        required=False, label="Template", widget=forms.TextInput({"type": "search", "placeholder": "Part of its name"})
    )
    initiator = forms.CharField(
        required=False,
        label="Started by",
        widget=forms.TextInput({"type": "search", "placeholder": "Username, or me", "spellcheck": "false"}),
    )


class JobsPage(SignedInPage):
    """Running, waiting and finished jobs that one may see; with ``?list=``, all of one kind that have not ended. htmx
    asks for what has not ended alone, again and again, and for the finished ones that a filter leaves."""

    section = "jobs"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        if request.GET.get("list") in LISTS:
            return self._list(request, request.GET["list"])
        if self.wants_part and request.htmx.target != FINISHED:  # type: ignore[attr-defined]
            return self.show("provisioning/jobs.html", self._queue([])[0], part="provisioning/_queue.html")
        context, finished = self._finished()
        if self.wants_part:
            rows = self._rows(finished)
        else:
            queue, rows = self._queue(finished)
            context |= queue
        return self.show("provisioning/jobs.html", context | {"finished": rows}, part="provisioning/_finished.html")

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

    def _queue(self, others: Sequence[ProvisionerJob]) -> tuple[dict[str, Any], list[JobRow]]:
        """Jobs that have not ended, and the daemons; and rows for others, which are looked up with them."""
        running = list(self._active("running")[:SHOWN_AT_MOST])
        waiting = list(self._active("waiting")[:SHOWN_AT_MOST])
        rows = {row.job.pk: row for row in self._rows([*running, *waiting, *others])}
        running_rows = [rows[job.pk] for job in running]
        waiting_rows = [rows[job.pk] for job in waiting]
        context = {
            "running": running_rows,
            "waiting": waiting_rows,
            **self._counted("running", running),
            **self._counted("waiting", waiting),
            "stuck": [row for row in waiting_rows if row.no_match],
            "daemons": daemon_rows(running_rows),
        }
        return context, [rows[job.pk] for job in others]

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

    def _finished(self) -> tuple[dict[str, Any], Sequence[ProvisionerJob]]:
        """The form of the filters, and the jobs that have ended of the page that is asked for, newest first."""
        given = {name: value for name in FinishedForm.base_fields if (value := self.request.GET.get(name, "").strip())}
        visible = ProvisionerJob.objects.visible(self.actor).filter(completed_at__isnull=False)
        problem = ""
        try:
            jobs = filtering.apply(JobFilter, self.actor, given, visible)
        except Invalid as error:
            jobs = visible.none()
            problem = " ".join(found.detail for found in error.problems)
        shown = jobs.select_related("initiator").only(*SHOWN_FIELDS).order_by("-completed_at", "id")
        found = slice_of(self.request, shown, FINISHED_SIZE, address=reverse("jobs"))
        context = {
            "form": FinishedForm(initial=given),
            "filtered": bool(given),
            "problem": problem,
            "slice": found,
        }
        return context, found.rows

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
