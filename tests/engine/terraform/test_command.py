"""A command is watched until it has ended, even if it misbehaves."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from provisioning.engine.base import Canceled, EngineError, Limits
from provisioning.engine.sandbox import Access, Program, SandboxKind
from provisioning.engine.terraform.command import Command, CommandTimeoutError, ExitResult, LimitExceededError, run

SHELL = Program(Path("/bin/sh"))


class Run:
    """Runs shell code as a command and keeps its output."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.stdout: list[bytes] = []
        self.stderr: list[bytes] = []

    def __call__(
        self,
        code: str,
        *,
        limits: Limits = Limits(grace_seconds=1),  # noqa: B008 (frozen)
        seconds: float = 20,
        stopped: Callable[[], bool] = lambda: False,
        program: Program = SHELL,
        environment: dict[str, str] | None = None,
    ) -> ExitResult:
        return run(
            program,
            SandboxKind.OFF,
            Command(("-c", code), self.directory, environment or {"PATH": "/usr/bin:/bin"}, Access()),
            limits=limits,
            deadline=time.monotonic() + seconds,
            stopped=stopped,
            on_stdout=self.stdout.append,
            on_stderr=self.stderr.append,
        )


@pytest.fixture
def shell(tmp_path: Path) -> Run:
    return Run(tmp_path)


def is_alive(pid: int) -> bool:
    """True if a process runs; zombies do not count."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # ended before or during the read
        return False


def wait_for(condition: Callable[[], bool], seconds: float = 5) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def test_output_lines_and_the_status_are_returned(shell: Run) -> None:
    assert shell("echo one; echo; printf 'two\\r\\nthree'; echo problem >&2; exit 3") == ExitResult(3)
    assert shell.stdout == [b"one", b"", b"two", b"three"]
    assert shell.stderr == [b"problem"]


def test_a_line_of_any_length_stays_one_line(shell: Run) -> None:
    assert shell("head -c 5000000 /dev/zero | tr '\\0' x; echo; echo next").status == 0
    assert [len(line) for line in shell.stdout] == [5_000_000, 4]


def test_only_the_given_environment_reaches_the_command(shell: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://user:secret@host/db")
    shell("/usr/bin/env", environment={"GIVEN": "a=b"})
    seen = {line.partition(b"=")[0] for line in shell.stdout}
    assert b"GIVEN=a=b" in shell.stdout
    assert seen <= {b"GIVEN", b"PWD", b"OLDPWD", b"SHLVL", b"_"}


def test_standard_input_is_empty_and_files_are_private(shell: Run) -> None:
    assert shell("cat; touch made").status == 0
    assert shell.stdout == []
    assert (shell.directory / "made").stat().st_mode & 0o777 == 0o600


def test_a_killed_command_reports_its_signal(shell: Run) -> None:
    result = shell("kill -KILL $$")
    assert result == ExitResult(-signal.SIGKILL)
    assert result.description == "killed by SIGKILL"


def test_the_output_limit_stops_the_command(shell: Run) -> None:
    started = time.monotonic()
    with pytest.raises(LimitExceededError, match="wrote more than 100000 bytes"):
        shell("yes", limits=Limits(output_bytes=100_000))
    assert time.monotonic() - started < 30


def test_the_deadline_stops_the_command(shell: Run) -> None:
    with pytest.raises(CommandTimeoutError, match="took too long"):
        shell("sleep 60", seconds=0.3)


def test_cancellation_interrupts_before_it_kills(shell: Run) -> None:
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    started = time.monotonic()
    with pytest.raises(Canceled):
        shell("trap 'touch interrupted; exit 1' INT; while :; do sleep 0.05; done", stopped=stop.is_set)
    assert time.monotonic() - started < 5
    assert (shell.directory / "interrupted").exists()


def test_cancellation_kills_the_whole_group_after_the_grace_period(shell: Run) -> None:
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    started = time.monotonic()
    with pytest.raises(Canceled):
        shell(
            "trap '' INT; sleep 60 & echo $! > child; echo $$ > self; while :; do sleep 0.05; done",
            stopped=stop.is_set,
            limits=Limits(grace_seconds=0.5),
        )
    assert 0.7 < time.monotonic() - started < 20
    for name in ("child", "self"):
        pid = int((shell.directory / name).read_text())
        assert wait_for(lambda pid=pid: not is_alive(pid))


def test_processes_left_by_a_command_are_killed(shell: Run) -> None:
    started = time.monotonic()
    assert shell("sleep 60 & echo $!").status == 0
    assert time.monotonic() - started < 30
    assert wait_for(lambda: not is_alive(int(shell.stdout[0])))


def test_a_command_dies_with_its_parent(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.engine.terraform.test_command import Run\n"
        "Run(Path(sys.argv[1]))('echo $$ > pid.new; mv pid.new pid; exec sleep 60')"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    try:
        assert wait_for((tmp_path / "pid").exists, 20)
    finally:
        parent.kill()
        parent.wait()
    assert wait_for(lambda: not is_alive(int((tmp_path / "pid").read_text())))


def test_cpu_time_is_limited(shell: Run) -> None:
    result = shell("while :; do :; done", limits=Limits(cpu_seconds=1))
    assert result.status == -signal.SIGXCPU


def test_a_command_that_ignores_the_cpu_limit_is_killed(shell: Run) -> None:
    result = shell("trap 'echo ignored' XCPU; while :; do :; done", limits=Limits(cpu_seconds=1))
    assert (result.status, shell.stdout[:1]) == (-signal.SIGKILL, [b"ignored"])


@pytest.mark.parametrize(
    ("result", "error", "reason"),
    [
        (ExitResult(-signal.SIGXCPU, 10.2), "", "it used more than 10 seconds of CPU time"),
        (ExitResult(-signal.SIGXCPU, 9.4), "", "it used more than 10 seconds of CPU time"),
        (ExitResult(128 + signal.SIGXCPU), "", "it used more than 10 seconds of CPU time"),
        (ExitResult(-signal.SIGKILL, 11.0), "Planning", "it used more than 10 seconds of CPU time"),
        (ExitResult(128 + signal.SIGKILL, 11.0), "", "it used more than 10 seconds of CPU time"),
        (ExitResult(-signal.SIGKILL, 9.5), "", "it was killed, probably because the machine ran out of memory"),
        (ExitResult(128 + signal.SIGKILL, 0.1), "", "it was killed, probably because the machine ran out of memory"),
        (ExitResult(2), "fatal error: out of memory", "it ran out of memory (64 MiB)"),
        (ExitResult(1), "panic: nil", "exit status 1: panic: nil"),
        (ExitResult(255), "", "exit status 255"),
        (ExitResult(-signal.SIGSEGV), "", "killed by SIGSEGV"),
    ],
)
def test_the_failure_reason_names_the_exceeded_limit(result, error, reason):
    assert result.failure_reason(Limits(cpu_seconds=10, memory_bytes=64 << 20), error) == reason


def test_file_size_is_limited(shell: Run) -> None:
    shell("head -c 100000 /dev/zero > big", limits=Limits(file_bytes=1000))
    assert (shell.directory / "big").stat().st_size == 1000


def test_a_program_that_cannot_be_started_is_an_engine_error(shell: Run) -> None:
    with pytest.raises(EngineError, match=r"could not be sandboxed: launcher: .*No such file"):
        shell("true", program=Program(Path("/nonexistent/terraform")))


def test_an_error_in_a_callback_stops_the_command(tmp_path: Path) -> None:
    def fail(line: bytes) -> None:
        raise ValueError(line)

    with pytest.raises(ValueError, match="1"):
        run(
            SHELL,
            SandboxKind.OFF,
            Command(("-c", "echo $$ > pid; echo 1; sleep 60"), tmp_path, {"PATH": os.defpath}, Access()),
            limits=Limits(),
            deadline=time.monotonic() + 20,
            stopped=lambda: False,
            on_stdout=fail,
            on_stderr=fail,
        )
    assert wait_for(lambda: not is_alive(int((tmp_path / "pid").read_text())))
