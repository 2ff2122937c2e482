"""Running one Terraform command: a confined child in a process group of its own, watched until it has gone."""

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from provisioning.engine import launcher, sandbox
from provisioning.engine.base import Canceled, EngineError, Limits
from provisioning.engine.sandbox import Access, Program, SandboxKind

_CHUNK = 1 << 16
_TICK = 0.05  # seconds between two looks at the clock and at the request to stop
_LINGER = 0.5  # seconds that output may still come from a child's children after its end


class LimitExceededError(EngineError):
    """A command went over one of the limits of its job and was ended."""


class OutOfTimeError(LimitExceededError):
    """A command did not end in time."""


@dataclass(frozen=True, slots=True)
class Command:
    """What to run: ``arguments`` of Terraform in ``directory``, with just ``environment``, reaching just ``access``."""

    arguments: tuple[str, ...]
    directory: Path
    environment: dict[str, str] = field(repr=False)
    access: Access

    @property
    def name(self) -> str:
        """``terraform plan``, for messages."""
        return f"terraform {self.arguments[0]}"


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


# Called with each complete line, without its end.
OnLine = Callable[[bytes], None]


def run(
    program: Program,
    kind: SandboxKind,
    command: Command,
    *,
    limits: Limits,
    deadline: float,
    stopped: Callable[[], bool],
    on_stdout: OnLine,
    on_stderr: OnLine,
) -> Ended:
    """Run a command to its end. ``deadline`` is a reading of ``time.monotonic``.

    Raises Canceled when ``stopped()`` turned true, OutOfTimeError after the deadline, LimitExceededError when the
    command wrote more than ``limits.output_bytes``, and EngineError when it could not be confined or started. Whatever
    happens, no process of its group is left. Exceptions of the callbacks pass through.
    """
    launched = sandbox.launch(
        kind,
        program,
        command.arguments,
        directory=command.directory,
        environment=command.environment,
        access=command.access,
        limits=limits,
    )
    try:
        process = subprocess.Popen(
            launched.arguments,
            cwd=command.directory,
            env={"PATH": os.defpath},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
    except OSError as error:
        raise EngineError(f"{command.name} could not be started: {error.strerror}") from error
    child = _Child(process, command, limits, on_stdout, on_stderr)
    try:
        child.give(launched.request)
        child.watch(deadline, stopped)
    finally:
        ended = child.end()
    if ended.status == launcher.FAILED:
        raise EngineError(f"{command.name} could not be confined: {child.last_line.decode(errors='replace')}")
    return ended


class _Child:
    """A running command: its pipes and its process group."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        command: Command,
        limits: Limits,
        on_stdout: OnLine,
        on_stderr: OnLine,
    ) -> None:
        self._process = process
        self._command = command
        self._limits = limits
        self._written = 0
        self._selector = selectors.DefaultSelector()
        self.last_line = b""
        for pipe, on_line in ((process.stdout, on_stdout), (process.stderr, self._noting(on_stderr))):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe, selectors.EVENT_READ, _Lines(on_line))

    def give(self, request: bytes) -> None:
        """Write the launcher's request. A launcher that has died already tells why by its exit status."""
        pipe: IO[bytes] | None = self._process.stdin
        assert pipe is not None
        with suppress(BrokenPipeError):
            view = memoryview(request)
            while view:
                view = view[pipe.write(view) :]
            pipe.close()

    def watch(self, deadline: float, stopped: Callable[[], bool]) -> None:
        """Pass lines on until the command has ended and its pipes are read out."""
        ended_at: float | None = None
        while True:
            if stopped():
                self._interrupt()
                raise Canceled
            now = time.monotonic()
            if now > deadline:
                self._interrupt()
                raise OutOfTimeError(f"{self._command.name} was ended: it took too long")
            if not self._selector.get_map() or (ended_at is not None and now > ended_at + _LINGER):
                if self._has_ended(wait=_TICK):
                    return
                continue
            self._read(_TICK)
            if ended_at is None and self._has_ended():
                ended_at = time.monotonic()

    def end(self) -> Ended:
        """Kill what is left of the group and answer how the command ended."""
        self._signal(signal.SIGKILL)
        _, status, usage = os.wait4(self._process.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        for key in list(self._selector.get_map().values()):
            self._selector.unregister(key.fileobj)
        self._selector.close()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()
        return Ended(self._process.returncode, usage.ru_utime + usage.ru_stime)

    def _read(self, timeout: float) -> None:
        for key, _ in self._selector.select(timeout):
            chunk = os.read(key.fd, _CHUNK)
            lines: _Lines = key.data
            if not chunk:
                self._selector.unregister(key.fileobj)
                lines.finish()
                continue
            self._written += len(chunk)
            if self._written > self._limits.output_bytes:
                raise LimitExceededError(
                    f"{self._command.name} was ended: it wrote more than {self._limits.output_bytes} bytes"
                )
            lines.feed(chunk)

    def _interrupt(self) -> None:
        """Ask the group to stop, and wait for the grace period at most. What it still says is not listened to."""
        self._signal(signal.SIGINT)
        give_up = time.monotonic() + self._limits.grace_seconds
        while time.monotonic() < give_up and not self._has_ended():
            for key, _ in self._selector.select(_TICK / 5):
                if not os.read(key.fd, _CHUNK):
                    self._selector.unregister(key.fileobj)
            if not self._selector.get_map():
                self._has_ended(wait=_TICK / 5)

    def _has_ended(self, wait: float = 0) -> bool:
        """Whether the command has ended. It is not reaped: its number must not go to another process before ``end``."""
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

    def _noting(self, on_line: OnLine) -> OnLine:
        def noted(line: bytes) -> None:
            self.last_line = line
            on_line(line)

        return noted


class _Lines:
    """Splits chunks into lines of any length, each byte looked at once."""

    def __init__(self, on_line: OnLine) -> None:
        self._on_line = on_line
        self._parts: list[bytes] = []

    def feed(self, chunk: bytes) -> None:
        *lines, rest = chunk.split(b"\n")
        for line in lines:
            self._parts.append(line)
            complete = b"".join(self._parts).removesuffix(b"\r")
            self._parts.clear()
            self._on_line(complete)
        if rest:
            self._parts.append(rest)

    def finish(self) -> None:
        if self._parts:
            complete = b"".join(self._parts)
            self._parts.clear()
            self._on_line(complete)
