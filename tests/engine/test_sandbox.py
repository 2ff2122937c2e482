"""The access of a sandboxed program, tried in each sandbox that works on this machine."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from provisioning.engine import launcher, sandbox
from provisioning.engine.base import EngineError, Limits
from provisioning.engine.sandbox import Access, Program, SandboxKind, SandboxUnavailableError

PYTHON = Program(Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}")

# Evaluates each given expression and prints the results.
TRY = """
import json, os, socket, sys
results = {}
for name, code in json.loads(sys.argv[1]).items():
    try:
        results[name] = ["ok", repr(eval(code))]
    except BaseException as error:
        results[name] = [type(error).__name__, str(error)]
print(json.dumps(results))
"""


@pytest.fixture(params=[SandboxKind.LANDLOCK, SandboxKind.BUBBLEWRAP])
def kind(request: pytest.FixtureRequest) -> SandboxKind:
    try:
        return sandbox.choose(request.param)
    except SandboxUnavailableError as error:
        pytest.skip(str(error))


def attempt(
    kind: SandboxKind,
    directory: Path,
    attempts: dict[str, str],
    *,
    read: tuple[Path, ...] = (),
    network: bool = False,
    limits: Limits = Limits(),  # noqa: B008 (frozen)
) -> dict[str, str]:
    """Evaluate Python expressions in a sandbox that can write to ``directory``: the exception's name or ``ok``."""
    access = Access(read=(*sandbox.SYSTEM_LIBRARIES, Path(sys.base_prefix), *read), write=(directory,), network=network)
    launched = sandbox.launch(
        kind,
        PYTHON,
        ("-I", "-S", "-c", TRY, json.dumps(attempts)),
        directory=directory,
        environment={"PATH": os.defpath},
        access=access,
        limits=limits,
    )
    answer = subprocess.run(
        launched.arguments, input=launched.request, capture_output=True, cwd=directory, timeout=30, check=False
    )
    assert answer.returncode == 0, answer.stderr.decode()
    return {name: result for name, (result, _) in json.loads(answer.stdout).items()}


def test_files_outside_the_sandbox_are_not_accessible(kind: SandboxKind, tmp_path: Path) -> None:
    inside, outside, shown = (tmp_path / name for name in ("inside", "outside", "shown"))
    for folder in (inside, outside, shown):
        folder.mkdir()
        (folder / "file").write_text("content")
    results = attempt(
        kind,
        inside,
        {
            "own file": "open('file').read()",
            "own new file": "open('new', 'w').write('x')",
            "other file": f"open({str(outside / 'file')!r}).read()",
            "other folder": f"os.listdir({str(outside)!r})",
            "new file elsewhere": f"open({str(outside / 'new')!r}, 'w')",
            "shown file": f"open({str(shown / 'file')!r}).read()",
            "shown file, to write": f"open({str(shown / 'file')!r}, 'a')",
            "shown file, to delete": f"os.unlink({str(shown / 'file')!r})",
            "passwords": "open('/etc/passwd').read()",
            "environment": f"open('/proc/{os.getpid()}/environ').read()",
            "own environment": "open('/proc/self/environ').read()",
        },
        read=(shown,),
    )
    allowed = {name for name, result in results.items() if result == "ok"}
    assert allowed == {"own file", "own new file", "shown file"}
    assert not (outside / "new").exists()
    assert (shown / "file").read_text() == "content"


def test_the_network_is_closed_unless_requested(kind: SandboxKind, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        attempts = {"tcp": f"socket.create_connection(('127.0.0.1', {port}), 2)"}
        assert attempt(kind, tmp_path, attempts)["tcp"] != "ok"
        assert attempt(kind, tmp_path, attempts, network=True)["tcp"] == "ok"


def test_udp_is_closed_if_network_namespaces_are_available(kind: SandboxKind, tmp_path: Path) -> None:
    if kind is SandboxKind.LANDLOCK and not can_leave_network():
        pytest.skip("this machine allows no network namespaces")
    send = "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 9))"
    assert attempt(kind, tmp_path, {"udp": send})["udp"] == "OSError"


def can_leave_network() -> bool:
    code = "import sys; sys.path.insert(0, sys.argv[1]); import launcher; sys.exit(not launcher.leave_network())"
    folder = str(Path(sandbox.LAUNCHER).parent)
    return subprocess.run([sys.executable, "-I", "-c", code, folder], check=False).returncode == 0


def test_unix_sockets_with_a_path_stay_reachable(kind: SandboxKind, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "p.sock"))
        server.listen()
        connect = f"socket.socket(socket.AF_UNIX).connect({str(tmp_path / 'p.sock')!r})"
        assert attempt(kind, tmp_path, {"unix": connect})["unix"] == "ok"


def test_other_processes_and_abstract_sockets_are_not_reachable(kind: SandboxKind, tmp_path: Path) -> None:
    if kind is SandboxKind.LANDLOCK and launcher.landlock_abi() < 6:
        pytest.skip("this kernel's Landlock cannot scope signals and abstract sockets")
    name = f"\0sandbox-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
        server.listen()
        results = attempt(
            kind,
            tmp_path,
            {
                "signal": f"os.kill({os.getpid()}, 0)",
                "abstract": f"socket.socket(socket.AF_UNIX).connect({name!r})",
            },
        )
    assert "ok" not in results.values()


def test_root_has_no_capabilities_in_the_sandbox(kind: SandboxKind, tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("needs root")
    (tmp_path / "locked").write_text("x")
    (tmp_path / "locked").chmod(0)
    results = attempt(
        kind, tmp_path, {"locked": "open('locked').read()", "owner": "os.chown('locked', 1, 1)", "user": "os.setuid(1)"}
    )
    assert "ok" not in results.values()


@pytest.mark.parametrize("kind", list(SandboxKind))
def test_resource_limits_and_umask_apply(kind: SandboxKind, tmp_path: Path) -> None:
    if kind is not SandboxKind.OFF:
        try:
            sandbox.choose(kind)
        except SandboxUnavailableError as error:
            pytest.skip(str(error))
    limits = Limits(cpu_seconds=7, file_bytes=1000, memory_bytes=1 << 30)
    (tmp_path / "code").mkdir()
    results = attempt(
        kind,
        tmp_path,
        {
            "memory": "len(bytearray(2 << 30))",
            "file": "open('new', 'wb').write(b'x' * 1000)",
            "cpu": "{}[__import__('resource').getrlimit(0)]",
        },
        limits=limits,
    )
    assert results == {"memory": "MemoryError", "file": "ok", "cpu": "KeyError"}
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o600


def test_missing_paths_are_ignored(kind: SandboxKind, tmp_path: Path) -> None:
    assert attempt(kind, tmp_path, {"x": "1"}, read=(tmp_path / "missing",)) == {"x": "ok"}


def test_the_sandbox_is_chosen_by_setting() -> None:
    assert sandbox.choose("auto") is sandbox.available()
    assert sandbox.choose("off") is SandboxKind.OFF
    with pytest.raises(SandboxUnavailableError, match="unknown sandbox 'chroot'"):
        sandbox.choose("chroot")


def test_the_request_is_not_on_the_command_line(tmp_path: Path) -> None:
    launched = sandbox.launch(
        SandboxKind.OFF,
        Program(Path("/bin/true")),
        ("argument",),
        directory=tmp_path,
        environment={"TOKEN": "secret"},
        access=Access(),
        limits=Limits(),
    )
    assert not any("secret" in item or "argument" in item for item in launched.arguments)


def test_a_value_with_nul_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="NUL"):
        sandbox.launch(
            SandboxKind.OFF,
            Program(Path("/bin/true")),
            (),
            directory=tmp_path,
            environment={"A": "b\0set\0LD_PRELOAD=x"},
            access=Access(),
            limits=Limits(),
        )


def test_the_launcher_runs_nothing_after_its_parent_has_ended(tmp_path: Path) -> None:
    launched = sandbox.launch(
        SandboxKind.OFF,
        Program(Path("/bin/touch")),
        ("made",),
        directory=tmp_path,
        environment={},
        access=Access(),
        limits=Limits(),
    )
    content = launched.request[launcher.FRAME_DIGITS :].replace(f"parent\0{os.getpid()}\0".encode(), b"parent\x001\0")
    request = sandbox.frame(content.decode().split("\0")[:-1])
    answer = subprocess.run(launched.arguments, input=request, capture_output=True, cwd=tmp_path, check=False)
    assert answer.returncode == launcher.FAILED
    assert b"parent process has ended" in answer.stderr
    assert not (tmp_path / "made").exists()
