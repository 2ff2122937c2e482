"""Processes for jobs as the daemon gets them: from a ``nursery``, which it starts when it needs the first."""

import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from provisioning.daemon import messages

SOURCE_DIRECTORY = Path(__file__).resolve().parents[2]
# For the nursery to import its engines, on a machine that has much else to do.
_FORK_SECONDS = 30.0
_GOODBYE_SECONDS = 5.0


class Child:
    """A process that was forked for one job. ``close`` must be called when it has ended: until then the pid is its
    own."""

    def __init__(self, pid: int, told: socket.socket) -> None:
        self.pid = pid
        self._told = told
        self._status: int | None = None
        self._asking = threading.Lock()

    def wait(self, seconds: float) -> int | None:
        """The exit status, negative for a signal, once it has ended; None when it still runs after so many seconds."""
        until = time.monotonic() + seconds
        while self._status is None:
            left = max(0.0, until - time.monotonic())
            if not select.select([self._told], [], [], left)[0]:
                break
            with self._asking:  # only one of those who wait hears it
                if self._status is None:
                    self._status = self._hear()
        return self._status

    def _hear(self) -> int:
        try:
            if said := self._told.recv(64):
                return int(said)
        except OSError:
            pass
        # The nursery was killed. Its children were told to go; now nobody knows whether they have.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        return -signal.SIGKILL

    def close(self) -> None:
        self._told.close()


class Children:
    """Gives processes. The thread that calls ``fork`` must outlive them all: the kernel takes its end for the
    daemon's."""

    def __init__(self, environment: dict[str, str], prepare: messages.Prepare) -> None:
        self._environment = environment
        self._prepare = prepare
        self._nursery: subprocess.Popen[bytes] | None = None
        self._orders: socket.socket | None = None

    def fork(self, folder: Path, *, stdin: int, stdout: int) -> Child:
        """A process with these ends of pipes, whose working directory and TMPDIR is ``folder``. Raises OSError."""
        try:
            return self._fork(folder, stdin, stdout)
        except OSError:
            if self._nursery is not None and self._nursery.poll() is None:
                raise  # it lives, and jobs with it
            self.close()
            return self._fork(folder, stdin, stdout)

    def _fork(self, folder: Path, stdin: int, stdout: int) -> Child:
        told, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                orders = self._orders or self._start()
                socket.send_fds(orders, [os.fsencode(folder)], [stdin, stdout, theirs.fileno()])
            told.settimeout(_FORK_SECONDS)
            pid = told.recv(64)
            if not pid:
                raise ConnectionResetError("it could not be forked")
        except OSError:
            told.close()
            raise
        told.settimeout(None)
        return Child(int(pid), told)

    def _start(self) -> socket.socket:
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._nursery = subprocess.Popen(
                (sys.executable, "-m", "provisioning.daemon.nursery", str(os.getpid())),
                cwd=SOURCE_DIRECTORY,
                env=self._environment,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._orders.send(messages.encode(self._prepare))
        return self._orders

    def close(self) -> None:
        """Start no more. What still runs is told to go."""
        if self._orders is not None:
            self._orders.close()
            self._orders = None
        if self._nursery is not None:
            try:
                self._nursery.wait(_GOODBYE_SECONDS)
            except subprocess.TimeoutExpired:
                self._nursery.kill()
                self._nursery.wait()
            self._nursery = None
