"""The demonstration's own server."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from coderproj.base.processes import descendants, proportional_memory
from coderproj.demo.installation import answers
from coderproj.web.addresses import free_port, local_url

READY_SECONDS = 90
STOP_SECONDS = 40


class ServerFailedError(Exception):
    """The server did not start. The message ends with its output."""


class OwnServer:
    """``manage.py up`` on a free port, with its output in a file in the data folder."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = local_url("127.0.0.1", self.port)
        self.log = settings.DATA_DIR / "demo-server.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Start the server and wait until it answers. Return the seconds this took."""
        settings.DATA_DIR.mkdir(parents=True, exist_ok=True)
        began = time.perf_counter()
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "up", "--port", str(self.port)],
                cwd=settings.BASE_DIR,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        while not answers(self.url):
            if self.process.poll() is not None or time.perf_counter() - began > READY_SECONDS:
                self.stop()
                raise ServerFailedError(f"The server did not start:\n{self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)
        return time.perf_counter() - began

    def stop(self) -> None:
        """Stop the server; kill it if it does not stop in time."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def memory(self) -> int:
        """Return the memory of the whole process tree in bytes, with shared pages counted once."""
        if self.process is None:
            return 0
        return sum(map(proportional_memory, [self.process.pid, *descendants(self.process.pid)]))


@contextmanager
def interrupted_as_exit() -> Iterator[None]:
    """Let SIGTERM raise KeyboardInterrupt while the block runs, as Ctrl-C does."""

    def leave(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
