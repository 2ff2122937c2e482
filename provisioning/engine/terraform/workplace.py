"""Where one job's Terraform commands run: a private folder, the providers' sockets, the environment and the sandbox."""

import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Self

from provisioning.engine import sandbox
from provisioning.engine.base import EngineError
from provisioning.engine.provider.base import Provider
from provisioning.engine.provider.server import reattach_config, serve
from provisioning.engine.sandbox import Access, SandboxKind
from provisioning.engine.terraform import command, environment
from provisioning.engine.terraform.command import Command, Ended, OnLine
from provisioning.engine.terraform.discovery import Terraform
from provisioning.engine.terraform.settings import EngineSettings

CLI_CONFIG = "disable_checkpoint = true\n"
# Terraform does not start with less address space: Go reserves it without using it.
LEAST_MEMORY = 3 << 30
# Seconds. Plans and installations change nothing that would have to be brought to an end.
MOST_GRACE = 0.5


class Workplace:
    """A job's private folder and all that runs in it, from ``__enter__`` to ``__exit__``.

    ``folder`` is outside of the template, so that nothing of ours is in the template's way. The job ends
    when ``stop`` is set; the job's wall clock starts with the workplace.
    """

    def __init__(
        self,
        terraform: Terraform,
        kind: SandboxKind,
        settings: EngineSettings,
        directory: Path,
        stop: Event,
    ) -> None:
        self.settings = settings
        self.directory = directory.resolve()
        self._terraform = terraform
        self._kind = kind
        self._stop = stop
        self._given_up = Event()
        self._servers = ExitStack()
        self._deadline = time.monotonic() + settings.limits.wall_seconds
        self.folder = Path(tempfile.mkdtemp(prefix="tf-", dir=settings.scratch)).resolve()

    def __enter__(self) -> Self:
        for name in ("tmp", "data"):
            (self.folder / name).mkdir(mode=0o700)
        environment.write_private(self.folder / "terraform.rc", CLI_CONFIG)
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._servers.close()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def data(self) -> Path:
        """Terraform's data folder, in place of the template's ``.terraform``."""
        return self.folder / "data"

    def give_up(self) -> None:
        """End the commands that are running, with Canceled: one has failed, and their answers are of no use."""
        self._given_up.set()

    def serve(self, name: str, provider: Provider) -> Path:
        """Serve a provider until the end of the job; returns its socket. Not to be called from two threads.

        Raises EngineError when the socket cannot be made, for example in a scratch folder with too long a path.
        """
        path = self.folder / f"{name}.sock"
        try:
            self._servers.enter_context(serve(provider, path))
        except (ValueError, OSError) as error:
            raise EngineError(f"a provider cannot be served: {error}") from error
        return path

    def run(
        self,
        arguments: tuple[str, ...],
        *,
        sockets: Mapping[str, Path],
        variables: Mapping[str, str],
        installed: bool,
        on_stdout: OnLine,
        on_stderr: OnLine,
    ) -> Ended:
        """Run a command that evaluates the template. May be called from several threads at once.

        ``sockets`` are our providers' by address, ``variables`` come from the job. Only where providers were
        ``installed`` may it execute programs of the host, and use the network if the settings say so.
        Raises as ``command.run`` does.
        """
        network = installed and self.settings.plan_network
        own = environment.child_environment(
            home=self.folder,
            cli_config=self.folder / "terraform.rc",
            network=network,
            extra=self.settings.extra_environment,
        )
        own["TF_REATTACH_PROVIDERS"] = reattach_config(sockets, pid=sandbox.OWN_PID)
        read = [*sandbox.SYSTEM_LIBRARIES, *self.settings.read_only_paths]
        if installed:
            read += sandbox.SYSTEM_PROGRAMS
            if self.settings.plugin_cache is not None:
                read.append(self.settings.plugin_cache)
        return self._run(
            Command(
                arguments,
                directory=self.directory,
                environment={**variables, **own},
                access=Access(read=tuple(read), write=(self.folder, self.directory), network=network),
            ),
            deadline=self._deadline,
            on_stdout=on_stdout,
            on_stderr=on_stderr,
        )

    def run_installing(
        self,
        arguments: tuple[str, ...],
        *,
        addresses: Iterable[str],
        cli_config: str | Path,
        network: bool,
        on_stdout: OnLine,
        on_stderr: OnLine,
    ) -> Ended:
        """Run a command that fetches: with the network if ``network``, without any value of the job.

        ``addresses`` are providers that need no installation; ``cli_config`` is the content of a CLI configuration
        or the path of one. The command has ``install_seconds``. Raises as ``command.run`` does.
        """
        if isinstance(cli_config, str):
            path = self.folder / "install.rc"
            path.unlink(missing_ok=True)
            cli_config = environment.write_private(path, cli_config)
        own = environment.child_environment(home=self.folder, cli_config=cli_config, network=network)
        nowhere = dict.fromkeys(addresses, self.folder / "none.sock")
        own |= {
            "TF_REATTACH_PROVIDERS": reattach_config(nowhere, pid=sandbox.OWN_PID),
            "TF_REGISTRY_DISCOVERY_RETRY": "1",
            "TF_REGISTRY_CLIENT_TIMEOUT": "10",
        }
        write = [self.folder, self.directory]
        if self.settings.plugin_cache is not None:
            write.append(self.settings.plugin_cache)
        read = [
            *sandbox.SYSTEM_LIBRARIES,
            *sandbox.SYSTEM_PROGRAMS,
            *self.settings.read_only_paths,
            cli_config,
        ]
        return self._run(
            Command(
                arguments,
                directory=self.directory,
                environment=own,
                access=Access(read=tuple(read), write=tuple(write), network=network),
            ),
            deadline=min(self._deadline, time.monotonic() + self.settings.install_seconds),
            on_stdout=on_stdout,
            on_stderr=on_stderr,
        )

    def _is_over(self) -> bool:
        return self._stop.is_set() or self._given_up.is_set()

    def _run(
        self,
        command_: Command,
        *,
        deadline: float,
        on_stdout: OnLine,
        on_stderr: OnLine,
    ) -> Ended:
        limits = self.settings.limits
        limits = replace(
            limits,
            memory_bytes=max(limits.memory_bytes, LEAST_MEMORY),
            grace_seconds=min(limits.grace_seconds, MOST_GRACE),
        )
        return command.run(
            self._terraform.program,
            self._kind,
            command_,
            limits=limits,
            deadline=deadline,
            stopped=self._is_over,
            on_stdout=on_stdout,
            on_stderr=on_stderr,
        )
