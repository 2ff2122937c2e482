"""The daemon's side of one job: start its runner, store its results, and end it."""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import partial
from typing import Any, TypeVar

import msgspec

from provisioning.daemon import messages
from provisioning.daemon.process import RunnerProcess, Spares
from provisioning.engine.base import LogLine, ParameterValue
from provisioning.protocol.client import Assignment, JobClient, LeaseLost, Refused, Unreachable
from provisioning.protocol.kinds import JobKind

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 0.02
FLUSH_LINES = 500
# Lines can be long, so a batch is also limited in characters.
FLUSH_CHARACTERS = 1024 * 1024
SHUTTING_DOWN = "the daemon was shut down"
MASK = "********"
# Shorter secrets would mask parts of ordinary words.
SHORTEST_SECRET = 4

_BACK_OFF = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
_TICK = 0.5

Answer = TypeVar("Answer")


class Reason(IntEnum):
    """Why a job is ended before its runner reports a result. A higher reason overrides a lower one."""

    CANCELED = 1
    OUT_OF_TIME = 2
    RELEASED = 3
    LOST = 4


@dataclass(frozen=True, slots=True)
class Bounds:
    """In seconds: the time limit of a job, its grace period after an interrupt, and the duration of a lease."""

    job: float
    cancel_grace: float
    lease: float


class Supervisor:
    """Runs one assignment to its end. ``run`` has its own thread; other threads call the other methods."""

    def __init__(
        self,
        assignment: Assignment,
        *,
        kind: JobKind,
        client: JobClient,
        spares: Spares,
        bounds: Bounds,
        claimed_at: float,
    ) -> None:
        self.assignment = assignment
        self._kind = kind
        self._client = client
        self._spares = spares
        self._bounds = bounds
        self._lock = threading.Lock()
        self._process: RunnerProcess | None = None
        self._reason: Reason | None = None
        self._given_up = threading.Event()  # the lease is lost or released: stop retrying calls of the server
        self._is_interrupted = False
        self._kill_at: float | None = None
        self._started_at = time.monotonic()
        self._confirmed_at = claimed_at
        self._lines: list[LogLine] = []
        self._log_count = assignment.log_count
        self._flushed_at = 0.0
        self._seconds = {"claim": self._started_at - claimed_at}
        self._secrets: tuple[str, ...] = ()
        self._add_secrets(kind.values(assignment.payload))

    # ------------------------------------------------------------------ called from other threads
    def cancel(self) -> None:
        """Cancel the job: its cancellation was requested."""
        self._end_early(Reason.CANCELED)

    def release(self) -> None:
        """Stop at once and return the job to the queue."""
        self._end_early(Reason.RELEASED)

    def abandon(self) -> None:
        """Stop at once and write nothing: the lease is no longer valid."""
        self._end_early(Reason.LOST)

    def confirm(self, at: float) -> None:
        """Record that a request started at ``at`` (monotonic time) has extended the lease."""
        self._confirmed_at = at

    def watch(self) -> None:
        """Enforce the job's time limits. Called every few hundredths of a second; never waits for the server."""
        now = time.monotonic()
        if now > self._confirmed_at + self._bounds.lease * 2 / 3:
            # Another daemon may claim the job soon, and it must not run twice.
            self.abandon()
        if now > self._started_at + self._bounds.job:
            self._end_early(Reason.OUT_OF_TIME)
        with self._lock:
            process = self._process
            if process is None or self._reason is None:
                return
            if not self._is_interrupted and self._reason < Reason.RELEASED:
                self._is_interrupted = process.interrupt()
            overdue = self._kill_at is not None and now >= self._kill_at
        if overdue:
            process.kill()

    def _end_early(self, reason: Reason) -> None:
        with self._lock:
            if self._reason is not None and self._reason >= reason:
                return
            grace = self._bounds.cancel_grace if reason < Reason.RELEASED else 0.0
            if self._reason is None or reason >= Reason.RELEASED:
                self._kill_at = time.monotonic() + grace
            self._reason = reason
            process = self._process
            if process is not None and not self._is_interrupted and grace:
                self._is_interrupted = process.interrupt()
            if reason >= Reason.RELEASED:
                self._given_up.set()
        if process is not None and reason >= Reason.RELEASED:
            process.kill()

    # ------------------------------------------------------------------ the job's own thread
    def run(self) -> None:
        """Run the job; its process and folder are always removed afterwards."""
        job_id, began = self.assignment.job_id, time.monotonic()
        logger.info("Job %s: started (%s, attempt %d)", job_id, self.assignment.job_type, self.assignment.attempt)
        try:
            how = self._run()
        except LeaseLost:
            how = "dropped: the lease was lost"
        except Exception:
            logger.exception("Job %s", job_id)
            how = self._fail_after_defect()
        finally:
            self._spares.refill()
            if self._process is not None:
                self._process.end()
        logger.info("Job %s: %s after %.3f s", job_id, how, time.monotonic() - began)
        spent = " ".join(f"{part}={seconds * 1000:.1f}" for part, seconds in self._seconds.items())
        logger.debug("Job %s: spent ms: %s", job_id, spent)

    def _run(self) -> str:
        process = self._spares.take(lambda: self._reason is not None)
        with self._lock:
            self._process = process
        if process is None:
            return self._finish(None, "")
        self._seconds["process"] = time.monotonic() - self._started_at
        source = process.directory / "source.tar"
        source.write_bytes(self.assignment.archive)
        process.send(
            messages.Start(
                job_type=self.assignment.job_type,
                provisioner=self.assignment.provisioner,
                archive=source,
                directory=process.directory / "template",
                payload=messages.raw(self.assignment.payload),
            )
        )
        try:
            end = self._follow(process)
            crash = "" if end else process.exit_reason()
        except messages.Unreadable as error:
            logger.warning("Job %s: its process sent an invalid message: %s", self.assignment.job_id, error)
            process.kill()
            end, crash = messages.Failed("the job's process sent an invalid message"), ""
        except Refused as error:
            process.kill()
            end, crash = messages.Failed(str(error)), ""
        return self._finish(end, crash)

    def _follow(self, process: RunnerProcess) -> messages.Event | None:
        """Process the runner's messages; return the one that ends the job, None when the runner ends without it."""
        while True:
            due = self._flushed_at + FLUSH_SECONDS - time.monotonic() if self._lines else _TICK
            events = process.events(max(0.0, due))
            if events is None:
                return None
            for event in events:
                match event:
                    case messages.Logged():
                        self._lines.append(self._masked(event.line))
                    case messages.ReadmeFound():
                        self._retry(self._client.store_readme, self.assignment.lease, event.readme)
                    case messages.SchemasFound():
                        values = self._retry(self._client.store_schemas, self.assignment.lease, event.schemas)
                        self._add_secrets(values)
                        process.send(messages.Values(values))
                    case messages.Measured():
                        self._seconds |= event.seconds
                    case _:
                        return event
            if len(self._lines) >= FLUSH_LINES or time.monotonic() >= self._flushed_at + FLUSH_SECONDS:
                self._flush()

    def _finish(self, end: messages.Event | None, crash: str) -> str:
        """Write the end of the job; return it as a word."""
        client, lease = self._client, self.assignment.lease
        with self._lock:
            reason = self._reason
            if reason is Reason.LOST:
                raise LeaseLost
            self._given_up.clear()  # retry calls again, so that the job is released
        try:
            self._flush()
        except Refused as error:
            self._lines.clear()
            if not isinstance(end, messages.Failed):
                end = messages.Failed(str(error))
        if isinstance(end, messages.Finished):
            try:
                storing = time.monotonic()
                self._retry(client.complete, lease, self._result(end))
                self._seconds["store"] = time.monotonic() - storing
            except Refused as error:
                return self._fail(str(error))
            return "completed"
        if reason is Reason.RELEASED:
            self._retry(client.release, lease, SHUTTING_DOWN)
            return "returned to the queue"
        if isinstance(end, messages.Failed):
            return self._fail(end.error)
        if reason is Reason.CANCELED:
            self._retry(client.finish_canceled, lease)
            return "canceled"
        if reason is Reason.OUT_OF_TIME:
            return self._fail(f"the job took longer than {self._bounds.job:g} seconds")
        return self._fail(f"the job's process ended unexpectedly ({crash or 'interrupted'})")

    def _result(self, end: messages.Finished) -> Any:
        """Decode the result. Raises Refused if it does not have the type that the job's kind declares."""
        shape = self._kind.result
        try:
            if shape is not None:
                return shape.decode(end.result)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            logger.warning("Job %s: its result is invalid: %s", self.assignment.job_id, error)
        raise Refused("the job's process sent an invalid message")

    def _fail(self, error: str) -> str:
        self._retry(self._client.fail, self.assignment.lease, self._mask(error))
        return "failed"

    def _fail_after_defect(self) -> str:
        try:
            return self._fail("internal error of the daemon")
        except LeaseLost:
            return "dropped"
        except Exception:
            logger.exception("Job %s: left to expire", self.assignment.job_id)
            return "left to expire"

    def _flush(self) -> None:
        while self._lines:
            batch = first_batch(self._lines)
            append = partial(self._client.append_logs, self.assignment.lease, batch, after=self._log_count)
            self._log_count = self._retry(append)
            del self._lines[: len(batch)]
        self._flushed_at = time.monotonic()

    def _retry(self, call: Callable[..., Answer], *arguments: object) -> Answer:
        """Call the server until it answers. Raises LeaseLost when the lease is lost or released before."""
        attempt = 0
        while True:
            try:
                return call(*arguments)
            except Unreachable as error:
                if attempt == 0:
                    logger.warning("Job %s: the server is unreachable: %s", self.assignment.job_id, error)
                if self._given_up.wait(_BACK_OFF[min(attempt, len(_BACK_OFF) - 1)]):
                    raise LeaseLost from error
                attempt += 1

    # ------------------------------------------------------------------ secrets
    def _add_secrets(self, values: Iterable[ParameterValue]) -> None:
        """Mask these values in log lines and errors: the engine masks only its own output."""
        found = {
            part
            for value in values
            if value.sensitive
            for part in (value.value, *value.value.splitlines())
            if len(part) >= SHORTEST_SECRET
        }
        self._secrets = tuple(sorted({*self._secrets, *found}, key=len, reverse=True))

    def _mask(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return text

    def _masked(self, line: LogLine) -> LogLine:
        if not self._secrets:
            return line
        return replace(line, stage=self._mask(line.stage), output=self._mask(line.output))


def first_batch(lines: list[LogLine]) -> list[LogLine]:
    """Return the first batch of lines: at least one and at most FLUSH_LINES."""
    size = 0
    for count, line in enumerate(lines[:FLUSH_LINES]):
        size += len(line.output)
        if count and size > FLUSH_CHARACTERS:
            return lines[:count]
    return lines[:FLUSH_LINES]
