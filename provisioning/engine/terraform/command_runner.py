"""The two ways to run the commands of one plan: a process for each, or one that takes them all."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from provisioning.engine.base import Limits
from provisioning.engine.sandbox import Access, Program, SandboxKind
from provisioning.engine.terraform import command
from provisioning.engine.terraform.child import Ended, OnLine
from provisioning.engine.terraform.command import Command


class CommandRunner(Protocol):
    """Runs the commands of one plan, as ``command.run`` does. A ``LibraryProcess`` is one."""

    @property
    def take_turns(self) -> bool:
        """Whether a command waits for the one before it."""
        ...

    def run(
        self,
        arguments: tuple[str, ...],
        *,
        deadline: float,
        stopped: Callable[[], bool],
        on_stdout: OnLine,
        on_stderr: OnLine,
    ) -> Ended: ...


@dataclass(frozen=True, slots=True)
class ProcessPerCommand:
    """A process for each command, which may run at the same time."""

    program: Program
    kind: SandboxKind
    directory: Path
    environment: dict[str, str] = field(repr=False)
    access: Access
    limits: Limits

    @property
    def take_turns(self) -> bool:
        return False

    def run(
        self,
        arguments: tuple[str, ...],
        *,
        deadline: float,
        stopped: Callable[[], bool],
        on_stdout: OnLine,
        on_stderr: OnLine,
    ) -> Ended:
        return command.run(
            self.program,
            self.kind,
            Command(arguments, self.directory, self.environment, self.access),
            limits=self.limits,
            deadline=deadline,
            stopped=stopped,
            on_stdout=on_stdout,
            on_stderr=on_stderr,
        )
