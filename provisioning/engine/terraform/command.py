"""Running one Terraform command: a confined child in a process group of its own, watched until it has gone."""

import os
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from provisioning.engine import launcher, sandbox
from provisioning.engine.base import EngineError, Limits
from provisioning.engine.sandbox import Access, Program, SandboxKind
from provisioning.engine.terraform.child import Child, Ended, LimitExceededError, OnLine, OutOfTimeError

__all__ = ["Command", "Ended", "LimitExceededError", "OnLine", "OutOfTimeError", "name_of", "run"]


@dataclass(frozen=True, slots=True)
class Command:
    """What to run: ``arguments`` of Terraform in ``directory``, with just ``environment``, reaching just ``access``."""

    arguments: tuple[str, ...]
    directory: Path
    environment: dict[str, str] = field(repr=False)
    access: Access


def name_of(arguments: tuple[str, ...]) -> str:
    """``terraform plan``, for messages."""
    return f"terraform {arguments[0]}"


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
    name = name_of(command.arguments)
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
        _give(process, launched.request)
        child.watch(deadline, stopped)
    finally:
        ended = child.end()
    if ended.status == launcher.FAILED:
        raise EngineError(f"{name} could not be confined: {child.last_line.decode(errors='replace')}")
    return ended


def _give(process: subprocess.Popen[bytes], request: bytes) -> None:
    """Write the launcher's request. A launcher that has died already tells why by its exit status."""
    pipe = process.stdin
    assert pipe is not None
    with suppress(BrokenPipeError):
        view = memoryview(request)
        while view:
            view = view[pipe.write(view) :]
        pipe.close()
