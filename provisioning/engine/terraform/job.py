"""Plan one template: prepare its values, modules and providers, then run the plans."""

import json
import re
import uuid
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

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
from provisioning.engine.plan_presets import presets_of
from provisioning.engine.provider.coder import CoderProvider
from provisioning.engine.provider.made_up import MadeUp
from provisioning.engine.provider_usage import ProviderUsage
from provisioning.engine.stub import StubProvider
from provisioning.engine.terraform.command_runner import CommandRunner
from provisioning.engine.terraform.concurrent_plans import BufferedLog, SharedGraph
from provisioning.engine.terraform.environment import (
    environment_parameters,
    variable_values,
    write_private,
)
from provisioning.engine.terraform.graph_cache import GraphCache
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

_PLAN = ("plan", "-no-color", "-input=false", "-json", "-lock=false")
_SHOW = ("show", "-json", "-no-color")
# Since Terraform 1.8 the graph without a type leaves out the modules' names.
_GRAPH = ("graph", "-type=plan")
MAX_NAMED_HOSTS = 5  # in an error
# A connection to an address that was refused inside of a provider's namespace, in the words of Go and of others.
_REFUSED = re.compile(r"refused|unreachable", re.IGNORECASE)
_ADDRESS = re.compile(r"(?:\d{1,3}\.){3}\d{1,3}:\d{1,5}|\[[0-9a-f:]+\]:\d{1,5}")

# Summaries of Terraform's errors that a template gives whatever its values are.
STATIC_ERRORS = (
    "Duplicate ",
    "Missing required argument",
    "Reference to undeclared ",
    "Unsupported argument",
    "Unsupported block type",
)
MAX_NAMED_STUBS = 3


class Job:
    """The planning of one template. A build derives from it."""

    # Whether stubs may replace what is unavailable, and whether agents have ids in the plan.
    is_only_planned = True
    # Warnings that are not for users.
    hidden_warnings: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, runtime: JobRuntime, module: Module, plan_input: PlanInput, log: Log) -> None:
        self._runtime = runtime
        self._settings = runtime.settings
        self._module = module
        self._input = plan_input
        self._log = log
        self._mask = _mask(module, plan_input)
        self._workspace_id = plan_input.context.workspace_id or str(uuid.uuid4())  # the same for every plan
        self._stubs: tuple[str, ...] = ()
        self._sockets: dict[str, Path] = {}
        self._stubbed_modules: dict[str, str] = {}  # sources by module key
        self._variables: dict[str, str] = {}
        self._arguments: tuple[str, ...] = ()
        self._provider_stage = Stage.PERSISTENT  # of what providers report outside of Terraform's protocol

    @property
    def _has_stubs(self) -> bool:
        return self.is_only_planned and self._settings.stub_providers

    # ------------------------------------------------------------------ before the plans
    def prepare(self, installer: ProviderInstaller, fetcher: ModuleFetcher) -> None:
        """Write the values, then provide the modules and providers, with stubs for those that are unavailable.

        Raises EngineError if something is unavailable and stubs are disabled, Canceled if the job is canceled.
        """
        runtime = self._runtime
        module = self._module
        in_file, variables = variable_values(
            self._input.parameter_values, module.variables, module.structured_variables
        )
        unread = next((name for name in module.variable_files if f"TF_VAR_{name}" in variables), None)
        if unread is not None:
            # Terraform would prefer the variable file to the environment.
            raise EngineError(f"the value of variable {unread!r} is not a constant expression")
        self._variables = variables | environment_parameters(self._input.parameter_values)
        if in_file:
            path = write_private(runtime.folder / "values.tfvars.json", json.dumps(in_file))
            self._arguments = (f"-var-file={path}",)
        if remote_calls(self._module):
            self._fetch(fetcher)
        write_manifest(self._module, runtime.directory, runtime.data, self._stubbed_modules, runtime.registry)
        if self._provider_usage():
            self._install(installer)

    def _provider_usage(self) -> dict[str, ProviderUsage]:
        return self._module.provider_usage

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
            if not self._has_stubs:
                self._log(LogLevel.ERROR, Stage.INSTALLING, text)
                raise EngineError(shortened(text))
            self._log(LogLevel.WARN, Stage.INSTALLING, f"{text}; a stub replaces it, so this version is unverified")
            self._stubbed_modules[call.key] = source
        # Fetched modules can use further providers, modules and remote state.
        fetched = fetched_modules(runtime.directory, runtime.data)
        self._module = read_module(runtime.directory, fetched, runtime.data / "modules")
        reject_external_state(self._module)

    def _install(self, installer: ProviderInstaller) -> None:
        """Install the template's providers; stubs replace those that cannot be reached or are not used."""
        usage = self._provider_usage()
        used = {address: found for address, found in usage.items() if found.is_used}
        runtime = self._runtime
        # Terraform asks for the schema of a provider that is only declared, and for nothing else.
        for address in usage.keys() - used.keys():
            self._sockets |= runtime.serve_stub(address, StubProvider(usage[address]))
        if not used:
            return
        self._log(LogLevel.INFO, Stage.INSTALLING, "")
        runtime.providers.variables = environment_parameters(self._input.parameter_values)
        installed = installer.install(runtime, used, self._log)
        self._stubs = tuple(sorted(installed.failed))
        for address, reason in installed.failed.items():
            text = f"provider {address} could not be installed: {reason}"
            if not self._has_stubs:
                self._log(LogLevel.ERROR, Stage.INSTALLING, text)
                raise EngineError(shortened(text))
            self._log(LogLevel.WARN, Stage.INSTALLING, f"{text}; a stub replaces it, so this version is unverified")
            self._sockets |= runtime.serve_stub(address, StubProvider(usage[address]))
        for address, provider in installed.providers.items():
            package = provider.package
            self._sockets |= runtime.serve_installed(
                address, package.program, package.folder, provider.protocol, self._report
            )

    def _report(self, text: str) -> None:
        """Log what an installed provider reports outside of Terraform's protocol, for example its crash."""
        self._log(LogLevel.ERROR, self._provider_stage, self._mask(text))

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
            start=self._found(start, text, Stage.PERSISTENT),
            stop=self._found(stop, text, Stage.EPHEMERAL),
            unverified_providers=self._stubs,
            unverified_modules=tuple(sorted(set(self._stubbed_modules.values()))),
        )

    def plan_once(self) -> PlanResult:
        """Run one plan, for the transition of the context."""
        transition = self._input.context.transition
        runner = self._runner(0, transition)
        with ThreadPoolExecutor(1, thread_name_prefix="graph") as threads:
            graph = self._known_graph()
            early = None if graph is not None or runner.is_sequential else threads.submit(self._graph, runner)
            try:
                plan = self._plan(runner, transition, Stage.PERSISTENT, self._log)
                if graph is None:
                    graph = early.result() if early else self._graph(runner)
                return self._found(plan, graph, Stage.PERSISTENT)
            except BaseException:
                self._runtime.cancel_commands()
                raise

    def _found(self, plan: dict[str, Any], graph: str, stage: Stage) -> PlanResult:
        found = plan_result(
            plan,
            graph,
            self._module,
            stubbed_modules=self._stubbed_modules,
            warn=lambda text: self._log(LogLevel.WARN, stage, text),
        )
        if stage is Stage.PERSISTENT:
            warn = partial(self._log, LogLevel.WARN, stage)
            found = replace(found, presets=presets_of(plan, found.rich_parameters, warn))
        made_up = self._made_up()
        if not made_up.has_stubs:
            return found
        shown = tuple(made_up.shown(parameter) for parameter in found.rich_parameters)
        return replace(found, rich_parameters=shown)

    def _made_up(self) -> MadeUp:
        """Return the arguments of parameters whose values come from stubs."""
        sources = {address: address for address in self._stubs} | self._stubbed_modules
        by_name: dict[str, dict[str, set[str]]] = {}
        others: dict[str, set[str]] = {}
        for parameter in self._module.parameter_origins() if sources else ():
            found = others if parameter.name is None else by_name.setdefault(parameter.name, {})
            for name, origins in parameter.arguments.items():
                if replaced := origins & sources.keys():
                    found.setdefault(name, set()).update(sources[origin] for origin in replaced)
        return MadeUp(by_name, others, has_stubs=bool(sources))

    def _runner(self, slot: int, transition: Transition, *, runs_programs: bool = False) -> CommandRunner:
        """Serve the providers of a plan and return the runner for its commands."""
        context = replace(self._input.context, transition=transition, workspace_id=self._workspace_id)
        provider = CoderProvider(
            context, self._input.rich_parameter_values, plan_agent_ids=self.is_only_planned, made_up=self._made_up()
        )
        return self._runtime.command_runner(
            slot,
            sockets=self._sockets | self._runtime.serve_coder(slot, provider),
            variables=self._variables,
            runs_programs=runs_programs,
        )

    # ------------------------------------------------------------------ the commands
    def _plan_file(self, transition: Transition) -> Path:
        return self._runtime.folder / f"{transition}.tfplan"

    def _plan(
        self,
        runner: CommandRunner,
        transition: Transition,
        stage: Stage,
        log: Log,
        option: str = "-refresh=false",
    ) -> dict[str, Any]:
        """Run a plan and return it as Terraform's JSON. Log lines are passed on while it runs."""
        target = self._plan_file(transition)
        reader = Reader(self._mask, hidden=self.hidden_warnings)
        result = self._runtime.run(
            runner,
            (*_PLAN, option, *self._arguments, f"-out={target}"),
            on_stdout=lambda raw: forward(reader.stdout(raw), stage, log),
            on_stderr=lambda raw: forward(reader.stderr(raw), stage, log),
        )
        if result.status != 0:
            reason = reader.reason() or shortened(result.failure_reason(self._settings.limits, reader.first_error_line))
            hint = self._network_hint(reason, log, stage) + self._note_about_stubs(reason)
            raise EngineError(f"plan for {transition} failed: {reason}{hint}")
        text = self._answer(runner, (*_SHOW, str(target)), f"the plan for {transition} cannot be read")
        try:
            plan = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise EngineError(f"the plan for {transition} cannot be read: {type(error).__name__}") from error
        if not isinstance(plan, dict):
            raise EngineError(f"the plan for {transition} cannot be read: it is not an object")
        return plan

    def _network_hint(self, reason: str, log: Log, stage: Stage) -> str:
        """Return and log which hosts installed providers could not reach, as the end of an error."""
        providers = self._runtime.providers
        if providers.problem and self._settings.plan_hosts:
            return f". PROVISIONER_PLAN_HOSTS opens nothing on this machine: {providers.problem}"
        refused = list(providers.refused_hosts)
        for address, host in refused:
            log(LogLevel.ERROR, stage, f"provider {address} wanted to reach {host}: PROVISIONER_PLAN_HOSTS forbids it")
        named = [host for _, host in refused[:MAX_NAMED_HOSTS]]
        if not named and providers.is_confined and _REFUSED.search(reason):
            named = [address[0] for address in _ADDRESS.finditer(reason)]
        if not named:
            return ""
        hosts = ", ".join(dict.fromkeys(named))
        return f". Providers wanted to reach {hosts}: PROVISIONER_PLAN_HOSTS of the daemon allows hosts"

    def _note_about_stubs(self, reason: str) -> str:
        """Return the note that made-up values can be the reason of an error, empty if there are no stubs, or if the
        error does not depend on values."""
        replaced = "" if reason.startswith(STATIC_ERRORS) else self._replaced()
        return f" (The values of {replaced} are made up by stubs, which can be the reason.)" if replaced else ""

    def _replaced(self) -> str:
        """Return the names of the providers and modules that stubs replace, empty if there are none."""
        replaced = sorted({*self._stubs, *self._stubbed_modules.values()})
        more = f" and {len(replaced) - MAX_NAMED_STUBS} more" if len(replaced) > MAX_NAMED_STUBS else ""
        return ", ".join(replaced[:MAX_NAMED_STUBS]) + more

    def _graph(self, runner: CommandRunner) -> str:
        graph = self._answer(runner, _GRAPH, "the dependency graph cannot be created").decode(errors="replace")
        if self._graph_key is not None and not self._stubs:
            self._graphs.keep(self._graph_key, graph)
        return graph

    def _known_graph(self) -> str | None:
        """Return the graph that an earlier job of the same template has made; None if there is none. An import makes
        its own: its template is new, and what an import finds is stored for good."""
        return None if self._graph_key is None else self._graphs.find(self._graph_key)

    @cached_property
    def _graphs(self) -> GraphCache:
        assert self._settings.plugin_cache is not None
        return GraphCache(self._settings.plugin_cache / "graphs", self._runtime.program)

    @cached_property
    def _graph_key(self) -> str | None:
        """The key of the template's graph; None if it is not kept: the content of remote modules can change."""
        if self._settings.plugin_cache is None or remote_calls(self._module):
            return None
        return self._graphs.key(self._runtime.directory)

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


def forward(lines: Iterable[Line], stage: Stage, log: Log) -> None:
    for line in lines:
        log(line.level, stage, line.output)


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
