"""Ended jobs, and their logs."""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from coderproj.demo.data.chance import Chance
from provisioning.models import JobEnd, ProvisionerJob

# No daemon offers it, so workers never run what is due in the data: it would need the clouds that the templates name.
TAGS = {"scope": "organization", "site": "demo"}
DAEMONS = 3
CANCELING = timedelta(seconds=2)
# A stage, the share of the time at which it begins, and the lines with the share at which each is written.
Stages = Sequence[tuple[str, float, Sequence[str]]]


@dataclass(slots=True)
class Run:
    """When a job was queued, started and ended, and how."""

    queued: datetime
    started: datetime
    ended: datetime
    error: str = ""
    canceled: datetime | None = None

    @property
    def succeeded(self) -> bool:
        return not self.error and self.canceled is None


@dataclass(slots=True)
class Jobs:
    """Makes jobs with their log lines. ``rows`` and ``lines`` are to be stored."""

    chance: Chance
    organization_id: uuid.UUID
    rows: list[ProvisionerJob] = field(default_factory=list)
    lines: list[tuple[Any, ...]] = field(default_factory=list)
    daemons: list[uuid.UUID] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.daemons = [self.chance.id() for _ in range(DAEMONS)]

    def run(self, queued: datetime, ran: timedelta, error: str = "", *, canceled: bool = False) -> Run:
        """Return the times of a job: few wait for a daemon for long."""
        waited = 12 if self.chance.happens(0.04) else 0.03
        started = queued + self.chance.seconds(waited, 0.8)
        if canceled:
            asked = started + ran * self.chance.uniform(0.2, 0.9)
            return Run(queued, started, asked + CANCELING, "", asked)
        return Run(queued, started, started + ran, error)

    def add(
        self, run: Run, job_type: str, initiator_id: uuid.UUID, job_input: dict[str, Any], stages: Stages, **fields: Any
    ) -> ProvisionerJob:
        """Add an ended job and its log."""
        job = ProvisionerJob(
            id=self.chance.id(),
            organization_id=self.organization_id,
            initiator_id=initiator_id,
            type=job_type,
            input=job_input,
            tags=TAGS,
            started_at=run.started,
            canceled_at=run.canceled,
            completed_at=run.ended,
            error=run.error,
            attempts=1,
            worker_id=self.chance.choice(self.daemons),
            ended_lease=self.chance.id(),
            ended_as=_end(run),
            **fields,
        )
        job.created_at, job.updated_at = run.queued, run.ended
        job.log_count = len(self.lines)
        self.lines += self._log(job.pk, run, stages)
        job.log_count = len(self.lines) - job.log_count
        self.rows.append(job)
        return job

    def _log(self, job_id: uuid.UUID, run: Run, stages: Stages) -> Iterator[tuple[Any, ...]]:
        """Yield the lines of a job; one that failed or was canceled stops in its last stage but one."""
        whole = run.ended - run.started
        number = 0
        shown = stages if run.succeeded else stages[:-1]
        for index, (stage, begin, texts) in enumerate(shown):
            end = shown[index + 1][1] if index + 1 < len(shown) else 1.0
            for place, text in enumerate(("", *texts)):
                number += 1
                share = begin + (end - begin) * place / (len(texts) + 1)
                source = "provisioner" if text else "provisioner_daemon"
                yield job_id, number, run.started + whole * share, source, "info", stage, text
        if not run.succeeded:
            text = run.error or "The job was canceled."
            yield job_id, number + 1, run.ended, "provisioner", "error", shown[-1][0], text


def _end(run: Run) -> JobEnd:
    if run.canceled is not None:
        return JobEnd.CANCEL
    return JobEnd.FAIL if run.error else JobEnd.COMPLETE
