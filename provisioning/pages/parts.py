"""What pages show of a job."""

import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from django.db.models import Prefetch
from django.http import HttpResponse, StreamingHttpResponse

from coderproj.console.views import Page
from provisioning.engine.hcl import Location
from provisioning.models import (
    DEFAULT_TAGS,
    ProvisionerDaemon,
    ProvisionerJob,
    WorkspaceAgent,
    WorkspaceApp,
    WorkspaceResource,
)
from provisioning.pages.log import raw_log
from provisioning.queue.matching import Unmatched, unmatched
from provisioning.queue.positions import queue_of

START = "start"
# In characters. More than that is read rather than looked at.
LONGEST_TITLE = 160
# The id of the facts, which htmx names when it asks for them.
FACTS = "job-facts"


def seconds_queued(job: ProvisionerJob, now: datetime | None = None) -> float:
    """How long the job waited, or has been waiting, for a daemon."""
    end = job.started_at or job.completed_at or now or datetime.now(UTC)
    return (end - job.created_at).total_seconds()


def seconds_run(job: ProvisionerJob, now: datetime | None = None) -> float | None:
    """How long the job ran, or has been running; None when it never started."""
    if job.started_at is None:
        return None
    return ((job.completed_at or now or datetime.now(UTC)) - job.started_at).total_seconds()


def tags_of(tags: Mapping[str, Any]) -> list[str]:
    """Tags as ``key=value``, the default ones left out where there are others."""
    own = {key: value for key, value in tags.items() if DEFAULT_TAGS.get(key) != value} or tags
    return [f"{key}={value}" for key, value in own.items() if value != ""]


def job_context(job: ProvisionerJob) -> dict[str, Any]:
    """The context of ``_job_facts.html`` and ``_job_error.html``. At most three queries."""
    title, detail = _title_and_detail(job.error.strip())
    context: dict[str, Any] = {
        "job": job,
        "daemon": daemons_by_id([job.worker_id]).get(job.worker_id),
        "queued": seconds_queued(job),
        "ran": seconds_run(job),
        "tags": tags_of(job.tags),
        "error_title": title,
        "error_detail": detail,
    }
    if job.started_at is None and job.completed_at is None:
        queue = queue_of([job.pk])
        missing: Unmatched | None = unmatched([job]).get(job.pk)
        context |= {
            "queue_position": queue.position(job.pk),
            "queue_size": queue.size,
            "no_match": missing.reason if missing else "",
        }
    return context


def source_context(job: ProvisionerJob, files_url: str) -> dict[str, Any]:
    """Where the files are, and the line of them that the job failed at, when its error names one."""
    place = Location.named_in(job.error)
    if place is None:
        return {"files_url": files_url}
    return {
        "files_url": files_url,
        "source_place": place,
        "source_place_url": f"{files_url}?{urlencode({'file': place.file})}#L{place.line}",
    }


def facts_answer(page: Page, job: ProvisionerJob) -> HttpResponse | None:
    """What ``_job_facts.html`` asks for again and again until its job has ended: itself. None for any other request.

    When the job is in another state than the one that the page shows, the rest of the page is told to follow: it was
    taken, or was lost with its daemon and waits again.
    """
    if page.request.htmx.target != FACTS:  # type: ignore[attr-defined]
        return None
    response = page.show("provisioning/_job_facts.html", job_context(job))
    if page.request.GET.get("shown") != job.status:
        response["HX-Trigger"] = "job-started"
    return response


def _title_and_detail(error: str) -> tuple[str, str]:
    """The first line of an error, unless that is more than a title, and the rest."""
    title, _, detail = error.partition("\n")
    if len(title) > LONGEST_TITLE:
        return "The job failed", error
    return title, detail.strip()


def daemons_by_id(ids: Iterable[uuid.UUID | None]) -> dict[uuid.UUID | None, ProvisionerDaemon]:
    """The daemons of these ids, as far as they are known. No query without any id."""
    wanted = [id_ for id_ in ids if id_]
    return {daemon.pk: daemon for daemon in ProvisionerDaemon.objects.filter(pk__in=wanted)} if wanted else {}


def resources_of(job: ProvisionerJob) -> list[WorkspaceResource]:
    """What a workspace consists of while it runs, with agents and apps. Three queries."""
    rows = WorkspaceResource.objects.filter(job=job, workspace_transition=START, hide=False)
    return list(rows.prefetch_related(shown_agents()).order_by("name", "type", "id"))


def shown_agents() -> "Prefetch[Any]":
    """The agents of resources with their apps, by name, with the columns that pages show of them. Two queries."""
    apps = WorkspaceApp.objects.only("agent", "slug", "display_name", "sharing_level").order_by("slug")
    agents = WorkspaceAgent.objects.only("resource", "name", "operating_system", "architecture").order_by("name")
    return Prefetch("agents", agents.prefetch_related(Prefetch("apps", apps)))


def raw_log_answer(job: ProvisionerJob, name: str) -> StreamingHttpResponse:
    """The whole log as a text file."""
    response = StreamingHttpResponse(raw_log(job.pk), content_type="text/plain; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}.log.txt"'
    return response
