"""The daemon's side of a runner process, and the spare runners that wait for jobs."""

import logging
import os
import select
import shutil
import signal
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from provisioning.daemon import messages
from provisioning.daemon.children import Children
from provisioning.daemon.descendants import kill_descendants, kill_inside
from provisioning.daemon.spool import JOB_FOLDER
from provisioning.engine.state import remove_memory_folders
from provisioning.protocol.wire import MAX_MESSAGE_BYTES

logger = logging.getLogger(__name__)

_CHUNK = 256 * 1024
_EXIT_SECONDS = 5.0
# After a job has taken a runner, no spare is started for this time (or until the job ends), so that the job gets the
# CPU.
_PAUSE_SECONDS = 0.5
# Only the next runner is warmed up, and only when no job has started or ended for this time: under load, warming up
# costs more than it gains.
_IDLE_SECONDS = 0.25
_STARTING_SECONDS = 1.0  # the same, while the daemon starts


class RunnerProcess:
    """A ``runner`` process with a private folder. ``end`` must always be called.

    The thread that creates it must outlive it, see ``Children``. Raises OSError when the process cannot be started.
    """

    def __init__(self, children: Children, prepare: messages.Prepare) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix=JOB_FOLDER))
        self._sending = threading.Lock()
        self._ending = threading.Lock()
        self._ended = False
        self._is_warm = False
        self._rest: list[bytes] = []
        self._rest_bytes = 0
        child_in, own_out = os.pipe()
        own_in, child_out = os.pipe()
        self._stdin, self._stdout = os.fdopen(own_out, "wb", 0), os.fdopen(own_in, "rb", 0)
        try:
            self._process = children.fork(self.directory, stdin=child_in, stdout=child_out)
        except OSError:
            self._stdin.close()
            self._stdout.close()
            self._remove_directory()
            raise
        finally:
            os.close(child_in)
            os.close(child_out)
        self.send(prepare)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.wait(0) is None

    def warm_up(self) -> None:
        """Let the process prepare for a job in advance; only once."""
        if not self._is_warm:
            self._is_warm = True
            self.send(messages.WarmUp())

    def send(self, order: messages.Order) -> None:
        """Send a message. If the process has ended, ``events`` reports that."""
        with self._sending:
            self._write(messages.encode(order))

    def interrupt(self) -> bool:
        """Send a request to stop. Returns False when it must be repeated, because another message is being sent."""
        return self.offer(messages.Cancel())

    def offer(self, order: messages.Order) -> bool:
        """Send a message. Returns False, without waiting, if another message is being sent."""
        if not self._sending.acquire(blocking=False):
            return False
        try:
            self._write(messages.encode(order))
        finally:
            self._sending.release()
        return True

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        with suppress(BrokenPipeError, ValueError):
            while view:
                view = view[self._stdin.write(view) :]

    def events(self, timeout: float) -> list[messages.Event] | None:
        """Return the messages received within ``timeout`` seconds; None when the process has closed its output.

        Raises Unreadable.
        """
        if not select.select([self._stdout], [], [], timeout)[0]:
            return []
        chunk = os.read(self._stdout.fileno(), _CHUNK)
        if not chunk:
            return None
        *lines, rest = chunk.split(b"\n")
        if lines:
            lines[0] = b"".join((*self._rest, lines[0]))
            self._rest, self._rest_bytes = [], 0
        if rest:
            self._rest.append(rest)
            self._rest_bytes += len(rest)
            if self._rest_bytes > MAX_MESSAGE_BYTES:
                raise messages.Unreadable("a message is too long")
        return [messages.decode_event(line) for line in lines]

    def kill(self) -> None:
        """End the process and everything it started, at once."""
        with self._ending:
            if self._ended or not self.is_alive:
                return
            self._signal(signal.SIGSTOP)  # so that it starts no processes while its descendants are searched
            kill_descendants(self.pid)
            self._signal(signal.SIGKILL)

    def end(self) -> None:
        """End the process, by force if necessary, and remove its folder. Can be called again."""
        with self._ending:
            if self._ended:
                return
            with suppress(OSError):
                self._stdin.close()
        status = self._process.wait(_EXIT_SECONDS)
        if status is None:
            self.kill()
            while (status := self._process.wait(_EXIT_SECONDS)) is None:
                pass
        with self._ending:
            self._ended = True
            self._process.close()
            if status < 0:
                # It was killed without cleaning up: descendants can still run, in any process group.
                kill_inside(self.directory)
            self._stdout.close()
            self._remove_directory()

    def exit_reason(self) -> str:
        """Wait for the end; return a text such as ``signal 9: possibly out of memory`` or ``exit status 1``."""
        status = self._process.wait(_EXIT_SECONDS)
        if status is None:
            return "it closed its output"
        if status >= 0:
            return f"exit status {status}"
        return f"signal {-status}" + (": possibly out of memory" if status == -signal.SIGKILL else "")

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def _remove_directory(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)
        remove_memory_folders(self.directory)


class Spares:
    """Keeps spare runners ready. A separate thread creates them and lives as long as any of them."""

    def __init__(self, count: int, make: Callable[[], RunnerProcess]) -> None:
        self._count = count
        self._make = make
        self._ready: deque[RunnerProcess] = deque()
        self._wanted = 0
        self._pause_until = self._busy_until = 0.0
        self._closed = threading.Event()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="spares", daemon=True)

    def start(self) -> None:
        self._busy_until = time.monotonic() + _STARTING_SECONDS
        self._thread.start()

    def take(self, given_up: Callable[[], bool]) -> RunnerProcess | None:
        """Return a process, which the caller must end; None when ``given_up`` returns True, or after ``close``."""
        with self._changed:
            self._wanted += 1
            self._changed.notify_all()
            try:
                while not self._closed.is_set() and not given_up():
                    while self._ready:
                        process = self._ready.popleft()
                        if process.is_alive:
                            self._pause_until = self._busy_until = time.monotonic() + _PAUSE_SECONDS
                            return process
                        process.end()
                    self._changed.wait(0.2)
                return None
            finally:
                self._wanted -= 1
                self._changed.notify_all()

    def refill(self) -> None:
        """Create missing spares now, because a job has ended."""
        with self._changed:
            self._pause_until = 0.0
            self._busy_until = time.monotonic() + _IDLE_SECONDS
            self._changed.notify_all()

    def close(self) -> None:
        """End the unused processes and create no more."""
        self._closed.set()
        with self._changed:
            self._changed.notify_all()
            left = list(self._ready)
            self._ready.clear()
        for process in left:
            process.end()

    def _run(self) -> None:
        while not self._closed.is_set():
            with self._changed:
                if len(self._ready) >= max(self._count, self._wanted):
                    busy = self._busy_until - time.monotonic()
                    if busy <= 0 and self._ready:
                        self._ready[0].warm_up()
                    self._changed.wait(busy if busy > 0 else 1.0)
                    continue
                pause = self._pause_until - time.monotonic()
                if pause > 0 and not self._wanted:
                    self._changed.wait(pause)
                    continue
            try:
                process = self._make()
            except OSError as error:
                logger.error("Could not start a process for jobs: %s. Trying again.", error)
                self._closed.wait(1.0)
                continue
            with self._changed:
                if not self._closed.is_set():
                    self._ready.append(process)
                    self._changed.notify_all()
                    continue
            process.end()
        # Processes that still run a job end with this thread, so it must not return.
        threading.Event().wait()
