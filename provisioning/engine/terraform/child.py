"""A confined process in a process group of its own, watched until it has answered or gone."""

import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from provisioning.engine.base import Canceled, EngineError, Limits

_CHUNK = 1 << 16
_TICK = 0.05  # seconds between two looks at the clock and at the request to stop
_LINGER = 0.5  # seconds that output may still come from a child's children after its end

# Called with each complete line, without its end.
OnLine = Callable[[bytes], None]


class LimitExceededError(EngineError):
    """A command went over one of the limits of its job and was ended."""


class OutOfTimeError(LimitExceededError):
    """A command did not end in time."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended: its exit status, negative for a signal's number, and the processor time it took."""

    status: int
    cpu_seconds: float = field(default=0.0, compare=False)

    @property
    def why(self) -> str:
        """The end in words: ``exit status 1``, ``killed by SIGKILL``."""
        if self.status >= 0:
            return f"exit status {self.status}"
        try:
            return f"killed by {signal.Signals(-self.status).name}"
        except ValueError:
            return f"killed by signal {-self.status}"

    def reason(self, limits: Limits, words: str = "") -> str:
        """Why it ended without a diagnostic of its own, naming the limit that it ran into; ``words`` are its last."""
        # Bubblewrap passes a signal on as a shell does.
        number = self.status - 128 if self.status > 128 else -self.status
        # What ignores SIGXCPU is killed a quarter later. Limits count whole clock ticks, ``cpu_seconds`` are exact: the
        # two differ on a busy machine.
        if number == signal.SIGXCPU or (number == signal.SIGKILL and self.cpu_seconds >= limits.cpu_seconds):
            return f"it used more than {limits.cpu_seconds} seconds of processor time"
        if number == signal.SIGKILL:
            return "it was killed, as happens when the machine runs out of memory"
        if "out of memory" in words or "cannot allocate" in words:
            return f"it ran out of memory ({limits.memory_bytes >> 20} MiB)"
        return f"{self.why}: {words}" if words else self.why


class Child:
    """A running process: its pipes, its group and, when it takes several commands, the channel of its answers.

    ``listen`` before ``watch``, and ``end`` whatever happens. ``last_line`` is the last one on standard error.
    """

    def __init__(self, process: subprocess.Popen[bytes], limits: Limits, channel: socket.socket | None = None) -> None:
        self.last_line = b""
        self._process = process
        self._limits = limits
        self._channel = channel
        self._answers: list[bytes] = []
        self._name = ""
        self._written = 0
        self._ended: Ended | None = None
        self._stdout, self._stderr = _Lines(), _Lines()
        self._selector = selectors.DefaultSelector()
        for pipe, lines in ((process.stdout, self._stdout), (process.stderr, self._stderr)):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe, selectors.EVENT_READ, lines)
        if channel is not None:
            self._selector.register(channel, selectors.EVENT_READ, _Lines(self._answers.append))

    @property
    def is_alive(self) -> bool:
        return self._ended is None and not self._has_ended()

    def listen(self, name: str, on_stdout: OnLine, on_stderr: OnLine) -> None:
        """Pass the lines of the command ``name`` (``terraform plan``) on to these from now."""

        def noted(line: bytes) -> None:
            self.last_line = line
            on_stderr(line)

        self._name = name
        self._written = 0
        self._stdout.on_line, self._stderr.on_line = on_stdout, noted

    def watch(self, deadline: float, stopped: Callable[[], bool]) -> bytes | None:
        """Pass lines on until there is an answer, which is returned, or the process has ended and its pipes are empty.

        Raises as ``command.run`` does; the process is of no use then.
        """
        ended_at: float | None = None
        while not self._answers:
            if stopped():
                self._interrupt()
                raise Canceled
            now = time.monotonic()
            if now > deadline:
                self._interrupt()
                raise OutOfTimeError(f"{self._name} was ended: it took too long")
            if not self._selector.get_map() or (ended_at is not None and now > ended_at + _LINGER):
                if self._has_ended(wait=_TICK):
                    return None
                continue
            self._read(_TICK)
            if ended_at is None and self._has_ended():
                ended_at = time.monotonic()
        while self._read(0):  # what was written before the answer
            pass
        for lines in (self._stdout, self._stderr):
            lines.finish()
        return self._answers.pop(0)

    def kill(self) -> None:
        """Have the group end; ``end`` is still needed."""
        self._signal(signal.SIGKILL)

    def end(self) -> Ended:
        """Kill what is left of the group and answer how the process ended. May be called again."""
        if self._ended is not None:
            return self._ended
        self._signal(signal.SIGKILL)
        _, status, usage = os.wait4(self._process.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        self._ended = Ended(self._process.returncode, usage.ru_utime + usage.ru_stime)
        for key in list(self._selector.get_map().values()):
            self._selector.unregister(key.fileobj)
        self._selector.close()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr, self._channel):
            if pipe is not None:
                pipe.close()
        return self._ended

    def _read(self, timeout: float) -> bool:
        """Pass on what there is, after at most so many seconds; False when there is nothing."""
        ready = self._selector.select(timeout)
        for key, _ in ready:
            try:
                chunk = os.read(key.fd, _CHUNK)
            except ConnectionError:
                chunk = b""
            lines: _Lines = key.data
            if not chunk:
                self._selector.unregister(key.fileobj)
                lines.finish()
                continue
            self._written += len(chunk)
            if self._written > self._limits.output_bytes:
                raise LimitExceededError(
                    f"{self._name} was ended: it wrote more than {self._limits.output_bytes} bytes"
                )
            lines.feed(chunk)
        return bool(ready)

    def _interrupt(self) -> None:
        """Ask the group to stop, and wait for the grace period at most. What it still says is not listened to."""
        self._signal(signal.SIGINT)
        self._stdout.on_line = self._stderr.on_line = _ignore
        give_up = time.monotonic() + self._limits.grace_seconds
        while time.monotonic() < give_up and not self._answers and not self._has_ended():
            for key, _ in self._selector.select(_TICK / 5):
                lines: _Lines = key.data
                with suppress(ConnectionError):
                    if chunk := os.read(key.fd, _CHUNK):
                        lines.feed(chunk)
                        continue
                self._selector.unregister(key.fileobj)
            if not self._selector.get_map():
                self._has_ended(wait=_TICK / 5)

    def _has_ended(self, wait: float = 0) -> bool:
        """Whether the process has ended. It is not reaped: its number must not go to another one before ``end``."""
        give_up = time.monotonic() + wait
        while True:
            if os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                return True
            if time.monotonic() >= give_up:
                return False
            time.sleep(0.002)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):  # gone, or (on macOS) only a zombie is left
            os.killpg(self._process.pid, number)


class _Lines:
    """Splits chunks into lines of any length, each byte looked at once."""

    def __init__(self, on_line: OnLine | None = None) -> None:
        self.on_line = on_line or _ignore
        self._parts: list[bytes] = []

    def feed(self, chunk: bytes) -> None:
        *lines, rest = chunk.split(b"\n")
        for line in lines:
            self._parts.append(line)
            complete = b"".join(self._parts).removesuffix(b"\r")
            self._parts.clear()
            self.on_line(complete)
        if rest:
            self._parts.append(rest)

    def finish(self) -> None:
        if self._parts:
            complete = b"".join(self._parts)
            self._parts.clear()
            self.on_line(complete)


def _ignore(line: bytes) -> None:
    pass
