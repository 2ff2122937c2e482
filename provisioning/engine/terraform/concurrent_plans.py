"""What the plans of a template for start and stop share while they run at the same time."""

import threading
from collections.abc import Callable
from concurrent.futures import Future

from provisioning.engine.base import Log, LogLevel
from provisioning.engine.terraform.command_runner import CommandRunner


class SharedGraph:
    """The dependency graph shared by several plans of a template, created by the first plan that needs it."""

    def __init__(self, make: Callable[[CommandRunner], str]) -> None:
        self._make = make
        self._turn = threading.Lock()
        self._made: Future[str] = Future()

    def make(self, runner: CommandRunner) -> None:
        """Create the graph with ``runner``, unless this has started already. ``result`` raises its errors."""
        if not self._turn.acquire(blocking=False):
            return
        try:
            self._made.set_result(self._make(runner))
        except BaseException as error:  # noqa: BLE001 - raised by result()
            self._made.set_exception(error)

    def result(self) -> str:
        """Wait for the graph. Raises the error of ``make``, which must have been called."""
        return self._made.result()


class BufferedLog:
    """Buffers log lines until ``release``, then passes lines on directly."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._buffered: list[tuple[LogLevel, str, str]] | None = []

    def __call__(self, level: LogLevel, stage: str, output: str) -> None:
        with self._lock:
            if self._buffered is None:
                self._log(level, stage, output)
            else:
                self._buffered.append((level, stage, output))

    def release(self) -> None:
        with self._lock:
            for line in self._buffered or ():
                self._log(*line)
            self._buffered = None
