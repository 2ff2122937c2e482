"""Processes for jobs, forked by the fork server, which is started with the first of them."""

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
# Enough for the fork server to import its engines on a busy machine.
_FORK_SECONDS = 30.0
_EXIT_SECONDS = 5.0


class Child:
    """A process forked for one job. ``close`` must be called after it has ended: until then its pid is not reused."""

    def __init__(self, pid: int, channel: socket.socket) -> None:
        self.pid = pid
        self._channel = channel
        self._status: int | None = None
        self._reading = threading.Lock()

    def wait(self, seconds: float) -> int | None:
        """Return the exit status, negative for a signal; None when the process still runs after ``seconds``."""
        until = time.monotonic() + seconds
        while self._status is None:
            left = max(0.0, until - time.monotonic())
            if not select.select([self._channel], [], [], left)[0]:
                break
            with self._reading:  # only one of the waiting threads receives it
                if self._status is None:
                    self._status = self._read_status()
        return self._status

    def _read_status(self) -> int:
        try:
            if status := self._channel.recv(64):
                return int(status)
        except OSError:
            pass
        # The fork server was killed. Its children were signaled to end, but their status is unknown.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        return -signal.SIGKILL

    def close(self) -> None:
        self._channel.close()


class Children:
    """Forks processes. The thread that calls ``fork`` must outlive all of them: the kernel treats its end as the
    daemon's."""

    def __init__(self, environment: dict[str, str], prepare: messages.Prepare) -> None:
        self._environment = environment
        self._prepare = prepare
        self._fork_server: subprocess.Popen[bytes] | None = None
        self._orders: socket.socket | None = None

    def fork(self, folder: Path, *, stdin: int, stdout: int) -> Child:
        """Fork a process with these pipe ends, and with ``folder`` as working directory and TMPDIR. Raises OSError."""
        try:
            return self._fork(folder, stdin, stdout)
        except OSError:
            if self._fork_server is not None and self._fork_server.poll() is None:
                raise  # the fork server is alive, with running jobs
            self.close()
            return self._fork(folder, stdin, stdout)

    def _fork(self, folder: Path, stdin: int, stdout: int) -> Child:
        channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                orders = self._orders or self._start()
                socket.send_fds(orders, [os.fsencode(folder)], [stdin, stdout, theirs.fileno()])
            channel.settimeout(_FORK_SECONDS)
            pid = channel.recv(64)
            if not pid:
                raise ConnectionResetError("the process could not be forked")
        except OSError:
            channel.close()
            raise
        channel.settimeout(None)
        return Child(int(pid), channel)

    def _start(self) -> socket.socket:
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._fork_server = subprocess.Popen(
                (sys.executable, "-m", "provisioning.daemon.fork_server", str(os.getpid())),
                cwd=SOURCE_DIRECTORY,
                env=self._environment,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._orders.send(messages.encode(self._prepare))
        return self._orders

    def close(self) -> None:
        """Stop the fork server; processes that still run are signaled to end."""
        if self._orders is not None:
            self._orders.close()
            self._orders = None
        if self._fork_server is not None:
            try:
                self._fork_server.wait(_EXIT_SECONDS)
            except subprocess.TimeoutExpired:
                self._fork_server.kill()
                self._fork_server.wait()
            self._fork_server = None
