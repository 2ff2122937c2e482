"""The queue: running, waiting and finished jobs, and the daemons."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse

from coderproj.base import filtering
from coderproj.base.errors import Invalid
from coderproj.console.forms import FiltersForm
from coderproj.console.lists import Listing
from coderproj.console.paging import Slice, slice_of
from coderproj.console.views import SignedInPage
from provisioning.filters import ENDS, FinishedJobFilter, JobFilter
from provisioning.models import ProvisionerDaemon, ProvisionerJob
from provisioning.pages.addresses import daemon_url
from provisioning.pages.job_lists import FINISHED as FINISHED_JOBS
from provisioning.pages.job_lists import RUNNING, WAITING, JobRow
from provisioning.pages.parts import daemons_by_id, tags_of
from provisioning.queue import administration
from provisioning.queue.kinds import labels
from provisioning.queue.matching import unmatched
from provisioning.queue.positions import queue_of
from provisioning.queue.subjects import subjects_of

SHOWN_AT_MOST = 25
FINISHED_SIZE = 25
LIST_SIZE = 50


@dataclass(frozen=True, slots=True)
class ActiveList:
    """A list of jobs that have not ended, with its own page; ``order`` describes its order."""

    listing: Listing[JobRow]
    heading: str
    order: str
    template: str


LISTS = {
    "running": ActiveList(RUNNING, "Running", "Sorted by start, earliest first.", "provisioning/_running.html"),
    "waiting": ActiveList(WAITING, "Waiting", "Sorted by position in the queue.", "provisioning/_waiting.html"),
}
# The ID of the finished jobs, which htmx sends to request them, and the ID of their heading, the target of links.
FINISHED = "finished"
FINISHED_HEADING = "finished-heading"
# Finished jobs of all organizations are shown. All other filters of the API work in the address.
FILTERS = tuple(name for name in JobFilter.base_filters if name != "organization")


@dataclass(frozen=True, slots=True)
class DaemonRow:
    """A daemon with its state and its visible running jobs."""

    daemon: ProvisionerDaemon
    url: str
    state: str
    jobs: list[JobRow]
    tags: list[str]


class FinishedForm(FiltersForm):
    """The most used filters of finished jobs."""

    SEVERAL = ("status", "type")

    status = forms.ChoiceField(
        required=False, label="Result", choices=[("", "Any"), *((end.value, end.label) for end in ENDS)]
    )
    type = forms.ChoiceField(required=False, label="Kind", choices=lambda: [("", "Any"), *labels()])
    template = forms.CharField(
        required=False, label="Template", widget=forms.TextInput({"type": "search", "placeholder": "Part of its name"})
    )
    initiator = forms.CharField(
        required=False,
        label="Started by",
        widget=forms.TextInput({"type": "search", "placeholder": "Username, or me", "spellcheck": "false"}),
    )


class JobsPage(SignedInPage):
    """Visible running, waiting and finished jobs; with ``?list=``, all running or all waiting ones. htmx polls the jobs
    that have not ended, and requests the finished jobs when a filter changes."""

    section = "jobs"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        if request.GET.get("list") in LISTS:
            return self._list(request, request.GET["list"])
        if not self.wants_part:
            return self._whole()
        return self._finished_part() if request.htmx.target == FINISHED else self._queue_part()  # type: ignore[attr-defined]

    def _whole(self) -> HttpResponseBase:
        form, found = self._filtered()
        running, waiting, finished = self._rows(self._first("running"), self._first("waiting"), found.rows)
        queue = queue_context(running, waiting, self._counts(running, waiting), daemon_rows(running))
        return self.show("provisioning/jobs.html", queue | finished_context(form, found, finished))

    def _queue_part(self) -> HttpResponseBase:
        running, waiting = self._rows(self._first("running"), self._first("waiting"))
        queue = queue_context(running, waiting, self._counts(running, waiting), daemon_rows(running))
        return self.show("provisioning/jobs.html", queue, part="provisioning/_queue.html")

    def _finished_part(self) -> HttpResponseBase:
        form, found = self._filtered()
        if form.errors:
            return self.show_all(FINISHED_HEADING)
        (finished,) = self._rows(found.rows)
        context = finished_context(form, found, finished)
        return self.show("provisioning/jobs.html", context, part="provisioning/_finished.html")

    def _list(self, request: HttpRequest, kind: str) -> HttpResponseBase:
        shown = LISTS[kind]
        jobs = self._active(kind)
        found = slice_of(request, jobs, LIST_SIZE)
        (rows,) = self._rows(found.rows)
        context = {
            kind: shown.listing.table(rows),
            f"{kind}_count": jobs.count(),
            "slice": found,
            "label": shown.heading,
            "order": shown.order,
            "part": shown.template,
            "trail": [("Jobs", reverse("jobs")), (shown.heading, "")],
        }
        return self.show("provisioning/job_list.html", context, part=shown.template)

    def _first(self, kind: str) -> Sequence[ProvisionerJob]:
        """The first jobs of a list in LISTS."""
        return list(self._active(kind)[:SHOWN_AT_MOST])

    def _counts(self, running: Sequence[JobRow], waiting: Sequence[JobRow]) -> dict[str, int]:
        """The number of jobs of each list in LISTS. Queries only where there may be more than the first ones."""
        shown = {"running": len(running), "waiting": len(waiting)}
        return {kind: count if count < SHOWN_AT_MOST else self._active(kind).count() for kind, count in shown.items()}

    def _active(self, kind: str) -> "QuerySet[ProvisionerJob]":
        """All jobs of a list in LISTS, in its order."""
        jobs = LISTS[kind].listing.fetch(ProvisionerJob.objects.visible(self.actor).active())
        if kind == "running":
            return jobs.filter(started_at__isnull=False).order_by("started_at", "id")
        return jobs.filter(started_at=None).order_by("-priority", "created_at", "id")

    def _filtered(self) -> "tuple[FinishedForm, Slice[ProvisionerJob]]":
        """Return the filters and the requested page of the jobs that match, newest first. No jobs if the form has
        errors."""
        given = {name: value for name in FILTERS if (value := self.request.GET.get(name, "").strip())}
        form = FinishedForm(given)
        jobs = ProvisionerJob.objects.visible(self.actor).filter(completed_at__isnull=False)
        try:
            jobs = filtering.apply(FinishedJobFilter, self.actor, given, jobs)
        except Invalid as error:
            form.show_error(error)
            jobs = jobs.none()
        shown = FINISHED_JOBS.fetch(jobs).order_by("-completed_at", "id")
        address = reverse("jobs")
        return form, slice_of(self.request, shown, FINISHED_SIZE, address=address, fragment=FINISHED_HEADING)

    def _rows(self, *lists: Sequence[ProvisionerJob]) -> list[list[JobRow]]:
        """Return the rows of each of these lists of jobs in any state, with at most six queries in total."""
        jobs = [job for listed in lists for job in listed]
        subjects = subjects_of(self.actor, jobs)
        daemons = daemons_by_id(job.worker_id for job in jobs)
        to_start = [job for job in jobs if job.started_at is None and job.completed_at is None]
        queue = queue_of([job.pk for job in to_start])
        stuck = unmatched(to_start)
        cancelable = administration.cancelable(self.actor, jobs)

        def row_of(job: ProvisionerJob) -> JobRow:
            return JobRow(
                job=job,
                subject=subjects[job.pk],
                daemon=daemons[job.worker_id].name if job.worker_id in daemons else "",
                position=queue.position(job.pk),
                no_match=stuck.get(job.pk),
                is_cancelable=job.pk in cancelable,
            )

        return [[row_of(job) for job in listed] for listed in lists]


def queue_context(
    running: Sequence[JobRow], waiting: Sequence[JobRow], counts: Mapping[str, int], daemons: Sequence[DaemonRow]
) -> dict[str, Any]:
    """Return the context of ``_queue.html``: the first jobs of each list in LISTS, their number, and the address of the
    whole list if there are more."""
    rows = {"running": running, "waiting": waiting}
    more = {kind: counts[kind] > len(rows[kind]) for kind in LISTS}
    return {
        **{kind: LISTS[kind].listing.table(rows[kind]) for kind in LISTS},
        **{f"{kind}_count": counts[kind] for kind in LISTS},
        **{f"all_{kind}_url": f"{reverse('jobs')}?list={kind}" if more[kind] else "" for kind in LISTS},
        "stuck": [row for row in waiting if row.no_match],
        "daemons": daemons,
    }


def finished_context(form: FinishedForm, found: "Slice[ProvisionerJob]", finished: Sequence[JobRow]) -> dict[str, Any]:
    """Return the context of ``_finished.html`` and its filters. ``list_status`` is announced when a filter is
    applied."""
    jobs = "job" if len(finished) == 1 else "jobs"
    return {
        "form": form,
        "hidden": form.hidden,
        "filtered": bool(form.given),
        "everything_url": f"{reverse('jobs')}#{FINISHED_HEADING}",
        "finished": FINISHED_JOBS.table(finished),
        "slice": found,
        "list_status": f"{len(finished)} finished {jobs} on this page",
    }


def daemon_rows(running: Sequence[JobRow]) -> list[DaemonRow]:
    """Return the daemons that have not deregistered, by name. Jobs that are not visible count for the state as well.
    Three queries."""
    daemons = ProvisionerDaemon.objects.filter(stopped_at=None).order_by("name")
    online = set(ProvisionerDaemon.objects.online().values_list("pk", flat=True))
    busy = set(ProvisionerJob.objects.active().exclude(worker_id=None).values_list("worker_id", flat=True))
    rows = []
    for daemon in daemons:
        jobs = [row for row in running if row.job.worker_id == daemon.pk]
        state = "stale" if daemon.pk not in online else "busy" if daemon.pk in busy else "idle"
        rows.append(DaemonRow(daemon, daemon_url(daemon), state, jobs, tags_of(daemon.tags)))
    return rows
