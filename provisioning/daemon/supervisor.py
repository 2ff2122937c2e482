"""The daemon's side of one job: start its runner, store its results, and end it."""

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import msgspec

from provisioning.daemon import messages
from provisioning.daemon.batches import FLUSH_LINES, first_batch
from provisioning.daemon.job_limits import Bounds, Reason
from provisioning.daemon.masking import Secrets
from provisioning.daemon.process import RunnerProcess, Spares
from provisioning.daemon.spool import Entry, Spool, last_state
from provisioning.engine.base import LogLine
from provisioning.protocol.client import Assignment, JobClient, LeaseLost, Refused, StateKept, Unreachable
from provisioning.protocol.kinds import JobKind

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 0.02
SHUTTING_DOWN = "the daemon was shut down"
INVALID_MESSAGE = "the job's process sent an invalid message"
NOT_STORABLE = "the job's results cannot be stored"
STATE_NOT_STORED = "the workspace's state cannot be stored, and is kept on the daemon's machine"

# Parts of a lease without an extension after which a job must end, because another daemon may claim it soon. A job that
# changes things outside is interrupted first, so that it can finish what it is doing.
ABANDON_PART = 2 / 3
KILL_PART = 0.9

_BACK_OFF = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
_TICK = 0.5

Answer = TypeVar("Answer")


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
        spool: Spool,
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
        self._secrets = Secrets()
        self._seconds_allowed = bounds.build if kind.applies else bounds.job
        self._grace = bounds.apply_grace if kind.applies else bounds.cancel_grace
        self._spool = spool
        self._entry: Entry | None = None
        self._saved_state = b""
        self._unsaved = ""  # why the server does not have the newest state
        self._is_lost = False  # the lease; the process has been killed then
        self._is_reported = False  # the server knows that no state follows after a lost lease
        self._secrets.add(kind.values(assignment.payload))

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
        with self._lock:
            process = self._process
        if process is not None and self._kind.applies:
            process.offer(self._confirmation())  # never blocks heartbeats; the next one repeats it

    def _confirmation(self) -> messages.Confirmed:
        """Return until when the job may run without hearing from this daemon. It ends before its lease does."""
        lease, since = self._bounds.lease, self._confirmed_at
        return messages.Confirmed(
            interrupt_at=since + lease * ABANDON_PART, kill_at=since + lease * KILL_PART, exit_at=since + lease
        )

    def watch(self) -> None:
        """Enforce the job's time limits. Called every few hundredths of a second; never waits for the server."""
        now = time.monotonic()
        silent = (now - self._confirmed_at) / self._bounds.lease
        if silent > (KILL_PART if self._kind.applies else ABANDON_PART):
            self.abandon()
        if now > self._started_at + self._seconds_allowed:
            self._end_early(Reason.OUT_OF_TIME)
        with self._lock:
            process = self._process
            if process is None or self._reason is None:
                return
            if not self._is_interrupted and self._kill_at is not None and now < self._kill_at:
                self._is_interrupted = process.interrupt()
            overdue = self._kill_at is not None and now >= self._kill_at
        if overdue:
            process.kill()

    def _end_early(self, reason: Reason) -> None:
        with self._lock:
            if self._reason is not None and self._reason >= reason:
                return
            is_gentle = reason < Reason.RELEASED or (reason is Reason.RELEASED and self._kind.applies)
            grace = self._grace if is_gentle else 0.0
            if self._reason is None or not is_gentle:
                self._kill_at = time.monotonic() + grace
            self._reason = reason
            process = self._process
            if process is not None and not self._is_interrupted and grace:
                self._is_interrupted = process.interrupt()
            if reason >= Reason.RELEASED:
                self._given_up.set()
        if process is not None and not is_gentle:
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
            self._kill()
            self._is_lost = True
        except Exception:
            logger.exception("Job %s", job_id)
            self._kill()
            how = self._fail_after_defect()
        finally:
            self._spares.refill()
            try:
                self._close_entry()
            finally:
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
        if self._kind.applies:
            process.send(self._confirmation())
            self._entry = self._spool.open(self.assignment.lease, process.directory)
        source = process.directory / "source.tar"
        source.write_bytes(self.assignment.archive)
        process.send(
            messages.Start(
                job_type=self.assignment.job_type,
                provisioner=self.assignment.provisioner,
                archive=source,
                directory=process.directory / "template",
                payload=messages.raw(self.assignment.payload),
                entry=self._entry.folder if self._entry is not None else None,
            )
        )
        try:
            end = self._follow(process)
            crash = "" if end else process.exit_reason()
        except messages.Unreadable as error:
            logger.warning("Job %s: its process sent an invalid message: %s", self.assignment.job_id, error)
            process.kill()
            text = f"{NOT_STORABLE}: {error}" if isinstance(error, messages.OutOfBounds) else INVALID_MESSAGE
            end, crash = messages.Failed(text), ""
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
                        self._lines.append(self._secrets.masked(event.line))
                    case messages.ReadmeFound():
                        self._retry(self._client.store_readme, self.assignment.lease, event.readme)
                    case messages.SchemasFound():
                        values = self._retry(self._client.store_schemas, self.assignment.lease, event.schemas)
                        self._secrets.add(values)
                        process.send(messages.Values(values))
                    case messages.CostPlanned():
                        decision = self._retry(self._client.commit_cost, self.assignment.lease, event.cost)
                        process.send(messages.CostDecided(decision))
                    case messages.StateFound():
                        self._store_state(event.state)
                    case messages.Measured():
                        self._seconds |= event.seconds
                    case _:
                        return event
            if len(self._lines) >= FLUSH_LINES or time.monotonic() >= self._flushed_at + FLUSH_SECONDS:
                self._flush()

    def _finish(self, end: messages.Event | None, crash: str) -> str:
        """Write the end of the job; return it as a word."""
        client, lease = self._client, self.assignment.lease
        self._store_last_state()
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
        if self._unsaved:
            return self._fail(f"{STATE_NOT_STORED}: {self._unsaved}")
        if isinstance(end, messages.Finished):
            try:
                storing = time.monotonic()
                self._retry(client.complete, lease, self._result(end))
                self._seconds["store"] = time.monotonic() - storing
            except Refused as error:
                return self._fail(str(error))
            return "completed"
        if reason is Reason.RELEASED and self._kind.applies and end is not None:
            return self._fail(f"the job was interrupted, because {SHUTTING_DOWN}")
        if reason is Reason.RELEASED:
            self._retry(client.release, lease, SHUTTING_DOWN)
            return "returned to the queue"
        if isinstance(end, messages.Failed):
            return self._fail(end.error)
        if reason is Reason.CANCELED:
            self._retry(client.finish_canceled, lease)
            return "canceled"
        if reason is Reason.OUT_OF_TIME:
            return self._fail(f"the job took longer than {self._seconds_allowed:g} seconds")
        if isinstance(end, messages.Interrupted):
            return self._fail("the job was interrupted, because its daemon ended or could not reach the server")
        return self._fail(f"the job's process ended unexpectedly ({crash or 'interrupted'})")

    # ------------------------------------------------------------------ states
    def _store_state(self, state: bytes) -> None:
        """Store a state. The job goes on if the server does not accept it: what it makes is in a later state, too.

        Raises LeaseLost, although the server stores the state then. After a lost lease, the process has ended: then
        this is the last report.
        """
        if state == self._saved_state and not self._is_lost:
            return
        store = partial(self._client.store_state, self.assignment.lease, state, is_last=self._is_lost)
        try:
            self._retry(store)
        except StateKept:
            self._saved_state = state
            self._is_reported = self._is_lost
            raise
        except (Refused, RuntimeError) as error:
            logger.error("Job %s: its state is not stored: %s", self.assignment.job_id, error)
            self._unsaved = str(error)
        else:
            self._saved_state, self._unsaved = state, ""

    def _store_last_state(self) -> None:
        """Store what the ended process has left, if the server does not have it. If the lease is lost, report as well
        that there is nothing: the server waits for that before the next build."""
        if self._kind.applies and self._process is not None:
            state = last_state(self._entry.folder if self._entry else None, self._process.directory)
            if state or self._is_lost:
                self._store_state(state)

    def _kill(self) -> None:
        """Kill the process and wait for its end, so that it changes nothing any more."""
        if self._process is not None:
            self._process.kill()
            self._process.exit_reason()

    def _close_entry(self) -> None:
        """Remove the job's entry in the spool if the server has the last state; else leave it to be sent later."""
        try:
            self._given_up.set()  # try once
            self._store_last_state()
        except StateKept:
            pass
        except LeaseLost as error:
            logger.warning("Job %s: its last state is sent later: %s", self.assignment.job_id, error.__cause__ or error)
        except Exception:
            logger.exception("Job %s: its last state is sent later", self.assignment.job_id)
        entry = self._entry
        if entry is None:
            return
        is_known = self._is_reported or not (self._is_lost and self._kind.applies)
        if is_known and entry.last_state() in (b"", self._saved_state):
            entry.remove()
            return
        try:
            entry.keep_state()
        except OSError as error:
            logger.error("Job %s: its last state cannot be kept: %s", self.assignment.job_id, error)
        entry.close()

    def _result(self, end: messages.Finished) -> Any:
        """Decode the result. Raises Refused if it does not have the type that the job's kind declares."""
        shape = self._kind.result
        try:
            if shape is not None:
                return shape.decode(end.result)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            logger.warning("Job %s: its result is invalid: %s", self.assignment.job_id, error)
            if isinstance(error, msgspec.ValidationError):
                raise Refused(f"{NOT_STORABLE}: {error}") from error
        raise Refused(INVALID_MESSAGE)

    def _fail(self, error: str) -> str:
        self._retry(self._client.fail, self.assignment.lease, self._secrets.mask(error))
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
