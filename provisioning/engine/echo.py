"""A scripted engine for tests and demonstrations: ``echo.json`` in a template defines the result of its import.

All keys are optional. Times are in seconds. Resources and parameters have the fields of the data classes in ``base``::

    {
      "parse": {
        "variables": [{"name": "region", "default_source_value": "eu"}],
        "logs": [["info", "Parsing template parameters", "one variable"]],
        "error": "why the parse fails"
      },
      "plan": {
        "logs": [["warn", "Detecting persistent resources", "a line"]],
        "lines": 1000,
        "sleep": 0.5,
        "crash": true,
        "hang": true,
        "ignore_stop": true,
        "error": "why the plan fails",
        "start": {"resources": [{"name": "dev", "type": "vm"}], "rich_parameters": [{"name": "size"}]},
        "stop": {"resources": []},
        "unverified_providers": ["registry.terraform.io/kreuzwerker/docker"],
        "unverified_modules": ["terraform-aws-modules/vpc/aws"]
      },
      "apply": {
        "logs": [["info", "Starting workspace", "a line"]],
        "state": "{\\"serial\\": 1}",
        "steps": 3,
        "step_seconds": 0.2,
        "unsaved": true,
        "sleep": 0.5,
        "crash": true,
        "hang": true,
        "ignore_stop": true,
        "error": "why the apply fails",
        "start": {"resources": [{"name": "dev", "type": "vm"}]},
        "stop": {"resources": []}
      }
    }

The keys of ``plan`` take effect in this order: write ``logs``, write ``lines`` numbered lines, sleep, crash the
process, hang forever, fail, return the result. With ``ignore_stop`` the script ignores cancellation. A parameter value
with the name ``echo.exec`` and the text ``error=TEXT`` makes the plan fail with TEXT.

A build runs the script of ``plan``, whose resources are what it costs, then that of ``apply``, in the order: write
``logs``, save ``state``, sleep, crash, hang, fail, return the result. Without a ``state`` it saves the values of
parameters, and a number that grows by one.
"""

import os
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import msgspec

from provisioning.engine.base import (
    ApproveCost,
    BuildInput,
    BuildResult,
    Canceled,
    EngineError,
    ImportResult,
    Log,
    LogLevel,
    ParameterSchema,
    PlanInput,
    PlanResult,
    SaveState,
    Stage,
    Transition,
)
from provisioning.engine.state import APPLY_STAGES, STATE_FILE, nothing_to_destroy

SCRIPT = "echo.json"
PARAMETER = "echo.exec"
CRASH_STATUS = 70

_ERROR_PREFIX = "error="
# The fault tests name a file here that gets a line for each change. A template cannot: this engine has no sandbox.
INVENTORY = "ECHO_INVENTORY"

Line = tuple[LogLevel, str, str]


@dataclass(frozen=True, slots=True)
class ParseScript:
    """The script of a parse."""

    variables: tuple[ParameterSchema, ...] = ()
    logs: tuple[Line, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class PlanScript:
    """The script of a plan."""

    start: PlanResult = PlanResult()  # noqa: RUF009 (frozen)
    stop: PlanResult = PlanResult()  # noqa: RUF009 (frozen)
    unverified_providers: tuple[str, ...] = ()
    unverified_modules: tuple[str, ...] = ()
    logs: tuple[Line, ...] = ()
    lines: int = 0
    sleep: float = 0.0
    crash: bool = False
    hang: bool = False
    ignore_stop: bool = False
    error: str = ""


@dataclass(frozen=True, slots=True)
class ApplyScript:
    """The script of an apply."""

    start: BuildResult = BuildResult()  # noqa: RUF009 (frozen)
    stop: BuildResult = BuildResult()  # noqa: RUF009 (frozen)
    state: str = ""
    logs: tuple[Line, ...] = ()
    steps: int = 0
    step_seconds: float = 0.0
    unsaved: bool = False
    sleep: float = 0.0
    crash: bool = False
    hang: bool = False
    ignore_stop: bool = False
    error: str = ""


@dataclass(frozen=True, slots=True)
class Script:
    """The content of ``echo.json``."""

    parse: ParseScript = ParseScript()
    plan: PlanScript = PlanScript()
    apply: ApplyScript = ApplyScript()


class EchoEngine:
    """Implements ``Engine`` by running the template's script."""

    def warm_up(self, directory: Path, *, with_sample_plan: bool) -> None:
        """Do nothing: this engine needs no preparation."""

    def parse(self, directory: Path, *, log: Log) -> tuple[ParameterSchema, ...]:
        """Return the script's variables. Raises EngineError if the script requests it or cannot be read."""
        script = read_script(directory).parse
        for line in script.logs:
            log(*line)
        if script.error:
            raise EngineError(script.error)
        return script.variables

    def plan_import(self, directory: Path, plan_input: PlanInput, *, log: Log, stop: Event) -> ImportResult:
        """Return the script's two results."""
        script = read_script(directory).plan
        _run_script(script, plan_input, log, stop)
        return ImportResult(script.start, script.stop, script.unverified_providers, script.unverified_modules)

    def plan(self, directory: Path, plan_input: PlanInput, *, log: Log, stop: Event) -> PlanResult:
        """Return the script's result for start; for any other transition the result for stop."""
        script = read_script(directory).plan
        _run_script(script, plan_input, log, stop)
        return script.start if plan_input.context.transition is Transition.START else script.stop

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
        """Run the scripts of the plan and of the apply."""
        if nothing_to_destroy(build, log):
            return BuildResult()
        script = read_script(directory)
        log(LogLevel.INFO, Stage.PLANNING, "")
        _run_script(script.plan, build.plan, log, stop)
        if approve is not None:
            starts = build.plan.context.transition is Transition.START
            planned = script.plan.start if starts else script.plan.stop
            approve(sum(resource.daily_cost for resource in planned.resources))
        return _apply(script.apply, build, log, stop, save_state)


def _apply(script: ApplyScript, build: BuildInput, log: Log, stop: Event, save_state: SaveState) -> BuildResult:
    transition = build.plan.context.transition
    log(LogLevel.INFO, APPLY_STAGES[transition], "")
    for line in script.logs:
        log(*line)
    if script.steps:
        _take_steps(script, build, log, stop, save_state)
    else:
        save_state(script.state.encode() or _next_state(build))
    if script.sleep:
        _wait(script.sleep, script, stop)
    if script.crash:
        os._exit(CRASH_STATUS)
    if script.hang:
        _wait(float("inf"), script, stop)
    if script.error:
        raise EngineError(script.error)
    if transition is Transition.DELETE:
        return BuildResult()
    return script.start if transition is Transition.START else script.stop


def _next_state(build: BuildInput) -> bytes:
    values = build.plan.rich_parameter_values
    serial = _number(_decoded(build.state).get("serial"))
    return msgspec.json.encode({"serial": serial + 1, "transition": build.plan.context.transition, "values": values})


def _take_steps(script: ApplyScript, build: BuildInput, log: Log, stop: Event, save_state: SaveState) -> None:
    """Make a thing per step, or destroy all things. As with Terraform, each change is in the state file at once, and
    an interrupt lets the current step finish.

    The file of ``INVENTORY`` gets a line for each change that has happened: ``+thing`` or ``-thing``, a text that is
    the same for all changes of a build, and the workspace. ``unsaved`` leaves saving the state to its end, so that only
    the file has it until then. Raises EngineError if the state has things with invalid ids.
    """
    this = f"{uuid.uuid4().hex} {_id(build.plan.context.workspace_id or uuid.UUID(int=0).hex)}"
    path = Path(tempfile.mkdtemp(prefix="tf-")) / STATE_FILE
    old = _decoded(build.state)
    serial, things = _number(old.get("serial")), _things(old)
    is_deletion = build.plan.context.transition is Transition.DELETE
    state = b""
    try:
        for number in range(len(things) if is_deletion else script.steps):
            if stop.is_set():
                break
            serial += 1
            if is_deletion:
                _record(f"-{things.pop()} {this}")
            else:
                things.append(uuid.uuid4().hex)
            changed = msgspec.json.encode({"serial": serial, "things": things})
            path.write_bytes(changed)
            state = changed
            if not is_deletion:
                _record(f"+{things[-1]} {this}")
            if not script.unsaved:
                save_state(state)
            log(LogLevel.INFO, APPLY_STAGES[build.plan.context.transition], f"step {number + 1}")
            time.sleep(script.step_seconds)
    finally:
        if state and script.unsaved:
            save_state(state)
    if stop.is_set():
        raise Canceled


def _record(change: str) -> None:
    if inventory := os.environ.get(INVENTORY):
        with Path(inventory).open("a", encoding="ascii") as file:
            file.write(f"{change}\n")


def _decoded(state: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(state)
    except msgspec.DecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _things(state: dict[str, Any]) -> list[str]:
    found = state.get("things") or ()
    if not isinstance(found, list | tuple):
        raise EngineError("the workspace's state is invalid: its things are not a list")
    return [_id(thing) for thing in found]


def _id(value: object) -> str:
    """Return a UUID as 32 hexadecimal digits. Raises EngineError if the value is not one."""
    try:
        return uuid.UUID(str(value)).hex
    except ValueError as error:
        raise EngineError("the workspace's state is invalid: the id of a thing is not a UUID") from error


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def read_script(directory: Path) -> Script:
    """Read ``echo.json``. Raises EngineError if it is missing or invalid."""
    try:
        content = (directory / SCRIPT).read_bytes()
    except OSError as error:
        raise EngineError(f"{SCRIPT} cannot be read: {error.strerror}") from error
    try:
        return msgspec.json.decode(content, type=Script)
    except (msgspec.DecodeError, RecursionError) as error:
        raise EngineError(f"{SCRIPT}: {error}") from error


def _run_script(script: PlanScript, plan_input: PlanInput, log: Log, stop: Event) -> None:
    for line in script.logs:
        log(*line)
    for number in range(1, script.lines + 1):
        if stop.is_set() and not script.ignore_stop:
            raise Canceled
        log(LogLevel.INFO, Stage.PERSISTENT, f"line {number}")
    if script.sleep:
        _wait(script.sleep, script, stop)
    if script.crash:
        os._exit(CRASH_STATUS)
    if script.hang:
        _wait(float("inf"), script, stop)
    error = script.error or _requested_failure(plan_input)
    if error:
        raise EngineError(error)
    if stop.is_set() and not script.ignore_stop:
        raise Canceled


def _requested_failure(plan_input: PlanInput) -> str:
    for value in plan_input.parameter_values:
        if value.name == PARAMETER and value.value.startswith(_ERROR_PREFIX):
            return value.value.removeprefix(_ERROR_PREFIX)
    return ""


def _wait(seconds: float, script: PlanScript | ApplyScript, stop: Event) -> None:
    """Wait. Raises Canceled as soon as ``stop`` is set, unless the script ignores it."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if script.ignore_stop:
            time.sleep(min(left, 1.0))
        elif stop.wait(min(left, 60.0)):
            raise Canceled
