"""A sandboxed process in a separate process group, watched until it has answered or ended."""

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
_TICK = 0.05  # seconds between checks of the deadline and of cancellation
_LINGER = 0.5  # seconds that a child's children may still write after its end

# Called with each complete line, without its line ending.
LineCallback = Callable[[bytes], None]
# Returns the seconds that an interrupted command has to end by itself; they can grow while it runs. The argument is
# True if output was left out, because the command has written too much.
FinishSeconds = Callable[[bool], float]


class LimitExceededError(EngineError):
    """Raised if a command exceeded a limit of its job and was stopped."""


class CommandTimeoutError(LimitExceededError):
    """Raised if a command did not end in time."""


@dataclass(frozen=True, slots=True)
class ExitResult:
    """How a command ended: its exit status (the negative number of a signal if killed) and the CPU time it took."""

    status: int
    cpu_seconds: float = field(default=0.0, compare=False)

    @property
    def description(self) -> str:
        """The status in words: ``exit status 1``, ``killed by SIGKILL``."""
        if self.status >= 0:
            return f"exit status {self.status}"
        try:
            return f"killed by {signal.Signals(-self.status).name}"
        except ValueError:
            return f"killed by signal {-self.status}"

    def failure_reason(self, limits: Limits, error: str = "") -> str:
        """Return why the command failed if it reported no diagnostic, naming the limit that it exceeded.

        ``error`` is a line of its standard error.
        """
        # Bubblewrap reports a signal as a shell does: 128 plus its number.
        number = self.status - 128 if self.status > 128 else -self.status
        # A process that ignores SIGXCPU is killed after a quarter more time. Limits count whole clock ticks,
        # ``cpu_seconds`` is exact: the two differ on a busy machine.
        if number == signal.SIGXCPU or (number == signal.SIGKILL and self.cpu_seconds >= limits.cpu_seconds):
            return f"it used more than {limits.cpu_seconds} seconds of CPU time"
        if number == signal.SIGKILL:
            return "it was killed, probably because the machine ran out of memory"
        if "out of memory" in error or "cannot allocate" in error:
            return f"it ran out of memory ({limits.memory_bytes >> 20} MiB)"
        return f"{self.description}: {error}" if error else self.description


class Child:
    """A running process: its pipes, its process group and, if it runs several commands, the channel for its answers.

    Call ``listen`` before ``watch``, and always call ``end``. ``last_line`` is the last line on standard error.
    """

    def __init__(self, process: subprocess.Popen[bytes], limits: Limits, channel: socket.socket | None = None) -> None:
        self.last_line = b""
        self._process = process
        self._limits = limits
        self._channel = channel
        self._answers: list[bytes] = []
        self._name = ""
        self._written = 0
        self._excess: LimitExceededError | None = None
        self._ended: ExitResult | None = None
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

    def listen(self, name: str, on_stdout: LineCallback, on_stderr: LineCallback) -> None:
        """Pass the lines of the command ``name`` (``terraform plan``) on to these callbacks from now on."""

        def noted(line: bytes) -> None:
            self.last_line = line
            on_stderr(line)

        self._name = name
        self._written = 0
        self._stdout.on_line, self._stderr.on_line = on_stdout, noted

    def watch(
        self, deadline: float, stopped: Callable[[], bool], finish_seconds: FinishSeconds | None = None
    ) -> bytes | None:
        """Pass lines on until the process answers, or has ended and its pipes are empty.

        Returns the answer, or None if the process has ended. Raises like ``command.run``; the process cannot be used
        after that. With ``finish_seconds``, a command that is interrupted, or that exceeded a limit, has that time to
        end by itself, which counts as its end, and its output up to a limit is passed on.
        """
        ended_at: float | None = None
        interrupted_at: float | None = None
        while not self._answers:
            now = time.monotonic()
            if finish_seconds and interrupted_at is None and (self._excess or stopped() or now > deadline):
                self._signal(signal.SIGINT)
                interrupted_at = now
            kill_at = self._kill_at(interrupted_at, finish_seconds)
            if stopped() and (kill_at is None or now > kill_at):
                self._interrupt()
                raise Canceled
            if now > (deadline if kill_at is None else kill_at):
                self._interrupt()
                raise self._excess or CommandTimeoutError(f"{self._name} was stopped: it took too long")
            if self._excess and not finish_seconds:
                raise self._excess
            if not self._selector.get_map() or (ended_at is not None and now > ended_at + _LINGER):
                if self._has_ended(wait=_TICK):
                    break
                continue
            self._read(_TICK)
            if ended_at is None and self._has_ended():
                ended_at = time.monotonic()
        while self._answers and self._read(0):  # output written before the answer
            pass
        if self._excess:
            raise self._excess
        if not self._answers:
            return None
        for lines in (self._stdout, self._stderr):
            lines.finish()
        return self._answers.pop(0)

    def _kill_at(self, interrupted_at: float | None, finish_seconds: FinishSeconds | None) -> float | None:
        if interrupted_at is None or finish_seconds is None:
            return None
        return interrupted_at + finish_seconds(self._excess is not None)

    def kill(self) -> None:
        """Kill the process group. ``end`` must still be called."""
        self._signal(signal.SIGKILL)

    def end(self) -> ExitResult:
        """Kill the rest of the group and return how the process ended. Can be called again."""
        if self._ended is not None:
            return self._ended
        self._signal(signal.SIGKILL)
        _, status, usage = os.wait4(self._process.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        self._ended = ExitResult(self._process.returncode, usage.ru_utime + usage.ru_stime)
        for key in list(self._selector.get_map().values()):
            self._selector.unregister(key.fileobj)
        self._selector.close()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr, self._channel):
            if pipe is not None:
                pipe.close()
        return self._ended

    def _read(self, timeout: float) -> bool:
        """Pass on available output, waiting at most ``timeout`` seconds. Returns False if there was none."""
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
            if self._written > self._limits.output_bytes and self._excess is None:
                self._excess = LimitExceededError(
                    f"{self._name} was stopped: it wrote more than {self._limits.output_bytes} bytes"
                )
            if self._excess is None or key.fileobj is self._channel:
                lines.feed(chunk)
        return bool(ready)

    def _interrupt(self) -> None:
        """Interrupt the group and wait at most the grace period. Output is discarded."""
        self._signal(signal.SIGINT)
        self._stdout.on_line = self._stderr.on_line = _ignore
        give_up_at = time.monotonic() + self._limits.grace_seconds
        while time.monotonic() < give_up_at and not self._answers and not self._has_ended():
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
        """True if the process has ended. It is not reaped, so that its process id is not reused before ``end``."""
        give_up_at = time.monotonic() + wait
        while True:
            if os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                return True
            if time.monotonic() >= give_up_at:
                return False
            time.sleep(0.002)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):  # ended, or (on macOS) only a zombie is left
            os.killpg(self._process.pid, number)


class _Lines:
    """Splits chunks into lines of any length, reading each byte once."""

    def __init__(self, on_line: LineCallback | None = None) -> None:
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
