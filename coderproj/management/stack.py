"""Running everything as one process tree: the embedded database, the web server and a provisioner daemon.

The parent watches and restarts; it serves nothing itself. Every child ends with it, even when it is killed.
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
# Somebody waits for the start.
STARTING_SECONDS = 0.03
# A child that ends sooner than this after its start is not given another try at once.
HEALTHY_SECONDS = 5.0
RESTART_SECONDS = 1.0


@dataclass(slots=True)
class Service:
    """A child process that is started again when it ends by itself. ``grace`` seconds are left to it on a stop."""

    name: str
    command: Sequence[str]
    grace: float = 20.0
    process: subprocess.Popen[bytes] | None = None
    started: float = field(default=0.0)

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C of a terminal goes to the parent, which stops us in order
            preexec_fn=end_with_parent(signal.SIGTERM),  # noqa: PLW1509 - system calls alone
        )
        self.started = time.monotonic()

    def watch(self) -> None:
        """Start the process again when it has ended."""
        if self.process is None or self.process.poll() is None:
            return
        if time.monotonic() - self.started < HEALTHY_SECONDS:
            time.sleep(RESTART_SECONDS)
        logger.error("%s ended with status %s and is started again", self.name, self.process.returncode)
        self.start()

    def stop(self) -> None:
        """Ask for a clean end; insist when the grace is over."""
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
    """The services over the database. Use it in the main thread: its children end with the thread."""

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
        # Nobody takes new work; then those who answer; then what they stand on.
        for service in reversed(self.services):
            service.stop()
        if self.database is not None:
            self.database.stop()

    def add(self, name: str, *arguments: str, grace: float = 20.0) -> None:
        """Start a service: ``python <arguments>``."""
        service = Service(name, [sys.executable, *arguments], grace)
        self.services.append(service)
        service.start()

    def watch(self, until: Callable[[], bool] | None = None) -> None:
        """Keep everything running until a signal asks for the end, or ``until``, which is asked often, says so."""
        seconds = STARTING_SECONDS if until else WATCH_SECONDS
        while not self._stopping and not (until and until()):
            if self.database is not None:
                self.database.poll()
            for service in self.services:
                service.watch()
            time.sleep(seconds)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._stopping:  # asked twice: no more patience
            for service in self.services:
                service.grace = 0.5
        self._stopping = True
