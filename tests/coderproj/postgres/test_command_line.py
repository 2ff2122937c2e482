"""``python -m coderproj.postgres``: a command with the embedded database."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from coderproj.postgres import EmbeddedPostgres
from coderproj.postgres.processes import server_processes
from tests.coderproj.postgres.servers import ROOT, is_gone, wait_until


def command_line(*arguments: "str | Path", **options: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "coderproj.postgres", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_command_gets_the_database_and_its_status_is_returned(used: Path) -> None:
    script = 'command -v initdb && pg_dump "$DATABASE_URL" >/dev/null && echo "$DATABASE_URL"; exit 3'
    done = command_line("--data", used, "--", "sh", "-c", script)
    assert done.returncode == 3, done.stderr
    assert done.stdout.splitlines()[-1] == EmbeddedPostgres(used).url
    assert server_processes(used / "data") == []


def test_a_temporary_database_is_removed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(home))
    left = home / "coderproj-test-killed"
    (left / "data").mkdir(parents=True)
    (left / "lock").touch()
    done = command_line("--test", "--", "sh", "-c", "kill -KILL $$")
    assert done.returncode == 128 + signal.SIGKILL, done.stderr
    assert list(home.iterdir()) == [], "not even of a run that was killed"


def test_folder_that_another_run_is_removing_is_left_alone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(home))
    left = home / "coderproj-test-removed"
    (left / "data").mkdir(parents=True)  # its lock is gone already
    done = command_line("--test", "--", "true")
    assert done.returncode == 0, done.stderr
    assert list(home.iterdir()) == [left]


@pytest.mark.parametrize(("ending", "status"), [(signal.SIGTERM, 5), (signal.SIGKILL, -9)])
def test_signals_end_the_command(used: Path, ending: signal.Signals, status: int) -> None:
    script = "trap 'exit 5' TERM; echo $$; while :; do sleep 0.05; done"
    with subprocess.Popen(
        [sys.executable, "-m", "coderproj.postgres", "--data", used, "--", "sh", "-c", script],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        command = int(process.stdout.readline())
        process.send_signal(ending)
        assert process.wait(20) == status
        wait_until(lambda: is_gone(command), seconds=5)
        wait_until(lambda: not server_processes(used / "data"), seconds=5)


def test_a_missing_command_and_a_failed_start_print_one_line(used: Path, home: Path) -> None:
    done = command_line("--data", used, "--", "no-such-program")
    assert (done.returncode, done.stderr) == (
        127,
        "error: cannot run no-such-program: No such file or directory\n",
    )
    (home / "file").touch()
    done = command_line("--data", home / "file", "--", "true")
    assert done.returncode == 1
    assert done.stderr.startswith("error: cannot use ")
    assert "Traceback" not in done.stderr
