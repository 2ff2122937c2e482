"""The parts of pages that show a job."""

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
# In characters. A longer first line is text, not a title.
LONGEST_TITLE = 160
# The ID of the facts, which htmx sends to request them.
FACTS = "job-facts"


def seconds_queued(job: ProvisionerJob, now: datetime | None = None) -> float:
    """The time that the job waited for a daemon, or has waited so far."""
    end = job.started_at or job.completed_at or now or datetime.now(UTC)
    return (end - job.created_at).total_seconds()


def seconds_run(job: ProvisionerJob, now: datetime | None = None) -> float | None:
    """The time that the job ran, or has run so far. None if it never started."""
    if job.started_at is None:
        return None
    return ((job.completed_at or now or datetime.now(UTC)) - job.started_at).total_seconds()


def tags_of(tags: Mapping[str, Any]) -> list[str]:
    """Return tags as ``key=value``, without the default ones if there are others."""
    own = {key: value for key, value in tags.items() if DEFAULT_TAGS.get(key) != value} or tags
    return [f"{key}={value}" for key, value in own.items() if value != ""]


def job_context(job: ProvisionerJob) -> dict[str, Any]:
    """Return the context of ``_job_facts.html`` and ``_job_error.html``. At most three queries."""
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
    """Return the address of the files, and of the line in them that the error names, if any."""
    place = Location.named_in(job.error)
    if place is None:
        return {"files_url": files_url}
    return {
        "files_url": files_url,
        "source_place": place,
        "source_place_url": f"{files_url}?{urlencode({'file': place.file})}#L{place.line}",
    }


def facts_answer(page: Page, job: ProvisionerJob) -> HttpResponse | None:
    """Return ``_job_facts.html`` for its own polling, which ends with the job. None for any other request.

    If the job's state differs from the one on the page, an event makes the rest of the page reload: the job was
    claimed, or waits again because its daemon was lost.
    """
    if page.request.htmx.target != FACTS:  # type: ignore[attr-defined]
        return None
    response = page.show("provisioning/_job_facts.html", job_context(job))
    if page.request.GET.get("shown") != job.status:
        response["HX-Trigger"] = "job-started"
    return response


def _title_and_detail(error: str) -> tuple[str, str]:
    """Split an error into its first line and the rest. A long first line is not a title."""
    title, _, detail = error.partition("\n")
    if len(title) > LONGEST_TITLE:
        return "The job failed", error
    return title, detail.strip()


def daemons_by_id(ids: Iterable[uuid.UUID | None]) -> dict[uuid.UUID | None, ProvisionerDaemon]:
    """Return the known daemons of these IDs. No query without an ID."""
    wanted = [id_ for id_ in ids if id_]
    return {daemon.pk: daemon for daemon in ProvisionerDaemon.objects.filter(pk__in=wanted)} if wanted else {}


def resources_of(job: ProvisionerJob) -> list[WorkspaceResource]:
    """Return the resources of a running workspace, with agents and apps. Three queries."""
    rows = WorkspaceResource.objects.filter(job=job, workspace_transition=START, hide=False)
    return list(rows.prefetch_related(shown_agents()).order_by("name", "type", "position", "id"))


def shown_agents() -> "Prefetch[Any]":
    """Prefetch the agents of resources and their apps, by name, with the columns that pages show. Two queries."""
    apps = WorkspaceApp.objects.only("agent", "slug", "display_name", "sharing_level").order_by("slug")
    columns = ("resource", "name", "instance_key", "operating_system", "architecture")
    agents = WorkspaceAgent.objects.only(*columns).order_by("name", "position", "id")
    return Prefetch("agents", agents.prefetch_related(Prefetch("apps", apps)))


def raw_log_answer(job: ProvisionerJob, name: str) -> StreamingHttpResponse:
    """Return the whole log as a text file."""
    response = StreamingHttpResponse(raw_log(job.pk), content_type="text/plain; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}.log.txt"'
    return response
