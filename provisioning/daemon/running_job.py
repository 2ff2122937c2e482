"""What a job in a runner works with: its log, its clock, and the argument of its kind's ``run``. No Django."""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from provisioning.daemon import messages
from provisioning.daemon.spool import RunnerEntry
from provisioning.engine import bounds
from provisioning.engine.base import (
    MAX_STATE,
    Canceled,
    CostDecision,
    Engine,
    EngineError,
    LogLevel,
    LogLine,
    LogSource,
    ParameterSchema,
    ParameterValue,
    Stage,
)
from provisioning.engine.state import StateTooLarge
from provisioning.protocol.wire import MAX_COST

Send = Callable[[messages.Event], None]
# What a job waits for; None when it must end early.
Answer = messages.Values | messages.CostDecided


class JobLog:
    """Writes the job's log. Each stage starts with a line without output, which clients show as a heading."""

    def __init__(self, send: Send) -> None:
        self._pass_on = send
        self._stage = ""
        self._opened: set[str] = set()
        self._lock = threading.Lock()

    def open(self, stage: str, level: LogLevel = LogLevel.INFO) -> None:
        """Start a stage, unless it was started before."""
        with self._lock:
            self._stage = stage
            if stage not in self._opened:
                self._opened.add(stage)
                self._send(LogSource.DAEMON, level, stage, "")

    def note(self, level: LogLevel, output: str) -> None:
        """Write a line of the daemon in the current stage."""
        self._send(LogSource.DAEMON, level, self._stage, output)

    def from_engine(self, level: LogLevel, stage: str, output: str) -> None:
        """Write output of an engine (its ``log``): a log line for each line of output that is not empty."""
        self.open(stage)
        for line in output.split("\n"):
            if line.strip():
                self._send(LogSource.ENGINE, level, stage, line)

    def _send(self, source: LogSource, level: LogLevel, stage: str, output: str) -> None:
        self._pass_on(messages.Logged(LogLine(source, level, stage, output, time.time())))


class Clock:
    """Measures the parts of a job, in ``seconds`` by part."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since = 0.0

    def start(self) -> None:
        self._since = time.monotonic()

    def lap(self, part: str) -> None:
        """Add the time since the last call to ``part``."""
        now = time.monotonic()
        self.seconds[part] = self.seconds.get(part, 0.0) + now - self._since
        self._since = now


class RunningJob:
    """Implements ``protocol.kinds.RunningJob``, the argument of a kind's ``run``."""

    def __init__(
        self,
        send: Send,
        log: JobLog,
        clock: Clock,
        answers: "queue.SimpleQueue[Answer | None]",
        stop: threading.Event,
        directory: Path,
        engine: Engine,
        entry: RunnerEntry | None,
    ) -> None:
        self._send = send
        self._entry = entry
        self._answers = answers
        self.stop = stop
        self.directory = directory
        self.engine = engine
        self.open = log.open
        self.note = log.note
        self.log = log.from_engine
        self.measure = clock.lap

    def check_canceled(self) -> None:
        if self.stop.is_set():
            raise Canceled

    def store_readme(self, readme: str) -> None:
        self._send(messages.ReadmeFound(readme))

    def store_state(self, state: bytes) -> None:
        if len(state) > MAX_STATE:
            raise StateTooLarge(len(state))
        if self._entry is not None:
            try:
                self._entry.write(state)
            except OSError as error:
                self.note(LogLevel.WARN, f"The daemon's machine cannot keep the state: {error.strerror}")
        self._send(messages.StateFound(state))

    def compute_values(self, schemas: Sequence[ParameterSchema]) -> tuple[ParameterValue, ...]:
        bounds.check(tuple(schemas))
        self._send(messages.SchemasFound(tuple(schemas)))
        answer = self._answer()
        return answer.values if isinstance(answer, messages.Values) else ()

    def commit_cost(self, cost: int) -> None:
        if cost <= 0:
            return
        self.open(Stage.QUOTA)
        self._send(messages.CostPlanned(min(cost, MAX_COST)))
        answer = self._answer()
        decision = answer.decision if isinstance(answer, messages.CostDecided) else CostDecision()
        for note in decision.notes:
            self.note(LogLevel.INFO, note)
        if decision.refusal:
            self.note(LogLevel.WARN, decision.refusal)
            raise EngineError(decision.refusal)

    def _answer(self) -> Answer | None:
        """Wait for the daemon's answer. Raises Canceled when the job must end early."""
        answer = self._answers.get()
        self.check_canceled()
        return answer
