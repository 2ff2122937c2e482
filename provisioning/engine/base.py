"""The enumerations, data classes and protocol shared by the daemon and all engines.

Nothing in ``provisioning.engine`` imports Django: an engine runs in a separate process without database credentials.
All data classes are frozen and consist of JSON types, so that they can be sent over a pipe or HTTPS unchanged. What a
job returns has bounds: ``bounds.check`` reports a result that exceeds one, and msgspec checks them where messages are
decoded.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from threading import Event
from typing import Annotated, Final, Protocol

from msgspec import Meta

# Characters of a text without a bound of its own, and entries of a list: more than a template of 4 MiB files needs.
MAX_TEXT: Final = 16 << 20
# Characters of names and other short texts, and of icons, which can be data URIs. Terraform has no bounds.
MAX_SHORT_TEXT: Final = 64 << 10
MAX_ICON: Final = 256 << 10
MAX_ENTRIES: Final = 100_000
# Characters of a log line, which are stored in several records: the output of a whole command.
MAX_OUTPUT: Final = 64 << 20
# Bytes of a workspace's state.
MAX_STATE: Final = 32 << 20
# Unix time of the year 9999.
MAX_TIME: Final = 253_000_000_000.0

Text = Annotated[str, Meta(max_length=MAX_TEXT)]
ShortText = Annotated[str, Meta(max_length=MAX_SHORT_TEXT)]
Icon = Annotated[str, Meta(max_length=MAX_ICON)]
Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Entries = Meta(max_length=MAX_ENTRIES)


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
    PLANNING = "Planning infrastructure"
    QUOTA = "Commit quota"
    STARTING = "Starting workspace"
    STOPPING = "Stopping workspace"
    DESTROYING = "Destroying workspace"
    CLEANING_UP = "Cleaning Up"


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a job's log. ``created_at`` is Unix time in seconds, set where the line was produced."""

    source: LogSource
    level: LogLevel
    stage: Text
    output: Annotated[str, Meta(max_length=MAX_OUTPUT)]
    created_at: Annotated[float, Meta(ge=0, le=MAX_TIME)]


# An engine reports progress by calling ``log(level, stage, output)``; the runner adds source and time.
Log = Callable[[LogLevel, str, str], None]
# An engine that builds calls ``save(state)`` with each new state of the workspace.
SaveState = Callable[[bytes], None]
# An engine that builds calls ``approve(cost)`` between plan and apply, with the cost of the plan in credits a day; with
# 0 before both, if the template declares no costs. That raises EngineError if it is too much.
ApproveCost = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class ParameterSchema:
    """A variable of the root module as a legacy parameter schema, read without running Terraform.

    ``default_source_value`` is the default as text: strings verbatim, everything else JSON-encoded; None if the default
    is missing or null. A value in the template's variable files (``terraform.tfvars``) takes its place.
    ``default_is_null`` means that the variable is optional and its value is null. ``validation_condition`` is the exact
    source text.
    """

    name: ShortText
    description: ShortText = ""
    default_source_value: Text | None = None
    sensitive: bool = False
    validation_error: ShortText = ""
    validation_condition: ShortText = ""
    validation_value_type: ShortText = ""
    default_is_null: bool = False

    @property
    def is_required(self) -> bool:
        """True if the variable has neither a default nor a value in the template."""
        return self.default_source_value is None and not self.default_is_null

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
    name: Text
    value: Text
    description: Text = ""
    icon: Icon = ""


@dataclass(frozen=True, slots=True)
class RichParameter:
    """A ``coder_parameter``. ``default_value`` is None if the parameter has no default, which makes it required."""

    name: ShortText
    type: ShortText = "string"
    description: Text = ""
    mutable: bool = False
    default_value: Text | None = None
    icon: Icon = ""
    options: Annotated[tuple[RichParameterOption, ...], Entries] = ()
    validation_regex: Text = ""
    validation_error: Text = ""
    validation_min: Int64 | None = None
    validation_max: Int64 | None = None
    validation_monotonic: ShortText = ""
    ephemeral: bool = False
    instance_key: ShortText | None = None


@dataclass(frozen=True, slots=True)
class Preset:
    """A ``coder_workspace_preset``: values of rich parameters by name. ``prebuilds`` is None without such a block."""

    name: ShortText
    parameters: Annotated[dict[Text, Text], Entries] = field(default_factory=dict)
    is_default: bool = False
    description: Text = ""
    icon: Icon = ""
    prebuilds: Int64 | None = None


@dataclass(frozen=True, slots=True)
class AppHealthcheck:
    """``interval`` is in seconds, ``threshold`` in failed checks."""

    url: Text = ""
    interval: Int64 = 0
    threshold: Int64 = 0


@dataclass(frozen=True, slots=True)
class App:
    slug: ShortText
    display_name: ShortText = ""
    command: Text = ""
    url: Text = ""
    icon: Icon = ""
    subdomain: bool = False
    external: bool = False
    sharing_level: SharingLevel = SharingLevel.OWNER
    healthcheck: AppHealthcheck = AppHealthcheck()
    instance_key: ShortText | None = None


@dataclass(frozen=True, slots=True)
class Agent:
    """A ``coder_agent``. Timeouts are in seconds. ``auth_token`` and ``instance_id`` are known only after an apply."""

    name: ShortText
    operating_system: ShortText = ""
    architecture: ShortText = ""
    directory: ShortText = ""
    environment: Annotated[dict[Text, Text], Entries] = field(default_factory=dict)
    startup_script: Text = ""
    auth: Text = "token"
    auth_token: Text = ""
    instance_id: ShortText = ""
    connection_timeout_seconds: Int64 = 0
    startup_script_timeout_seconds: Int64 = 0
    login_before_ready: bool = True
    troubleshooting_url: ShortText = ""
    motd_file: ShortText = ""
    shutdown_script: Text = ""
    shutdown_script_timeout_seconds: Int64 = 0
    apps: Annotated[tuple[App, ...], Entries] = ()
    instance_key: ShortText | None = None


@dataclass(frozen=True, slots=True)
class ResourceMetadata:
    """One ``item`` of a ``coder_metadata``. The value of a sensitive item is never sent; ``value`` is then None."""

    key: ShortText
    value: Text | None = None
    sensitive: bool = False
    instance_key: ShortText | None = None


@dataclass(frozen=True, slots=True)
class Resource:
    """An instance of a managed resource of the plan, except resources of the coder provider.

    ``instance_key`` is the index of ``count`` or the key of ``for_each``, after those of its modules: ``eu/0``; None
    without any. Agents, apps, metadata and rich parameters have it as well.
    """

    name: ShortText
    type: ShortText
    agents: Annotated[tuple[Agent, ...], Entries] = ()
    metadata: Annotated[tuple[ResourceMetadata, ...], Entries] = ()
    hide: bool = False
    icon: Icon = ""
    daily_cost: Int64 = 0
    instance_type: ShortText = ""
    instance_key: ShortText | None = None


@dataclass(frozen=True, slots=True)
class PlanResult:
    """The result of one plan. Resources are sorted by (name, type), rich parameters are in source order, instances in
    the order of the plan."""

    resources: Annotated[tuple[Resource, ...], Entries] = ()
    rich_parameters: Annotated[tuple[RichParameter, ...], Entries] = ()
    presets: Annotated[tuple[Preset, ...], Entries] = ()


@dataclass(frozen=True, slots=True)
class ImportResult:
    """The result of an import.

    ``unverified_providers`` are the source addresses of providers that could not be installed and were replaced by
    stubs, ``unverified_modules`` the sources of modules that could not be fetched and were replaced by stubs. Such a
    version can be dry-run but is never applied.
    """

    start: PlanResult
    stop: PlanResult
    unverified_providers: Annotated[tuple[Text, ...], Entries] = ()
    unverified_modules: Annotated[tuple[Text, ...], Entries] = ()


@dataclass(frozen=True, slots=True)
class WorkspaceContext:
    """The values of ``data "coder_workspace"``. The provider replaces empty texts by defaults."""

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
class BuildInput:
    """The input of a build: that of its plan, whose context has the transition, and the workspace's state, empty if
    there is none. ``commits_cost``: the server must allow the cost of the plan before it is applied."""

    plan: PlanInput
    state: Annotated[bytes, Meta(max_length=MAX_STATE)] = field(default=b"", repr=False)
    commits_cost: bool = False


@dataclass(frozen=True, slots=True)
class CostDecision:
    """Whether a build may cost what its plan says. ``notes`` are lines for its log. ``refusal`` is why the build must
    end, empty if it may go on; the text is for users."""

    notes: Annotated[tuple[Text, ...], Entries] = ()
    refusal: Text = ""


@dataclass(frozen=True, slots=True)
class BuildResult:
    """The resources of a workspace after a build, like those of a plan. Their agents have tokens."""

    resources: Annotated[tuple[Resource, ...], Entries] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one job: times in seconds, the others in bytes. Builds have their own times: an apply that is
    interrupted has ``apply_grace_seconds`` to finish what it is doing."""

    wall_seconds: float = 300.0
    cpu_seconds: int = 120
    file_bytes: int = 1 << 30
    memory_bytes: int = 4 << 30
    output_bytes: int = 64 << 20
    grace_seconds: float = 5.0
    build_seconds: float = 3600.0
    apply_grace_seconds: float = 120.0


class EngineError(Exception):
    """Raised if a job fails. Users see the message in ``job.error``; details are in the log."""


class Canceled(EngineError):
    """Raised if a job was stopped because its cancellation was requested."""

    def __init__(self) -> None:
        super().__init__("canceled")


class Engine(Protocol):
    """Reads, plans and builds templates.

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

    def build(
        self,
        directory: Path,
        build: BuildInput,
        *,
        log: Log,
        stop: Event,
        save_state: SaveState,
        approve: ApproveCost | None = None,
    ) -> BuildResult:
        """Plan the transition of a workspace and apply the plan, after its cost was approved if that is asked for.

        ``save_state`` is called while the apply runs and after it, also if it failed or was interrupted. It is never
        called if nothing was applied. An interrupted apply finishes what it is doing.
        """
        ...
