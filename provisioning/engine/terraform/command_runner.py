"""Runs the commands of one plan: in one process per command, or all in one process."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from provisioning.engine.base import Limits
from provisioning.engine.sandbox import Access, Program, SandboxKind
from provisioning.engine.terraform import command
from provisioning.engine.terraform.child import ExitResult, FinishSeconds, LineCallback
from provisioning.engine.terraform.command import Command


class CommandRunner(Protocol):
    """Runs the commands of one plan like ``command.run``. ``LibraryProcess`` also implements this."""

    @property
    def is_sequential(self) -> bool:
        """True if a command waits for the previous one."""
        ...

    def run(
        self,
        arguments: tuple[str, ...],
        *,
        deadline: float,
        stopped: Callable[[], bool],
        on_stdout: LineCallback,
        on_stderr: LineCallback,
        finish_seconds: FinishSeconds | None = None,
    ) -> ExitResult: ...


@dataclass(frozen=True, slots=True)
class ProcessPerCommand:
    """Runs each command in a new process. Commands can run at the same time."""

    program: Program
    kind: SandboxKind
    directory: Path
    environment: dict[str, str] = field(repr=False)
    access: Access
    limits: Limits

    @property
    def is_sequential(self) -> bool:
        return False

    def run(
        self,
        arguments: tuple[str, ...],
        *,
        deadline: float,
        stopped: Callable[[], bool],
        on_stdout: LineCallback,
        on_stderr: LineCallback,
        finish_seconds: FinishSeconds | None = None,
    ) -> ExitResult:
        return command.run(
            self.program,
            self.kind,
            Command(arguments, self.directory, self.environment, self.access),
            limits=self.limits,
            deadline=deadline,
            stopped=stopped,
            on_stdout=on_stdout,
            on_stderr=on_stderr,
            finish_seconds=finish_seconds,
        )
