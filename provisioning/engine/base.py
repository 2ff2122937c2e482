"""The enumerations, data classes and protocol shared by the daemon and all engines.

Nothing in ``provisioning.engine`` imports Django: an engine runs in a separate process without database credentials.
All data classes are frozen and consist of JSON types, so that they can be sent over a pipe or HTTPS unchanged.
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
    """Who may open an app: its owner, every signed-in user, everyone."""

    OWNER = "owner"
    AUTHENTICATED = "authenticated"
    PUBLIC = "public"


class Stage(StrEnum):
    """The stages of a job, in the order of its log. Clients show these texts unchanged."""

    SETTING_UP = "Setting up"
    README = "Adding README.md..."
    PARSING = "Parsing template parameters"
    INSTALLING = "Installing providers"
    PERSISTENT = "Detecting persistent resources"
    EPHEMERAL = "Detecting ephemeral resources"
    CLEANING_UP = "Cleaning Up"


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a job's log. ``created_at`` is Unix time in seconds, set where the line was produced."""

    source: LogSource
    level: LogLevel
    stage: str
    output: str
    created_at: float


# An engine reports progress by calling ``log(level, stage, output)``; the runner adds source and time.
Log = Callable[[LogLevel, str, str], None]


@dataclass(frozen=True, slots=True)
class ParameterSchema:
    """A variable of the root module as a legacy parameter schema, read without running Terraform.

    ``default_source_value`` is the default as text: strings verbatim, everything else JSON-encoded; None if the default
    is missing or null. ``validation_condition`` is the exact source text.
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
    """A ``coder_parameter``. ``default_value`` is None if the parameter has no default, which makes it required."""

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
    """One ``item`` of a ``coder_metadata``. The value of a sensitive item is never sent; ``value`` is then None."""

    key: str
    value: str | None = None
    sensitive: bool = False


@dataclass(frozen=True, slots=True)
class Resource:
    """A managed resource of the plan, except resources of the coder provider."""

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
    """The result of one plan. Resources are sorted by (name, type), rich parameters are in source order."""

    resources: tuple[Resource, ...] = ()
    rich_parameters: tuple[RichParameter, ...] = ()


@dataclass(frozen=True, slots=True)
class ImportResult:
    """The result of an import.

    ``unverified_providers`` are the source addresses of providers that could not be installed and were replaced by
    stubs, ``unverified_modules`` the sources of modules that could not be fetched and were replaced by stubs. Such a
    version can be dry-run but is never applied.
    """

    start: PlanResult
    stop: PlanResult
    unverified_providers: tuple[str, ...] = ()
    unverified_modules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WorkspaceContext:
    """The values of ``data "coder_workspace"``. The provider replaces empty texts by defaults (owner and name
    ``default``, the zero owner id, a random workspace id)."""

    transition: Transition = Transition.START
    access_url: str = "http://localhost:3000"
    workspace_id: str = ""
    workspace_name: str = ""
    owner: str = ""
    owner_email: str = ""
    owner_id: str = ""


@dataclass(frozen=True, slots=True)
class PlanInput:
    """The input of a plan besides the template: values of variables, and values of rich parameters by name."""

    context: WorkspaceContext = WorkspaceContext()
    parameter_values: tuple[ParameterValue, ...] = ()
    rich_parameter_values: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one job: times in seconds, the others in bytes."""

    wall_seconds: float = 300.0
    cpu_seconds: int = 120
    file_bytes: int = 1 << 30
    memory_bytes: int = 4 << 30
    output_bytes: int = 64 << 20
    grace_seconds: float = 5.0


class EngineError(Exception):
    """Raised if a job fails. Users see the message in ``job.error``; details are in the log."""


class Canceled(EngineError):
    """Raised if a job was stopped because its cancellation was requested."""

    def __init__(self) -> None:
        super().__init__("canceled")


class Engine(Protocol):
    """Reads and plans templates.

    Calls are synchronous. They end early, with Canceled, when ``stop`` is set.

    ``directory`` contains the unpacked template; the engine can write to it. Every method raises EngineError with a
    message for users if the template has an error.
    """

    def warm_up(self, directory: Path, *, with_sample_plan: bool) -> None:
        """Prepare for one job whose template will be unpacked into ``directory``, an existing empty folder.

        This only makes the job faster, and never raises. ``with_sample_plan`` prepares more; use it if no job is
        waiting. The calling thread must outlive the job.
        """
        ...

    def parse(self, directory: Path, *, log: Log) -> tuple[ParameterSchema, ...]:
        """Return the root module's variables in source order (file name, line)."""
        ...

    def plan_import(self, directory: Path, plan_input: PlanInput, *, log: Log, stop: Event) -> ImportResult:
        """Plan the template for start and stop, ignoring ``plan_input.context.transition``."""
        ...

    def plan(self, directory: Path, plan_input: PlanInput, *, log: Log, stop: Event) -> PlanResult:
        """Plan once, for the transition of the context. This is a dry run."""
        ...
