"""A command is watched until it has gone, whatever it does."""

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
from provisioning.engine.terraform.command import Command, Ended, LimitExceededError, OutOfTimeError, run

SHELL = Program(Path("/bin/sh"))


class Run:
    """Runs shell code as a command and keeps what it wrote."""

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
    ) -> Ended:
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
    """Whether a process runs; a zombie that nobody reaps does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # gone before, or while it is read
        return False


def wait_for(condition: Callable[[], bool], seconds: float = 5) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def test_lines_of_both_streams_and_the_status(shell: Run) -> None:
    assert shell("echo one; echo; printf 'two\\r\\nthree'; echo problem >&2; exit 3") == Ended(3)
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


def test_a_killed_command_says_so(shell: Run) -> None:
    ended = shell("kill -KILL $$")
    assert ended == Ended(-signal.SIGKILL)
    assert ended.why == "killed by SIGKILL"


def test_too_much_output_ends_the_command(shell: Run) -> None:
    started = time.monotonic()
    with pytest.raises(LimitExceededError, match="wrote more than 100000 bytes"):
        shell("yes", limits=Limits(output_bytes=100_000))
    assert time.monotonic() - started < 30


def test_the_deadline_ends_the_command(shell: Run) -> None:
    with pytest.raises(OutOfTimeError, match="took too long"):
        shell("sleep 60", seconds=0.3)


def test_cancel_interrupts_first(shell: Run) -> None:
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    started = time.monotonic()
    with pytest.raises(Canceled):
        shell("trap 'touch interrupted; exit 1' INT; while :; do sleep 0.05; done", stopped=stop.is_set)
    assert time.monotonic() - started < 5
    assert (shell.directory / "interrupted").exists()


def test_cancel_kills_the_whole_group_after_the_grace_period(shell: Run) -> None:
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


def test_what_a_command_leaves_behind_is_ended(shell: Run) -> None:
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


def test_processor_time_is_limited(shell: Run) -> None:
    ended = shell("while :; do :; done", limits=Limits(cpu_seconds=1))
    assert ended.status == -signal.SIGXCPU


def test_a_command_that_ignores_the_limit_of_processor_time_is_killed(shell: Run) -> None:
    ended = shell("trap 'echo told' XCPU; while :; do :; done", limits=Limits(cpu_seconds=1))
    assert (ended.status, shell.stdout[:1]) == (-signal.SIGKILL, [b"told"])


@pytest.mark.parametrize(
    ("ended", "words", "reason"),
    [
        (Ended(-signal.SIGXCPU, 10.2), "", "it used more than 10 seconds of processor time"),
        (Ended(-signal.SIGXCPU, 9.4), "", "it used more than 10 seconds of processor time"),
        (Ended(128 + signal.SIGXCPU), "", "it used more than 10 seconds of processor time"),
        (Ended(-signal.SIGKILL, 11.0), "Planning", "it used more than 10 seconds of processor time"),
        (Ended(128 + signal.SIGKILL, 11.0), "", "it used more than 10 seconds of processor time"),
        (Ended(-signal.SIGKILL, 9.5), "", "it was killed, as happens when the machine runs out of memory"),
        (Ended(128 + signal.SIGKILL, 0.1), "", "it was killed, as happens when the machine runs out of memory"),
        (Ended(2), "fatal error: out of memory", "it ran out of memory (64 MiB)"),
        (Ended(1), "panic: nil", "exit status 1: panic: nil"),
        (Ended(255), "", "exit status 255"),
        (Ended(-signal.SIGSEGV), "", "killed by SIGSEGV"),
    ],
)
def test_the_reason_of_an_end_names_the_limit(ended, words, reason):
    assert ended.reason(Limits(cpu_seconds=10, memory_bytes=64 << 20), words) == reason


def test_the_size_of_files_is_limited(shell: Run) -> None:
    shell("head -c 100000 /dev/zero > big", limits=Limits(file_bytes=1000))
    assert (shell.directory / "big").stat().st_size == 1000


def test_a_program_that_cannot_be_run_is_an_engine_error(shell: Run) -> None:
    with pytest.raises(EngineError, match=r"could not be confined: launcher: .*No such file"):
        shell("true", program=Program(Path("/nonexistent/terraform")))


def test_an_error_of_the_reader_ends_the_command(tmp_path: Path) -> None:
    def refuse(line: bytes) -> None:
        raise ValueError(line)

    with pytest.raises(ValueError, match="1"):
        run(
            SHELL,
            SandboxKind.OFF,
            Command(("-c", "echo $$ > pid; echo 1; sleep 60"), tmp_path, {"PATH": os.defpath}, Access()),
            limits=Limits(),
            deadline=time.monotonic() + 20,
            stopped=lambda: False,
            on_stdout=refuse,
            on_stderr=refuse,
        )
    assert wait_for(lambda: not is_alive(int((tmp_path / "pid").read_text())))
