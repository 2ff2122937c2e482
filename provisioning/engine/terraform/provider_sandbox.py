"""What installed providers of one job can access."""

import itertools
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from provisioning.engine import allowed_hosts, sandbox
from provisioning.engine.base import EngineError, Limits
from provisioning.engine.sandbox import Access, SandboxKind
from provisioning.engine.terraform import environment
from provisioning.engine.terraform.plan_gate import PlanGate
from provisioning.engine.terraform.provider_process import ProviderProgram
from provisioning.engine.terraform.provider_sources import certificate_paths
from provisioning.engine.terraform.settings import EngineSettings


class ProviderSandbox:
    """The sandbox of a job's installed providers. ``variables`` are the job's environment variables.

    ``refused_hosts`` has the provider and host of connections that the settings do not allow, in order. ``problem`` is
    why allowed hosts cannot be reached either. Raises EngineError for invalid hosts in the settings.
    """

    def __init__(
        self, settings: EngineSettings, kind: SandboxKind, directory: Path, folder: Path, limits: Limits
    ) -> None:
        self.variables: Mapping[str, str] = {}
        self.problem = ""
        self.refused_hosts: dict[tuple[str, str], None] = {}
        self._settings = settings
        self._is_off = kind is SandboxKind.OFF
        self._kind = sandbox.for_providers(settings.sandbox)
        self._directory = directory
        self._folder = folder
        self._limits = limits
        self._numbers = itertools.count()
        try:
            self._hosts = allowed_hosts.parse(list(settings.plan_hosts))
        except ValueError as error:
            raise EngineError(f"PROVISIONER_PLAN_HOSTS: {error}") from error

    def program(self, address: str, path: Path, files: Path) -> ProviderProgram:
        """Return how to start the provider at ``path``, which can read ``files``."""
        settings = self._settings
        has_network = not self.is_confined
        return ProviderProgram(
            name=address,
            path=path,
            kind=self._kind,
            directory=self._directory,
            environment={
                **self.variables,
                **environment.child_environment(
                    home=self._folder,
                    cli_config=Path(os.devnull),
                    network=has_network,
                    extra=settings.extra_environment,
                ),
            },
            access=Access(
                read=(
                    *sandbox.SYSTEM_LIBRARIES,
                    *sandbox.SYSTEM_PROGRAMS,
                    *settings.read_only_paths,
                    *settings.provider_read_paths,
                    *certificate_paths(),
                    files,
                ),
                write=(self._directory,),
                network=settings.plan_network,
                sockets=settings.provider_sockets,
            ),
            limits=self._limits,
            home=self._home,
            gate=None if has_network else partial(self._gate, address),
            report_problem=self._report_problem,
        )

    @property
    def is_confined(self) -> bool:
        """True if providers reach only the hosts in the settings."""
        return not (self._settings.plan_network or self._is_off)

    def _report_problem(self, problem: str) -> None:
        self.problem = problem

    def _home(self) -> Path:
        home = self._folder / f"p{next(self._numbers)}"
        home.mkdir(mode=0o700)
        return home

    def _gate(self, address: str) -> PlanGate:
        return PlanGate(self._hosts, lambda host: self.refused_hosts.setdefault((address, host), None))
