"""One template being planned: its values, modules and providers, then the plans."""

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
from provisioning.engine.terraform.module_manifest import fetched_modules, remote_calls, without_users, write_manifest
from provisioning.engine.terraform.output import Line, Mask, Reader, shortened
from provisioning.engine.terraform.provider_installer import ProviderInstaller

_PLAN = ("plan", "-no-color", "-input=false", "-json", "-refresh=false", "-lock=false")
_SHOW = ("show", "-json", "-no-color")
# Since Terraform 1.8 the graph without a type leaves out the modules' names.
_GRAPH = ("graph", "-type=plan")


class Job:
    """One template being planned."""

    def __init__(self, workplace: JobRuntime, module: Module, plan_input: PlanInput, log: Log) -> None:
        self._workplace = workplace
        self._settings = workplace.settings
        self._module = module
        self._input = plan_input
        self._log = log
        self._mask = _mask(module, plan_input)
        self._workspace_id = plan_input.context.workspace_id or str(uuid.uuid4())  # the same for every plan
        self._stubs: tuple[str, ...] = ()
        self._stub_sockets: dict[str, Path] = {}
        self._stubbed_modules: dict[str, str] = {}  # their source by their key
        self._variables: dict[str, str] = {}
        self._arguments: tuple[str, ...] = ()

    # ------------------------------------------------------------------ before the plans
    def prepare(self, installer: ProviderInstaller, fetcher: ModuleFetcher) -> None:
        """Write the values, lay out the modules, have the providers installed or stood in for.

        Raises EngineError for what cannot be had, Canceled when the job is to end.
        """
        workplace = self._workplace
        in_file, variables = variable_values(self._input.parameter_values, self._module.variables)
        self._variables = variables | environment_parameters(self._input.parameter_values)
        if in_file:
            path = write_private(workplace.folder / "values.tfvars.json", json.dumps(in_file))
            self._arguments = (f"-var-file={path}",)
        if remote_calls(self._module):
            self._fetch(fetcher)
        write_manifest(self._module, workplace.directory, workplace.data, self._stubbed_modules, workplace.registry)
        if self._module.provider_usage:
            self._install(installer)

    def _fetch(self, fetcher: ModuleFetcher) -> None:
        """Fetch the template's remote modules; a stub answers for each one that cannot be had."""
        workplace = self._workplace
        self._log(LogLevel.INFO, Stage.INSTALLING, "")
        failed = fetcher.fetch(workplace, self._module, self._log)
        for call in self._module.module_calls:
            if call.key not in failed:
                continue
            source = without_users(call.source)
            text = f"module {call.key} ({call.location}) from {source} could not be fetched: {failed[call.key]}"
            if not self._settings.stub_providers:
                self._log(LogLevel.ERROR, Stage.INSTALLING, text)
                raise EngineError(shortened(text))
            self._log(LogLevel.WARN, Stage.INSTALLING, f"{text}; a stub answers for it, this version is unverified")
            self._stubbed_modules[call.key] = source
        # What was fetched has providers, modules and maybe state of its own.
        fetched = fetched_modules(workplace.directory, workplace.data)
        self._module = read_module(workplace.directory, fetched, workplace.data / "modules")
        refuse_state(self._module)

    def _install(self, installer: ProviderInstaller) -> None:
        """Install the providers of the template; a stub answers for each one that cannot be had."""
        usage = self._module.provider_usage
        self._log(LogLevel.INFO, Stage.INSTALLING, "")
        failed = installer.install(self._workplace, tuple(usage), self._log)
        self._stubs = tuple(sorted(failed))
        for address, reason in failed.items():
            text = f"provider {address} could not be installed: {reason}"
            if not self._settings.stub_providers:
                self._log(LogLevel.ERROR, Stage.INSTALLING, text)
                raise EngineError(shortened(text))
            self._log(LogLevel.WARN, Stage.INSTALLING, f"{text}; a stub answers for it, this version is unverified")
            self._stub_sockets |= self._workplace.serve_stub(address, StubProvider(usage[address]))

    # ------------------------------------------------------------------ the plans
    def plan_import(self) -> ImportResult:
        """Both plans at once, with one graph for both, made by the first that has nothing else to do."""
        starting, stopping = (self._commands(slot, t) for slot, t in enumerate((Transition.START, Transition.STOP)))
        graph = SharedGraph(self._graph)
        later = HeldLog(self._log)
        self._log(LogLevel.INFO, Stage.PERSISTENT, "")
        later(LogLevel.INFO, Stage.EPHEMERAL, "")

        def plan_stop() -> dict[str, Any]:
            found = self._plan(stopping, Transition.STOP, Stage.EPHEMERAL, later)
            graph.make(stopping)
            return found

        with ThreadPoolExecutor(2, thread_name_prefix="plan") as threads:
            stop_plan = threads.submit(plan_stop)
            if not starting.take_turns:
                threads.submit(graph.make, starting)
            try:
                start = self._plan(starting, Transition.START, Stage.PERSISTENT, self._log)
                later.release()
                graph.make(starting)
                stop = stop_plan.result()
                text = graph.result()
            except BaseException:
                self._workplace.give_up()
                raise
        return ImportResult(
            start=self._found(start, text),
            stop=self._found(stop, text),
            unverified_providers=self._stubs,
            unverified_modules=tuple(sorted(set(self._stubbed_modules.values()))),
        )

    def plan_once(self) -> PlanResult:
        """One plan, for the transition of the context."""
        transition = self._input.context.transition
        commands = self._commands(0, transition)
        with ThreadPoolExecutor(1, thread_name_prefix="graph") as threads:
            early_graph = None if commands.take_turns else threads.submit(self._graph, commands)
            try:
                plan = self._plan(commands, transition, Stage.PERSISTENT, self._log)
                graph = early_graph.result() if early_graph else self._graph(commands)
                return self._found(plan, graph)
            except BaseException:
                self._workplace.give_up()
                raise

    def _found(self, plan: dict[str, Any], graph: str) -> PlanResult:
        return plan_result(plan, graph, self._module, stubbed_modules=self._stubbed_modules)

    def _commands(self, slot: int, transition: Transition) -> CommandRunner:
        """The way to run the commands of a plan, with the providers for it served."""
        context = replace(self._input.context, transition=transition, workspace_id=self._workspace_id)
        provider = CoderProvider(context, self._input.rich_parameter_values)
        return self._workplace.commands(
            slot,
            sockets=self._stub_sockets | self._workplace.serve_coder(slot, provider),
            variables=self._variables,
            installed=len(self._stubs) < len(self._module.provider_usage),
        )

    # ------------------------------------------------------------------ the commands
    def _plan(self, commands: CommandRunner, transition: Transition, stage: Stage, log: Log) -> dict[str, Any]:
        """Plan and answer the plan as Terraform's JSON, with the log lines on their way."""
        target = self._workplace.folder / f"{transition}.tfplan"
        destroy = ("-destroy",) if transition is Transition.DELETE else ()
        reader = Reader(self._mask)
        ended = self._workplace.run(
            commands,
            (*_PLAN, *destroy, *self._arguments, f"-out={target}"),
            on_stdout=lambda raw: _forward(reader.stdout(raw), stage, log),
            on_stderr=lambda raw: _forward(reader.stderr(raw), stage, log),
        )
        if ended.status != 0:
            reason = reader.reason() or shortened(ended.reason(self._settings.limits, reader.last_words))
            raise EngineError(f"plan for {transition} failed: {reason}")
        text = self._answer(commands, (*_SHOW, str(target)), f"the plan for {transition} cannot be read")
        try:
            plan = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise EngineError(f"the plan for {transition} cannot be read: {type(error).__name__}") from error
        if not isinstance(plan, dict):
            raise EngineError(f"the plan for {transition} cannot be read: it is no object")
        return plan

    def _graph(self, commands: CommandRunner) -> str:
        return self._answer(commands, _GRAPH, "the graph of the template cannot be made").decode(errors="replace")

    def _answer(self, commands: CommandRunner, arguments: tuple[str, ...], failure: str) -> bytes:
        """The standard output of a command without log lines. Raises EngineError that starts with ``failure``."""
        lines: list[bytes] = []
        reader = Reader(self._mask)
        errors: list[str] = []
        ended = self._workplace.run(
            commands,
            arguments,
            on_stdout=lines.append,
            on_stderr=lambda raw: errors.extend(line.output for line in reader.stderr(raw)),
        )
        if ended.status != 0:
            raise EngineError(shortened(f"{failure}: {' '.join(errors[:8]) or ended.reason(self._settings.limits)}"))
        return b"\n".join(lines)


def _forward(lines: Iterable[Line], stage: Stage, log: Log) -> None:
    for line in lines:
        log(line.level, stage, line.output)


class SharedGraph:
    """The graph that several plans of a template share: the first of them that asks makes it."""

    def __init__(self, make: Callable[[CommandRunner], str]) -> None:
        self._make = make
        self._turn = threading.Lock()
        self._made: Future[str] = Future()

    def make(self, commands: CommandRunner) -> None:
        """Make it with these, unless somebody has begun to. Whatever goes wrong is for ``result``."""
        if not self._turn.acquire(blocking=False):
            return
        try:
            self._made.set_result(self._make(commands))
        except BaseException as error:  # noqa: BLE001 - passed on
            self._made.set_exception(error)

    def result(self) -> str:
        """Wait for it. Raises what ``make`` ran into; somebody must have called that."""
        return self._made.result()


class HeldLog:
    """Keeps lines back until ``release``, and passes them on from then."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._held: list[tuple[LogLevel, str, str]] | None = []

    def __call__(self, level: LogLevel, stage: str, output: str) -> None:
        with self._lock:
            if self._held is None:
                self._log(level, stage, output)
            else:
                self._held.append((level, stage, output))

    def release(self) -> None:
        with self._lock:
            for line in self._held or ():
                self._log(*line)
            self._held = None


def refuse_state(module: Module) -> None:
    """Raises EngineError for a template that keeps its state elsewhere or reads the state of others."""
    if module.backend is not None:
        raise EngineError(
            f"{module.backend}: a template may not have a backend or cloud block, its state is kept by the server"
        )
    if module.has_remote_state is not None:
        raise EngineError(f"{module.has_remote_state}: a template may not read terraform_remote_state")


def _mask(module: Module, plan_input: PlanInput) -> Mask:
    """Hides the values given as sensitive, and those given to or set by default in sensitive variables."""
    sensitive = {variable.name for variable in module.variables if variable.sensitive}
    secrets = [value.value for value in plan_input.parameter_values if value.sensitive or value.name in sensitive]
    secrets += [variable.default_source_value or "" for variable in module.variables if variable.sensitive]
    return Mask(secrets)
