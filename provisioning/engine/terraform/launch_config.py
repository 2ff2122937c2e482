"""How a process that evaluates a template is started."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class LaunchConfig:
    """The parameters with which a process that evaluates a template is started, see ``JobRuntime.command_runner``."""

    sockets: dict[str, Path]
    variables: dict[str, str] = field(repr=False)
    protocols: dict[str, int] = field(default_factory=dict)  # of providers that do not speak version 6
    runs_programs: bool = False

    def covers(self, wanted: "LaunchConfig") -> bool:
        """True if a process started with this configuration can serve ``wanted``."""
        return (
            self.variables == wanted.variables
            and self.runs_programs == wanted.runs_programs
            and wanted.sockets.items() <= self.sockets.items()
            and all(self.protocols.get(one) == wanted.protocols.get(one) for one in wanted.sockets)
        )
