"""Run one Terraform command: a sandboxed child in a separate process group, watched until it has ended."""

import os
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from provisioning.engine import launcher, sandbox
from provisioning.engine.base import EngineError, Limits
from provisioning.engine.sandbox import Access, Program, SandboxKind
from provisioning.engine.terraform.child import (
    Child,
    CommandTimeoutError,
    ExitResult,
    FinishSeconds,
    LimitExceededError,
    LineCallback,
)

__all__ = ["Command", "CommandTimeoutError", "ExitResult", "LimitExceededError", "LineCallback", "command_name", "run"]


@dataclass(frozen=True, slots=True)
class Command:
    """Terraform with ``arguments`` in ``directory``, with only ``environment`` and only ``access``."""

    arguments: tuple[str, ...]
    directory: Path
    environment: dict[str, str] = field(repr=False)
    access: Access


def command_name(arguments: tuple[str, ...]) -> str:
    """Return the command's name for messages: ``terraform plan``."""
    return f"terraform {arguments[0]}"


def run(
    program: Program,
    kind: SandboxKind,
    command: Command,
    *,
    limits: Limits,
    deadline: float,
    stopped: Callable[[], bool],
    on_stdout: LineCallback,
    on_stderr: LineCallback,
    finish_seconds: FinishSeconds | None = None,
) -> ExitResult:
    """Run a command to its end. ``deadline`` is in terms of ``time.monotonic``. With ``finish_seconds``, an interrupted
    command has that time to end by itself, and no exception is raised if it does.

    Raises Canceled when ``stopped()`` returns true, CommandTimeoutError after the deadline, LimitExceededError when the
    command wrote more than ``limits.output_bytes``, and EngineError when it could not be sandboxed or started. In any
    case no process of its group is left. Exceptions of the callbacks are not caught.
    """
    name = command_name(command.arguments)
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
        raise EngineError(f"{name} could not be started: {error.strerror}") from error
    child = Child(process, limits)
    child.listen(name, on_stdout, on_stderr)
    try:
        _send_request(process, launched.request)
        child.watch(deadline, stopped, finish_seconds)
    finally:
        ended = child.end()
    if ended.status == launcher.FAILED:
        raise EngineError(f"{name} could not be sandboxed: {child.last_line.decode(errors='replace')}")
    return ended


def _send_request(process: subprocess.Popen[bytes], request: bytes) -> None:
    """Write the launcher's request. If the launcher has already died, its exit status gives the reason."""
    pipe = process.stdin
    assert pipe is not None
    with suppress(BrokenPipeError):
        view = memoryview(request)
        while view:
            view = view[pipe.write(view) :]
        pipe.close()
