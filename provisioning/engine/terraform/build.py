"""Build a workspace: plan one transition with its state and apply the plan, in one command."""

import json
import threading
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from provisioning.engine.base import (
    MAX_STATE,
    ApproveCost,
    BuildInput,
    BuildResult,
    Canceled,
    EngineError,
    Log,
    LogLevel,
    SaveState,
    Stage,
    Transition,
)
from provisioning.engine.hcl import Module
from provisioning.engine.hcl.providers import needs_no_installation
from provisioning.engine.plan import planned_cost, state_result
from provisioning.engine.provider_usage import ProviderUsage
from provisioning.engine.sandbox import SandboxKind
from provisioning.engine.state import APPLY_STAGES, STATE_FILE, StateTooLarge, is_complete, read_state
from provisioning.engine.terraform.command_runner import CommandRunner
from provisioning.engine.terraform.environment import write_private
from provisioning.engine.terraform.job import Job, forward
from provisioning.engine.terraform.job_runtime import JobRuntime
from provisioning.engine.terraform.module_fetcher import ModuleFetcher
from provisioning.engine.terraform.output import Reader, shortened
from provisioning.engine.terraform.provider_installer import ProviderInstaller
from provisioning.engine.terraform.registries import OTHER_REGISTRY, REGISTRY

# One command plans and applies. Two commands would load configuration and providers twice.
_APPLY = ("apply", "-no-color", "-input=false", "-json", "-lock=false", "-backup=-", "-auto-approve")
# Between looks at the state while an apply runs: those of a large state cost more.
_SAVE_SECONDS, _SAVE_LARGE_SECONDS = 0.2, 1.0
_LARGE_STATE = 64 * 1024
# Terraform's fallbacks if it cannot write the state: this file in its working directory, then a line of its output.
_ERRORED_STATE = "errored.tfstate"
_DUMP = b'"Emergency state dump"'
LOCAL_EXEC = "local-exec"


class Build(Job):
    """The build of one workspace. Stubs cannot be applied, so everything must be available."""

    is_only_planned = False
    # Of our own flag, which templates do not know.
    hidden_warnings = frozenset({"Deprecated flag: -state"})

    def __init__(
        self,
        runtime: JobRuntime,
        module: Module,
        build: BuildInput,
        log: Log,
        save_state: SaveState,
        approve: ApproveCost | None = None,
    ) -> None:
        """Raises EngineError if the state is not a state."""
        super().__init__(runtime, module, build.plan, log)
        self._state = runtime.state_folder / STATE_FILE
        self._saved = build.state
        self._save = save_state
        self._approve = approve
        if build.state and not is_complete(build.state):
            raise EngineError("the workspace's state cannot be read: it is not a JSON object")
        self._dumped = b""
        self._stage = Stage.PLANNING
        self._provider_stage = Stage.PLANNING
        runtime.allow(runtime.settings.limits.build_seconds)

    def prepare(self, installer: ProviderInstaller, fetcher: ModuleFetcher) -> None:
        """Do what a plan needs, without stubs, and write the state. Raises EngineError for provisioners that cannot
        run."""
        super().prepare(installer, fetcher)
        self._prepare_provisioners()
        if self._module.provisioners:
            self._state = self._runtime.folder / STATE_FILE
        if self._saved:
            write_private(self._state, self._saved.decode())

    def _prepare_provisioners(self) -> None:
        """Let Terraform run the programs of ``local-exec`` provisioners, in a sandbox without unix sockets: unlike
        expressions, programs can connect to those of the machine's services. Other provisioners need a network."""
        for found in self._module.provisioners:
            if found.type != LOCAL_EXEC:
                raise EngineError(
                    f"{found.location}: the provisioner {found.type!r} connects to other machines, which builds do not"
                    f" allow. Only {LOCAL_EXEC} works, without a network"
                )
            if self._runtime.kind_for_programs is SandboxKind.LANDLOCK:
                raise EngineError(
                    f"{found.location}: the provisioner {found.type!r} runs programs. For that, the machine of the"
                    " daemon needs bubblewrap, and PROVISIONER_SANDBOX=auto or bubblewrap"
                )
        if self._module.provisioners:
            text = f"{LOCAL_EXEC} provisioners run in the sandbox: with the system's programs, without a network"
            self._log(LogLevel.INFO, Stage.PLANNING, text)

    def _provider_usage(self) -> dict[str, ProviderUsage]:
        """Return the usage of the template's providers, and of those that the state needs to destroy resources that
        the template no longer has."""
        usage = dict(super()._provider_usage())
        for address, types in providers_in_state(self._saved).items():
            if not needs_no_installation(address):
                known = usage.setdefault(address, ProviderUsage(address))
                known.is_passed = known.is_passed or bool(types)
        return usage

    def run(self) -> BuildResult:
        """Plan and apply. Each state of the apply is saved, the last one before this returns or raises."""
        transition = self._input.context.transition
        runner = self._runner(0, transition, runs_programs=bool(self._module.provisioners))
        # What is deleted needs no graph.
        known = "" if transition is Transition.DELETE else self._known_graph()
        if self._approve is not None and not self._module.declares_costs:
            self._approve(0)
        elif self._approve is not None:
            known = self._graph(runner) if known is None else known
            plan = self._plan(runner, transition, Stage.PLANNING, self._log, f"-state={self._state}")
            self._approve(planned_cost(plan, known))
            self._runtime.check_canceled()
            self._stage = self._provider_stage = APPLY_STAGES[transition]
            self._log(LogLevel.INFO, self._stage, "")
        second = self._runner(1, transition) if known is None else None
        with ThreadPoolExecutor(1, thread_name_prefix="graph") as threads:
            graph = threads.submit(self._graph, second) if second else None
            try:
                with StateWatcher(self._state, self._save_new):
                    self._apply(runner, transition)
            except BaseException:
                self._runtime.cancel_commands()
                raise
            finally:
                self._save_new(self._last_state())
            if len(self._saved) > MAX_STATE:
                raise StateTooLarge(len(self._saved))
            if transition is Transition.DELETE or not self._saved:
                return BuildResult()
            text = self._finished(graph, runner) if graph else known or ""
            return BuildResult(state_result(_object(self._saved), text, self._module).resources)

    def _finished(self, graph: "Future[str]", runner: CommandRunner) -> str:
        """Return the graph of what has been applied, also if the job was canceled meanwhile."""
        try:
            return graph.result()
        except Canceled:
            self._runtime.start_job(threading.Event())  # the result counts: nothing cancels the job any more
            return self._graph(runner)

    def _apply(self, runner: CommandRunner, transition: Transition) -> None:
        limits = self._settings.limits
        reader = Reader(self._mask, hidden=self.hidden_warnings)
        # The plan whose cost was approved has the values, too.
        approved = (str(self._plan_file(transition)),) if self._is_approved_first else ()

        def on_stdout(raw: bytes) -> None:
            if _DUMP in raw:
                self._dumped = _dumped_state(raw)
                return
            if self._is_planning and _is_applying(raw):
                self._stage = self._provider_stage = APPLY_STAGES[transition]
            forward(reader.stdout(raw), self._stage, self._log)

        def finish_seconds(is_cut: bool) -> float:
            return limits.grace_seconds if self._is_planning and not is_cut else limits.apply_grace_seconds

        result = self._runtime.run(
            runner,
            (
                *_APPLY,
                *(("-destroy",) if transition is Transition.DELETE else ()),
                f"-state={self._state}",
                *(approved or self._arguments),
            ),
            on_stdout=on_stdout,
            on_stderr=lambda raw: forward(reader.stderr(raw), self._stage, self._log),
            finish_seconds=finish_seconds,
        )
        if result.status == 0:
            return
        if self._runtime.is_canceled():
            raise Canceled
        self._runtime.check_canceled()
        reason = reader.reason() or shortened(result.failure_reason(limits, reader.first_error_line))
        hint = self._network_hint(reason, self._log, self._stage)
        step = "plan" if self._is_planning else "apply"
        raise EngineError(f"{step} for {transition} failed: {reason}{hint}")

    @property
    def _is_approved_first(self) -> bool:
        """True if the plan is a command of its own, because its cost must be approved. A template that declares no
        cost costs nothing, and is built by one command as without budgets."""
        return self._approve is not None and self._module.declares_costs

    @property
    def _is_planning(self) -> bool:
        return self._stage is Stage.PLANNING

    def _save_new(self, state: bytes) -> None:
        if state and state != self._saved:
            self._save(state)
            self._saved = state

    def _last_state(self) -> bytes:
        """Return the newest state that Terraform wrote; if it could not write its file, the one of a fallback."""
        return self._dumped or read_state(self._runtime.directory / _ERRORED_STATE) or read_state(self._state)


class StateWatcher:
    """Passes on the complete new states of a file to ``found`` within a ``with`` block, a few times a second."""

    def __init__(self, path: Path, found: SaveState) -> None:
        self._path = path
        self._found = found
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="state-watcher", daemon=True)
        self._seen: tuple[int, int] | None = None

    def __enter__(self) -> None:
        self._seen = self._stamp()
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        seconds = _SAVE_SECONDS
        while not self._ended.wait(seconds):
            stamp = self._stamp()
            if stamp == self._seen:
                continue
            try:
                state = read_state(self._path)
            except StateTooLarge:  # the end of the build reports it
                self._seen = stamp
                continue
            if state:
                self._seen = stamp
                self._found(state)
                seconds = _SAVE_LARGE_SECONDS if len(state) > _LARGE_STATE else _SAVE_SECONDS

    def _stamp(self) -> tuple[int, int] | None:
        try:
            found = self._path.lstat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size


def _is_applying(raw: bytes) -> bool:
    """Return True for a line that Terraform writes only while it applies its plan. A plan that fails has a summary as
    well, and reads data sources. Texts of templates are quoted in the lines."""
    if b'"apply_start"' not in raw and b'"change_summary"' not in raw:
        return False
    try:
        record = json.loads(raw)
        if record["type"] == "change_summary":
            return bool(record["changes"]["operation"] != "plan")
        return bool(record["type"] == "apply_start" and record["hook"]["action"] != "read")
    except (ValueError, RecursionError, LookupError, TypeError):
        return False


def providers_in_state(state: bytes) -> dict[str, set[str]]:
    """Return the addresses of the providers in a state, with the types of their resources."""
    found: dict[str, set[str]] = {}
    resources = json.loads(state).get("resources") if state else None
    for resource in _objects(resources):
        provider, kind = resource.get("provider"), resource.get("type")
        if isinstance(provider, str) and isinstance(kind, str):
            # module.a.provider["registry.terraform.io/hashicorp/null"].alias
            _, _, rest = provider.partition('provider["')
            address = rest.partition('"]')[0]
            if address:
                host, _, name = address.partition("/")
                address = f"{REGISTRY}/{name}" if host == OTHER_REGISTRY else address
                found.setdefault(address, set()).add(kind)
    return found


def _dumped_state(raw: bytes) -> bytes:
    """Return the state in a line of Terraform's output; empty if there is none."""
    try:
        state = json.loads(raw).get("state")
    except (ValueError, RecursionError, AttributeError):
        return b""
    return json.dumps(state).encode() if isinstance(state, dict) else b""


def _objects(value: Any) -> Iterable[dict[str, Any]]:
    return (one for one in value if isinstance(one, dict)) if isinstance(value, list) else ()


def _object(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise EngineError(f"the workspace's state cannot be read: {type(error).__name__}") from error
    if not isinstance(found, dict):
        raise EngineError("the workspace's state cannot be read: it is not an object")
    return found
