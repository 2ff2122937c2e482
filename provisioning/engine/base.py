"""What an engine is: the words, shapes and protocol shared by the daemon and every engine.

Nothing here, or anywhere below ``provisioning.engine``, imports Django: an engine runs in a process of its own that
holds no database credentials. All shapes are frozen dataclasses of JSON types, so that they travel over a pipe or
over HTTPS unchanged.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from threading import Event
from typing import Protocol


class LogLevel(StrEnum):
    TRACE = "trace"
    DEBUG = "debug"
    INFO = "info"
    WARN = "warn"
    ERROR = "error"


class LogSource(StrEnum):
    DAEMON = "provisioner_daemon"
    ENGINE = "provisioner"


class Transition(StrEnum):
    START = "start"
    STOP = "stop"
    DELETE = "delete"


class SharingLevel(StrEnum):
    """Who may open an app: its owner, everybody who is signed in, everybody."""

    OWNER = "owner"
    AUTHENTICATED = "authenticated"
    PUBLIC = "public"


class Stage(StrEnum):
    """The stages of a job, in the order in which they appear in its log. Clients show them as they are."""

    SETTING_UP = "Setting up"
    README = "Adding README.md..."
    PARSING = "Parsing template parameters"
    INSTALLING = "Installing providers"
    PERSISTENT = "Detecting persistent resources"
    EPHEMERAL = "Detecting ephemeral resources"
    CLEANING_UP = "Cleaning Up"


@dataclass(frozen=True, slots=True)
class LogLine:
    """One record of a job's log. ``created_at`` is Unix time in seconds, taken where the line was produced."""

    source: LogSource
    level: LogLevel
    stage: str
    output: str
    created_at: float


# An engine reports progress by calling ``log(level, stage, output)``; the runner adds source and time.
Log = Callable[[LogLevel, str, str], None]


@dataclass(frozen=True, slots=True)
class ParameterSchema:
    """A variable of the root module, as a legacy parameter schema, read without running Terraform.

    ``default_source_value`` is the default as text: strings verbatim, everything else JSON-encoded; None when the
    variable has no default or a null one. ``validation_condition`` is the exact source text.
    """

    name: str
    description: str = ""
    default_source_value: str | None = None
    sensitive: bool = False
    validation_error: str = ""
    validation_condition: str = ""
    validation_value_type: str = ""

    @property
    def validation_type_system(self) -> str:
        return "hcl" if self.validation_condition else "none"


@dataclass(frozen=True, slots=True)
class ParameterValue:
    """A computed value for a variable. ``destination`` is ``provisioner_variable`` or ``environment_variable``."""

    name: str
    value: str
    destination: str = "provisioner_variable"
    sensitive: bool = False


@dataclass(frozen=True, slots=True)
class RichParameterOption:
    name: str
    value: str
    description: str = ""
    icon: str = ""


@dataclass(frozen=True, slots=True)
class RichParameter:
    """A ``coder_parameter``. ``default_value`` is None when the parameter has no default: then it is required."""

    name: str
    type: str = "string"
    description: str = ""
    mutable: bool = False
    default_value: str | None = None
    icon: str = ""
    options: tuple[RichParameterOption, ...] = ()
    validation_regex: str = ""
    validation_error: str = ""
    validation_min: int | None = None
    validation_max: int | None = None
    validation_monotonic: str = ""


@dataclass(frozen=True, slots=True)
class AppHealthcheck:
    """``interval`` is in seconds, ``threshold`` in failed checks."""

    url: str = ""
    interval: int = 0
    threshold: int = 0


@dataclass(frozen=True, slots=True)
class App:
    slug: str
    display_name: str = ""
    command: str = ""
    url: str = ""
    icon: str = ""
    subdomain: bool = False
    external: bool = False
    sharing_level: SharingLevel = SharingLevel.OWNER
    healthcheck: AppHealthcheck = AppHealthcheck()


@dataclass(frozen=True, slots=True)
class Agent:
    """A ``coder_agent``. Timeouts are in seconds. ``auth_token`` and ``instance_id`` are known only after an apply."""

    name: str
    operating_system: str = ""
    architecture: str = ""
    directory: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    startup_script: str = ""
    auth: str = "token"
    auth_token: str = ""
    instance_id: str = ""
    connection_timeout_seconds: int = 0
    startup_script_timeout_seconds: int = 0
    login_before_ready: bool = True
    troubleshooting_url: str = ""
    motd_file: str = ""
    apps: tuple[App, ...] = ()


@dataclass(frozen=True, slots=True)
class ResourceMetadata:
    """One ``item`` of a ``coder_metadata``. A sensitive item's value is never sent: ``value`` is None then."""

    key: str
    value: str | None = None
    sensitive: bool = False


@dataclass(frozen=True, slots=True)
class Resource:
    """A managed resource of the plan that is not one of the coder provider's own."""

    name: str
    type: str
    agents: tuple[Agent, ...] = ()
    metadata: tuple[ResourceMetadata, ...] = ()
    hide: bool = False
    icon: str = ""
    daily_cost: int = 0
    instance_type: str = ""


@dataclass(frozen=True, slots=True)
class PlanResult:
    """What one plan found. Resources are sorted by (name, type), rich parameters keep the order of the source."""

    resources: tuple[Resource, ...] = ()
    rich_parameters: tuple[RichParameter, ...] = ()


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What an import found.

    ``unverified_providers`` are the source addresses of providers that could not be installed and were answered
    for by a stub, ``unverified_modules`` the sources of modules that could not be fetched and were stood in for: such
    a version may be dry-run and is never applied.
    """

    start: PlanResult
    stop: PlanResult
    unverified_providers: tuple[str, ...] = ()
    unverified_modules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WorkspaceContext:
    """What ``data "coder_workspace"`` answers. Empty texts are replaced as the provider does
    (owner and name ``default``, the zero owner id, a random workspace id)."""

    transition: Transition = Transition.START
    access_url: str = "http://localhost:3000"
    workspace_id: str = ""
    workspace_name: str = ""
    owner: str = ""
    owner_email: str = ""
    owner_id: str = ""


@dataclass(frozen=True, slots=True)
class PlanInput:
    """What a plan is given besides the template: values of variables, values of rich parameters by name."""

    context: WorkspaceContext = WorkspaceContext()
    parameter_values: tuple[ParameterValue, ...] = ()
    rich_parameter_values: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one job: wall clock and CPU in seconds, the rest in bytes (or lines)."""

    wall_seconds: float = 300.0
    cpu_seconds: int = 120
    file_bytes: int = 1 << 30
    memory_bytes: int = 4 << 30
    output_bytes: int = 64 << 20
    grace_seconds: float = 5.0


class EngineError(Exception):
    """A job cannot go on. The text is what users read in ``job.error``; details are in the log."""


class Canceled(EngineError):
    """The work was interrupted because its cancellation was asked for."""

    def __init__(self) -> None:
        super().__init__("canceled")


class Engine(Protocol):
    """An engine reads templates and plans them.

    Calls are synchronous and end early, with Canceled, when ``stop`` is set.

    ``directory`` holds the unpacked template and may be written to. Every method raises EngineError with a text for
    users when the template is at fault.
    """

    def warm_up(self, directory: Path, *, thoroughly: bool) -> None:
        """Get ready for one job whose template will be unpacked into ``directory``, which is there and empty.

        Nothing depends on it but the time that the job takes, and it never raises. ``thoroughly`` is for when no job
        waits yet. The calling thread must outlive the job.
        """
        ...

    def parse(self, directory: Path, *, log: Log) -> tuple[ParameterSchema, ...]:
        """The variables of the root module in source order (file name, line)."""
        ...

    def plan_import(self, directory: Path, plan_input: PlanInput, *, log: Log, stop: Event) -> ImportResult:
        """Plan the template for start and for stop; ``plan_input.context.transition`` is not looked at."""
        ...

    def plan(self, directory: Path, plan_input: PlanInput, *, log: Log, stop: Event) -> PlanResult:
        """Plan once, for the transition of the context: a dry run."""
        ...
