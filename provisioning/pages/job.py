"""A job of any kind: its stages, its log and its facts."""

import uuid

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from coderproj.base.errors import NotFound
from coderproj.console.views import SignedInPage
from provisioning.files import stored
from provisioning.models import ProvisionerJob
from provisioning.pages.addresses import job_url
from provisioning.pages.cancellation import cancellation_of
from provisioning.pages.log import log_console
from provisioning.pages.parts import facts_answer, job_context, raw_log_answer, resources_of, source_context
from provisioning.queue import administration
from provisioning.queue.kinds import kind_of
from provisioning.queue.subjects import Subject, subjects_of

JOBS = ("Jobs", "/jobs")


class JobSection(SignedInPage):
    """A page about one visible job, ``self.job``. Other jobs answer 404."""

    section = "jobs"
    job: ProvisionerJob
    subject: Subject

    def prepare(self, job: uuid.UUID) -> None:  # type: ignore[override]
        rows = ProvisionerJob.objects.visible(self.actor).select_related("initiator", "file").defer("file__data")
        found = rows.filter(pk=job).first()
        if found is None:
            raise NotFound
        self.job = found
        self.subject = subjects_of(self.actor, [found])[found.pk]


class JobPage(JobSection):
    def get(self, request: HttpRequest, job: uuid.UUID) -> HttpResponseBase:
        row = self.job
        if facts := facts_answer(self, row):
            return facts
        kind = kind_of(row).label
        context = job_context(row) | {
            "kind": kind,
            "subject": self.subject,
            "trail": [JOBS, (kind, "")],
            "log": log_console(
                row,
                follow_url=self.subject.log_url,
                raw_url=f"{job_url(row)}/log.txt",
                stages=self.subject.stages,
            ),
            "resources": resources_of(row) if row.completed_at else [],
            "cancellation": cancellation_of(row, kind) if administration.cancelable(self.actor, [row]) else None,
        }
        if self.subject.files_url and stored.source_of(self.actor, row):
            context |= source_context(row, self.subject.files_url)
        return self.show("provisioning/job.html", context)


class CancelJob(JobSection):
    """Asks for confirmation, and cancels."""

    def get(self, request: HttpRequest, job: uuid.UUID) -> HttpResponseBase:
        kind = kind_of(self.job).label
        question = cancellation_of(self.job, kind)
        trail = [JOBS, (kind, job_url(self.job)), ("Cancel", "")]
        return self.show("console/question.html", {"question": question, "trail": trail})

    def post(self, request: HttpRequest, job: uuid.UUID) -> HttpResponseBase:
        administration.cancel(self.actor, self.job)
        return self.go(job_url(self.job), "The job is being canceled.")


class JobLogText(JobSection):
    """The log as a text file."""

    def get(self, request: HttpRequest, job: uuid.UUID) -> HttpResponseBase:
        return raw_log_answer(self.job, str(self.job.pk))
