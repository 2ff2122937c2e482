"""The lists of jobs: running, waiting and finished ones, and those of a daemon."""

from dataclasses import dataclass, replace

from django.utils.html import format_html
from django.utils.safestring import SafeString

from coderproj.console import cells
from coderproj.console.lists import Column, Listing
from coderproj.console.questions import Question
from coderproj.console.templatetags.console import DASH, ago, dash, duration, short_id, status
from provisioning.models import ProvisionerJob
from provisioning.pages.addresses import job_url
from provisioning.pages.cancellation import cancellation_of
from provisioning.pages.parts import seconds_queued, seconds_run, tags_of
from provisioning.queue.kinds import kind_of
from provisioning.queue.matching import Unmatched
from provisioning.queue.subjects import Subject


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job in a list, with data that is read for all rows at once."""

    job: ProvisionerJob
    subject: Subject
    daemon: str = ""
    position: int = 0
    no_match: Unmatched | None = None
    is_cancelable: bool = False

    @property
    def kind(self) -> str:
        return kind_of(self.job).label

    @property
    def url(self) -> str:
        return job_url(self.job)

    @property
    def ran(self) -> float | None:
        """Seconds; None for a job that never started."""
        return seconds_run(self.job)

    @property
    def cancellation(self) -> Question | None:
        """None where it is not offered."""
        return cancellation_of(self.job, self.kind) if self.is_cancelable else None


# ---------------------------------------------------------------------- cells
def _status(row: JobRow) -> SafeString:
    return status(row.job.status, chip=True)


def _link(row: JobRow) -> SafeString:
    """The job's kind and its subject, or the beginning of its id, as a link to its page."""
    name, muted = (row.subject.name, "") if row.subject.name else (short_id(row.job.pk), " muted")
    return format_html('<a href="{}">{} <span class="mono{}">{}</span></a>', row.url, row.kind, muted, name)


def _running_link(row: JobRow) -> SafeString:
    return format_html('<span class="entity">{}<span>{}</span></span>', status(row.job.status, bare=True), _link(row))


def _template(row: JobRow) -> SafeString:
    subject = row.subject
    if subject.template_url:
        return format_html('<a href="{}">{}</a>', subject.template_url, subject.template)
    return cells.muted(subject.template or DASH)


def _needs(row: JobRow) -> SafeString:
    """The job's tags, and a warning when no online daemon has them."""
    needed = cells.tags(tags_of(row.job.tags))
    if row.no_match is None:
        return needed
    return format_html('{} <span title="{}">{}</span>', needed, row.no_match.reason, status("stale", "no match"))


def _cancel_button(row: JobRow) -> SafeString:
    question = row.cancellation
    if question is None:
        return cells.muted("canceling")
    return format_html(
        '<a class="button small" id="{}" href="{}" aria-label="Cancel job {}">Cancel</a>',
        question.key,
        question.url,
        short_id(row.job.pk),
    )


# ---------------------------------------------------------------------- lists
STATUS_FIELDS = ("started_at", "canceled_at", "completed_at", "error")
SUBJECT_FIELDS = ("type", "input")
RAN_FIELDS = ("started_at", "completed_at")

TEMPLATE = Column[JobRow]("Template", _template, SUBJECT_FIELDS)
STARTED_BY = Column[JobRow]("Started by", lambda row: row.job.initiator.username, ("initiator__username",))
DAEMON = Column[JobRow]("Daemon", lambda row: dash(row.daemon), ("worker_id",), "muted")
RESULT = Column[JobRow]("Result", _status, STATUS_FIELDS, phone_label="")
JOB = Column[JobRow]("Job", _link, SUBJECT_FIELDS, "wide", phone_label="")
QUEUED_FIELDS = ("created_at", *RAN_FIELDS)
CANCEL = Column[JobRow]("Actions", _cancel_button, STATUS_FIELDS, "right", hide_heading=True)

RUNNING = Listing[JobRow](
    Column("Job", _running_link, (*SUBJECT_FIELDS, *STATUS_FIELDS), "full", phone_label=""),
    TEMPLATE,
    DAEMON,
    STARTED_BY,
    Column("Running for", lambda row: duration(row.ran), RAN_FIELDS, "number right"),
    CANCEL,
)
# Matching daemons are found by organization and engine.
WAITING = Listing[JobRow](
    Column("#", lambda row: row.position, (), "number muted", phone_label="Position"),
    JOB,
    TEMPLATE,
    Column("Needs", _needs, ("tags",)),
    STARTED_BY,
    Column("Waiting for", lambda row: duration(seconds_queued(row.job)), QUEUED_FIELDS, "number right"),
    CANCEL,
    also=("organization", "provisioner", "worker_id"),
)
FINISHED = Listing[JobRow](
    RESULT,
    JOB,
    TEMPLATE,
    replace(STARTED_BY, classes="not-on-phones"),
    replace(DAEMON, classes="muted not-on-phones"),
    Column("Queued", lambda row: duration(seconds_queued(row.job)), QUEUED_FIELDS, "number right muted not-on-phones"),
    Column("Ran", lambda row: duration(row.ran), RAN_FIELDS, "number right"),
    Column("Finished", lambda row: ago(row.job.completed_at), ("completed_at",), "muted number"),
)
FINISHED_BY_DAEMON = Listing[JobRow](
    RESULT,
    JOB,
    STARTED_BY,
    Column("Ran", lambda row: duration(row.ran), RAN_FIELDS, "number right"),
    Column("Finished", lambda row: ago(row.job.completed_at), ("completed_at",), "number muted"),
)
