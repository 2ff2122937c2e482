"""Plan one template: prepare its values, modules and providers, then run the plans."""

import json
import threading
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from provisioning.engine.base import (
    EngineError,
    ImportResult,
    Log,
    LogLevel,
    PlanInput,
    PlanResult,
    Stage,
    Transition,
)
from provisioning.engine.hcl import Module, read_module
from provisioning.engine.plan import plan_result
from provisioning.engine.provider.coder import CoderProvider
from provisioning.engine.stub import StubProvider
from provisioning.engine.terraform.command_runner import CommandRunner
from provisioning.engine.terraform.environment import (
    environment_parameters,
    variable_values,
    write_private,
)
from provisioning.engine.terraform.job_runtime import JobRuntime
from provisioning.engine.terraform.module_fetcher import ModuleFetcher
from provisioning.engine.terraform.module_manifest import (
    fetched_modules,
    remote_calls,
    without_credentials,
    write_manifest,
)
from provisioning.engine.terraform.output import Line, Mask, Reader, shortened
from provisioning.engine.terraform.provider_installer import ProviderInstaller

_PLAN = ("plan", "-no-color", "-input=false", "-json", "-refresh=false", "-lock=false")
_SHOW = ("show", "-json", "-no-color")
# Since Terraform 1.8 the graph without a type leaves out the modules' names.
_GRAPH = ("graph", "-type=plan")


class Job:
    """The planning of one template."""

    def __init__(self, runtime: JobRuntime, module: Module, plan_input: PlanInput, log: Log) -> None:
        self._runtime = runtime
        self._settings = runtime.settings
        self._module = module
        self._input = plan_input
        self._log = log
        self._mask = _mask(module, plan_input)
        self._workspace_id = plan_input.context.workspace_id or str(uuid.uuid4())  # the same for every plan
        self._stubs: tuple[str, ...] = ()
        self._stub_sockets: dict[str, Path] = {}
        self._stubbed_modules: dict[str, str] = {}  # sources by module key
        self._variables: dict[str, str] = {}
        self._arguments: tuple[str, ...] = ()

    # ------------------------------------------------------------------ before the plans
    def prepare(self, installer: ProviderInstaller, fetcher: ModuleFetcher) -> None:
        """Write the values, then provide the modules and providers, with stubs for those that are unavailable.

        Raises EngineError if something is unavailable and stubs are disabled, Canceled if the job is canceled.
        """
        runtime = self._runtime
        in_file, variables = variable_values(self._input.parameter_values, self._module.variables)
        self._variables = variables | environment_parameters(self._input.parameter_values)
        if in_file:
            path = write_private(runtime.folder / "values.tfvars.json", json.dumps(in_file))
            self._arguments = (f"-var-file={path}",)
        if remote_calls(self._module):
            self._fetch(fetcher)
        write_manifest(self._module, runtime.directory, runtime.data, self._stubbed_modules, runtime.registry)
        if self._module.provider_usage:
            self._install(installer)

    def _fetch(self, fetcher: ModuleFetcher) -> None:
        """Fetch the template's remote modules; stubs replace those that are unavailable."""
        runtime = self._runtime
        self._log(LogLevel.INFO, Stage.INSTALLING, "")
        failed = fetcher.fetch(runtime, self._module, self._log)
        for call in self._module.module_calls:
            if call.key not in failed:
                continue
            source = without_credentials(call.source)
            text = f"module {call.key} ({call.location}) from {source} could not be fetched: {failed[call.key]}"
            if not self._settings.stub_providers:
                self._log(LogLevel.ERROR, Stage.INSTALLING, text)
                raise EngineError(shortened(text))
            self._log(LogLevel.WARN, Stage.INSTALLING, f"{text}; a stub replaces it, so this version is unverified")
            self._stubbed_modules[call.key] = source
        # Fetched modules can use further providers, modules and remote state.
        fetched = fetched_modules(runtime.directory, runtime.data)
        self._module = read_module(runtime.directory, fetched, runtime.data / "modules")
        reject_external_state(self._module)

    def _install(self, installer: ProviderInstaller) -> None:
        """Install the template's providers; stubs replace those that are unavailable."""
        usage = self._module.provider_usage
        self._log(LogLevel.INFO, Stage.INSTALLING, "")
        failed = installer.install(self._runtime, tuple(usage), self._log)
        self._stubs = tuple(sorted(failed))
        for address, reason in failed.items():
            text = f"provider {address} could not be installed: {reason}"
            if not self._settings.stub_providers:
                self._log(LogLevel.ERROR, Stage.INSTALLING, text)
                raise EngineError(shortened(text))
            self._log(LogLevel.WARN, Stage.INSTALLING, f"{text}; a stub replaces it, so this version is unverified")
            self._stub_sockets |= self._runtime.serve_stub(address, StubProvider(usage[address]))

    # ------------------------------------------------------------------ the plans
    def plan_import(self) -> ImportResult:
        """Run both plans at once. They share one graph, created by the first idle runner."""
        starting, stopping = (self._runner(slot, t) for slot, t in enumerate((Transition.START, Transition.STOP)))
        graph = SharedGraph(self._graph)
        stop_log = BufferedLog(self._log)
        self._log(LogLevel.INFO, Stage.PERSISTENT, "")
        stop_log(LogLevel.INFO, Stage.EPHEMERAL, "")

        def plan_stop() -> dict[str, Any]:
            found = self._plan(stopping, Transition.STOP, Stage.EPHEMERAL, stop_log)
            graph.make(stopping)
            return found

        with ThreadPoolExecutor(2, thread_name_prefix="plan") as threads:
            stop_plan = threads.submit(plan_stop)
            if not starting.is_sequential:
                threads.submit(graph.make, starting)
            try:
                start = self._plan(starting, Transition.START, Stage.PERSISTENT, self._log)
                stop_log.release()
                graph.make(starting)
                stop = stop_plan.result()
                text = graph.result()
            except BaseException:
                self._runtime.cancel_commands()
                raise
        return ImportResult(
            start=self._found(start, text),
            stop=self._found(stop, text),
            unverified_providers=self._stubs,
            unverified_modules=tuple(sorted(set(self._stubbed_modules.values()))),
        )

    def plan_once(self) -> PlanResult:
        """Run one plan, for the transition of the context."""
        transition = self._input.context.transition
        runner = self._runner(0, transition)
        with ThreadPoolExecutor(1, thread_name_prefix="graph") as threads:
            early_graph = None if runner.is_sequential else threads.submit(self._graph, runner)
            try:
                plan = self._plan(runner, transition, Stage.PERSISTENT, self._log)
                graph = early_graph.result() if early_graph else self._graph(runner)
                return self._found(plan, graph)
            except BaseException:
                self._runtime.cancel_commands()
                raise

    def _found(self, plan: dict[str, Any], graph: str) -> PlanResult:
        return plan_result(plan, graph, self._module, stubbed_modules=self._stubbed_modules)

    def _runner(self, slot: int, transition: Transition) -> CommandRunner:
        """Serve the providers of a plan and return the runner for its commands."""
        context = replace(self._input.context, transition=transition, workspace_id=self._workspace_id)
        provider = CoderProvider(context, self._input.rich_parameter_values)
        return self._runtime.command_runner(
            slot,
            sockets=self._stub_sockets | self._runtime.serve_coder(slot, provider),
            variables=self._variables,
            installed=len(self._stubs) < len(self._module.provider_usage),
        )

    # ------------------------------------------------------------------ the commands
    def _plan(self, runner: CommandRunner, transition: Transition, stage: Stage, log: Log) -> dict[str, Any]:
        """Run a plan and return it as Terraform's JSON. Log lines are passed on while it runs."""
        target = self._runtime.folder / f"{transition}.tfplan"
        destroy = ("-destroy",) if transition is Transition.DELETE else ()
        reader = Reader(self._mask)
        result = self._runtime.run(
            runner,
            (*_PLAN, *destroy, *self._arguments, f"-out={target}"),
            on_stdout=lambda raw: _forward(reader.stdout(raw), stage, log),
            on_stderr=lambda raw: _forward(reader.stderr(raw), stage, log),
        )
        if result.status != 0:
            reason = reader.reason() or shortened(result.failure_reason(self._settings.limits, reader.first_error_line))
            raise EngineError(f"plan for {transition} failed: {reason}")
        text = self._answer(runner, (*_SHOW, str(target)), f"the plan for {transition} cannot be read")
        try:
            plan = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise EngineError(f"the plan for {transition} cannot be read: {type(error).__name__}") from error
        if not isinstance(plan, dict):
            raise EngineError(f"the plan for {transition} cannot be read: it is not an object")
        return plan

    def _graph(self, runner: CommandRunner) -> str:
        return self._answer(runner, _GRAPH, "the dependency graph cannot be created").decode(errors="replace")

    def _answer(self, runner: CommandRunner, arguments: tuple[str, ...], failure: str) -> bytes:
        """Return the standard output of a command without logging it.

        Raises EngineError if the command fails; its text starts with ``failure``.
        """
        lines: list[bytes] = []
        reader = Reader(self._mask)
        errors: list[str] = []
        result = self._runtime.run(
            runner,
            arguments,
            on_stdout=lines.append,
            on_stderr=lambda raw: errors.extend(line.output for line in reader.stderr(raw)),
        )
        if result.status != 0:
            reason = " ".join(errors[:8]) or result.failure_reason(self._settings.limits)
            raise EngineError(shortened(f"{failure}: {reason}"))
        return b"\n".join(lines)


def _forward(lines: Iterable[Line], stage: Stage, log: Log) -> None:
    for line in lines:
        log(line.level, stage, line.output)


class SharedGraph:
    """The dependency graph shared by several plans of a template, created by the first plan that needs it."""

    def __init__(self, make: Callable[[CommandRunner], str]) -> None:
        self._make = make
        self._turn = threading.Lock()
        self._made: Future[str] = Future()

    def make(self, runner: CommandRunner) -> None:
        """Create the graph with ``runner``, unless this has started already. ``result`` raises its errors."""
        if not self._turn.acquire(blocking=False):
            return
        try:
            self._made.set_result(self._make(runner))
        except BaseException as error:  # noqa: BLE001 - raised by result()
            self._made.set_exception(error)

    def result(self) -> str:
        """Wait for the graph. Raises the error of ``make``, which must have been called."""
        return self._made.result()


class BufferedLog:
    """Buffers log lines until ``release``, then passes lines on directly."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._buffered: list[tuple[LogLevel, str, str]] | None = []

    def __call__(self, level: LogLevel, stage: str, output: str) -> None:
        with self._lock:
            if self._buffered is None:
                self._log(level, stage, output)
            else:
                self._buffered.append((level, stage, output))

    def release(self) -> None:
        with self._lock:
            for line in self._buffered or ():
                self._log(*line)
            self._buffered = None


def reject_external_state(module: Module) -> None:
    """Raise EngineError if a template configures state storage or reads remote state."""
    if module.backend is not None:
        raise EngineError(
            f"{module.backend}: a template must not have a backend or cloud block: the server stores the state"
        )
    if module.has_remote_state is not None:
        raise EngineError(f"{module.has_remote_state}: a template must not read terraform_remote_state")


def _mask(module: Module, plan_input: PlanInput) -> Mask:
    """Return a mask for sensitive values, and for the values and defaults of sensitive variables."""
    sensitive = {variable.name for variable in module.variables if variable.sensitive}
    secrets = [value.value for value in plan_input.parameter_values if value.sensitive or value.name in sensitive]
    secrets += [variable.default_source_value or "" for variable in module.variables if variable.sensitive]
    return Mask(secrets)
