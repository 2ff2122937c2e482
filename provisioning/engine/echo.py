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
      }
    }

The keys of ``plan`` take effect in this order: write ``logs``, write ``lines`` numbered lines, sleep, crash the
process, hang forever, fail, return the result. With ``ignore_stop`` the script ignores cancellation. A parameter value
with the name ``echo.exec`` and the text ``error=TEXT`` makes the plan fail with TEXT.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import msgspec

from provisioning.engine.base import (
    Canceled,
    EngineError,
    ImportResult,
    Log,
    LogLevel,
    ParameterSchema,
    PlanInput,
    PlanResult,
    Stage,
    Transition,
)

SCRIPT = "echo.json"
PARAMETER = "echo.exec"
CRASH_STATUS = 70

_ERROR_PREFIX = "error="

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
class Script:
    """The content of ``echo.json``."""

    parse: ParseScript = ParseScript()
    plan: PlanScript = PlanScript()


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


def _wait(seconds: float, script: PlanScript, stop: Event) -> None:
    """Wait. Raises Canceled as soon as ``stop`` is set, unless the script ignores it."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if script.ignore_stop:
            time.sleep(min(left, 1.0))
        elif stop.wait(min(left, 60.0)):
            raise Canceled
