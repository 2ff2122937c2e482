"""A job's log as pages show it: lines in stages with states and durations."""

import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape
from typing import NamedTuple

from django.db.models import Q
from django.utils.safestring import SafeString

from provisioning.engine.base import LogLevel, Stage
from provisioning.models import JobStatus, ProvisionerJob, ProvisionerJobLog
from provisioning.queue.kinds import kind_of

# Pages show only the end of a longer log; the download has all of it.
LINES_SHOWN = 5_000
FETCHED_AT_ONCE = 2_000
# Lines per element: a browser skips the layout of elements that are out of view. ``log.js`` uses the same number.
BLOCK = 100


class LogRow(NamedTuple):
    """The columns of a line. Creating model instances takes several times as long."""

    id: int
    created_at: datetime
    level: str
    stage: str
    output: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line with its number within the job and the seconds since the job's first line."""

    number: int
    level: str
    output: str
    offset: float

    @property
    def adds(self) -> bool:
        """True for a line of a plan about a resource to create."""
        text = self.output.lstrip()
        return text.startswith(("+ ", "# ")) and self.output.startswith("  ")

    def __html__(self) -> str:
        """The same HTML as in ``log.js``. A template takes ten times as long for the thousands of lines of a page."""
        kind = escape(self.level) + (" add" if self.adds else "")
        return (
            f'<div class="line {kind}" id="L{self.number}"><a href="#L{self.number}">{self.number}</a>'
            f"<time>{self.offset:.1f}s</time><span>{escape(self.output)}</span></div>\n"
        )


@dataclass(slots=True)
class StageLines:
    """A stage of the log. ``seconds`` is None while it runs, ``first`` is the number of its opening line. ``count``
    includes lines that are not on the page."""

    name: str
    first: int
    started_at: datetime
    lines: list[Line] = field(default_factory=list)
    count: int = 0
    seconds: float | None = None
    state: str = JobStatus.SUCCEEDED
    warnings: int = 0
    errors: int = 0

    @property
    def is_open(self) -> bool:
        """True if the stage is shown open in a long log: only failed stages and those with warnings are."""
        return self.state != JobStatus.SUCCEEDED or bool(self.warnings)

    @property
    def left_out(self) -> int:
        """The number of lines that are not on the page."""
        return self.count - len(self.lines)

    @property
    def html(self) -> SafeString:
        """The lines in blocks."""
        starts = range(0, len(self.lines), BLOCK)
        return SafeString("".join(_block(self.lines[start : start + BLOCK]) for start in starts))


def _block(lines: Sequence[Line]) -> str:
    full = " full" if len(lines) == BLOCK else ""
    return f'<div class="lines{full}">\n{"".join(line.__html__() for line in lines)}</div>\n'


@dataclass(frozen=True, slots=True)
class RailStage:
    """A stage in the row of stages above the log."""

    name: str
    state: str
    seconds: float | None = None
    first: int = 0


@dataclass(frozen=True, slots=True)
class LogConsole:
    """The content of the log console. ``count`` and ``left_out`` are numbers of lines without the hidden lines that
    open stages; ``last`` is the number of the last line of all. ``follow_url`` is empty if the job has ended, or if its
    log has no address."""

    stages: list[StageLines]
    rail: list[RailStage]
    count: int
    left_out: int
    last: int
    started_at: datetime | None
    first_error: int
    follow_url: str
    raw_url: str


def log_console(job: ProvisionerJob, *, follow_url: str, raw_url: str, stages: Sequence[str] = ()) -> LogConsole:
    """Return the log of a job, only its end if it is very long. ``stages`` are those to expect, by default all of its
    kind. One query, and one more if lines are left out."""
    start = max(job.log_count - LINES_SHOWN, 0)
    found = ProvisionerJobLog.objects.filter(job_id=job.pk, id__gt=start).order_by("id")
    shown = [LogRow(*row) for row in found.values_list("id", "created_at", "level", "stage", "output")]
    rows = [*_outline(job.pk, start), *shown] if start and shown else shown
    found_stages = list(_stages(rows, start))
    _finish(job, found_stages)
    errors = (line.number for stage in found_stages for line in stage.lines if line.level == LogLevel.ERROR)
    last = shown[-1].id if shown else 0
    return LogConsole(
        stages=found_stages,
        rail=_rail(job, found_stages, stages or kind_of(job).stages),
        count=sum(stage.count for stage in found_stages),
        left_out=sum(stage.left_out for stage in found_stages),
        last=last,
        started_at=rows[0].created_at if rows else None,
        first_error=next(errors, 0),
        follow_url=f"{follow_url}?follow&after={last}" if follow_url and job.completed_at is None else "",
        raw_url=raw_url,
    )


def _outline(job_id: uuid.UUID, last: int) -> Iterator[LogRow]:
    """Return, of the lines up to and including the last one, the first and those that open stages: they have the start
    times of the job and of each stage."""
    rows = ProvisionerJobLog.objects.filter(Q(output="") | Q(id=1), job_id=job_id, id__lte=last).order_by("id")
    return (LogRow(*row) for row in rows.values_list("id", "created_at", "level", "stage", "output"))


def _stages(rows: Iterable[LogRow], left_out: int) -> Iterator[StageLines]:
    """Yield the stages with their lines, in the order of the log. A stage opens with a line without output, which is
    not shown. Of the first ``left_out`` lines only the outline is read: lines between two of its rows have output."""
    stage: StageLines | None = None
    start: datetime | None = None
    previous = 0
    for row in rows:
        start = start or row.created_at
        if stage is not None:
            stage.count += row.id - previous - 1
        if stage is None or stage.name != row.stage:
            if stage is not None:
                stage.seconds = (row.created_at - stage.started_at).total_seconds()
                yield stage
            stage = StageLines(row.stage, row.id, row.created_at)
        previous = row.id
        stage.warnings += row.level == LogLevel.WARN
        stage.errors += row.level == LogLevel.ERROR
        stage.count += bool(row.output)
        if row.output and row.id > left_out:
            offset = (row.created_at - start).total_seconds()
            stage.lines.append(Line(row.id, row.level, row.output, max(offset, 0)))
    if stage is not None:
        yield stage


def _finish(job: ProvisionerJob, stages: list[StageLines]) -> None:
    """Set the states that depend on the job: a failed job failed in the first stage with errors, else in its last one.
    While the job runs, every stage with errors is failed."""
    if not stages:
        return
    last = stages[-1]
    if job.completed_at is None:
        last.state = JobStatus.RUNNING
        for stage in stages:
            if stage.errors:
                stage.state = JobStatus.FAILED
        return
    last.seconds = max((job.completed_at - last.started_at).total_seconds(), 0)
    if job.status == JobStatus.FAILED:
        failed = next((stage for stage in stages if stage.errors), None)
        (failed or _last_before_cleanup(stages)).state = JobStatus.FAILED
    elif job.status == JobStatus.CANCELED:
        _last_before_cleanup(stages).state = JobStatus.CANCELED


def _last_before_cleanup(stages: list[StageLines]) -> StageLines:
    """The last stage before cleaning up."""
    return next((stage for stage in reversed(stages) if stage.name != Stage.CLEANING_UP), stages[-1])


def _rail(job: ProvisionerJob, stages: list[StageLines], usual: Sequence[str]) -> list[RailStage]:
    """Return the stages of the log, and the usual ones that are still to come or were not reached."""
    seen = {stage.name for stage in stages}
    rail = [RailStage(stage.name, stage.state, stage.seconds, stage.first) for stage in stages]
    if job.status == JobStatus.SUCCEEDED:
        return rail
    state = "waiting" if job.completed_at is None else "skipped"
    missing = [RailStage(name, state) for name in usual if name not in seen]
    if job.completed_at is None or not rail or rail[-1].name != Stage.CLEANING_UP:
        return rail + missing
    return [*rail[:-1], *missing, rail[-1]]


def stage_times(jobs: Iterable[ProvisionerJob]) -> dict[uuid.UUID, list[tuple[str, float]]]:
    """Return the stages of each job's log with the seconds that they took so far, by job ID. One query.

    A log of more than ``LINES_SHOWN`` lines has none: the query reads all lines of these logs.
    """
    listed = list(jobs)
    found: dict[uuid.UUID, list[tuple[str, float]]] = {job.pk: [] for job in listed}
    ends = {job.pk: job.completed_at or datetime.now(UTC) for job in listed if job.log_count <= LINES_SHOWN}
    opening = ProvisionerJobLog.objects.filter(job_id__in=ends, output="").order_by("job_id", "-id")
    for job_id, stage, started_at in opening.values_list("job_id", "stage", "created_at"):
        stages = found[job_id]
        seconds = max((ends[job_id] - started_at).total_seconds(), 0)
        if stages and stages[0][0] == stage:  # an empty line within the stage
            stages[0] = (stage, stages[0][1] + seconds)
        else:
            stages.insert(0, (stage, seconds))
        ends[job_id] = started_at
    return found


# ---------------------------------------------------------------------- the whole log as text
def raw_log(job_id: uuid.UUID) -> Iterator[bytes]:
    """Yield the log as lines of time, level and output with a heading for each stage, read in batches."""
    last = 0
    stage = ""
    while True:
        rows = list(ProvisionerJobLog.objects.filter(job_id=job_id, id__gt=last).order_by("id")[:FETCHED_AT_ONCE])
        text = []
        for row in rows:
            last = row.id
            if row.stage != stage:
                stage = row.stage
                text.append(f"==> {stage}\n")
            if row.output:
                text.append(f"{row.created_at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ} {row.level:<5} {row.output}\n")
        yield "".join(text).encode()
        if len(rows) < FETCHED_AT_ONCE:
            return
