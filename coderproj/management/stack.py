"""Runs the embedded database, the web server, a provisioner daemon, a worker and a relay as one process tree.

The parent process only watches and restarts its children. They end with it, even if it is killed.
"""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import FrameType, TracebackType
from typing import Self

from coderproj.base.processes import end_with_parent
from coderproj.postgres import EmbeddedPostgres

logger = logging.getLogger(__name__)

WATCH_SECONDS = 0.2
# While a user waits for the start.
STARTING_SECONDS = 0.03
# A child that ends sooner than this after its start is restarted after a pause.
HEALTHY_SECONDS = 5.0
RESTART_SECONDS = 1.0


@dataclass(slots=True)
class Service:
    """A child process that is restarted when it ends by itself. It has ``grace`` seconds to stop."""

    name: str
    command: Sequence[str]
    grace: float = 20.0
    process: subprocess.Popen[bytes] | None = None
    started: float = field(default=0.0)

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # a terminal sends Ctrl-C to the parent only, which stops its children in order
            preexec_fn=end_with_parent(signal.SIGTERM),  # noqa: PLW1509 - it only makes system calls
        )
        self.started = time.monotonic()

    def watch(self) -> None:
        """Restart the process if it has ended."""
        if self.process is None or self.process.poll() is None:
            return
        if time.monotonic() - self.started < HEALTHY_SECONDS:
            time.sleep(RESTART_SECONDS)
        logger.error("%s ended with status %s and is started again", self.name, self.process.returncode)
        self.start()

    def stop(self) -> None:
        """Terminate the process; kill it after ``grace`` seconds."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(self.grace)
        except subprocess.TimeoutExpired:
            logger.warning("%s did not stop within %.0f s and is killed", self.name, self.grace)
            self.process.kill()
            self.process.wait()
        self.process = None


class Stack:
    """The database and its services. Use it in the main thread: children end with the thread that started them."""

    def __init__(self, database: EmbeddedPostgres | None) -> None:
        self.database = database
        self.services: list[Service] = []
        self._stopping = False

    def __enter__(self) -> Self:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        if self.database is not None:
            self.database.start()
            os.environ["DATABASE_URL"] = self.database.url
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Relay, worker and daemon stop before the web server, and the database last.
        for service in reversed(self.services):
            service.stop()
        if self.database is not None:
            self.database.stop()

    @property
    def is_stopping(self) -> bool:
        """True once a signal has arrived."""
        return self._stopping

    def add(self, name: str, *arguments: str, process: "subprocess.Popen[bytes] | None" = None) -> None:
        """Start a service: ``python <arguments>``. It is started later if ``process`` runs it already."""
        service = Service(name, [sys.executable, *arguments], process=process, started=time.monotonic())
        self.services.append(service)
        if process is None:
            service.start()

    def watch(self, until: Callable[[], bool] | None = None) -> None:
        """Keep everything running until a signal arrives or ``until``, which is called often, returns True."""
        seconds = STARTING_SECONDS if until else WATCH_SECONDS
        while not self._stopping and not (until and until()):
            if self.database is not None:
                self.database.poll()
            for service in self.services:
                service.watch()
            time.sleep(seconds)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._stopping:  # the second signal
            for service in self.services:
                service.grace = 0.5
        self._stopping = True
