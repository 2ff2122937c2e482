"""The worker: processes that run the executor with Procrastinate."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from importlib import import_module, resources
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection

from coderproj.base.processes import descendants
from coderproj.management.commands import worker as command
from coderproj.worker import schema
from coderproj.worker.clock import ClockWatch
from coderproj.worker.tasks import periodic_tasks
from templates_app.workspaces.models import WorkspaceBuild
from tests.templates_app.workspaces.lives import begin, finish_build, let_pass
from tests.vocabulary import database_url, wait_until

HOUR = timedelta(hours=1)
ROOT = Path(__file__).parents[3]
# The promise is 10 s, but the machine has other work during tests.
SECONDS = 30.0
# A worker whose clock SIGUSR1 sets back by an hour.
SET_BACK = """
import runpy, signal, sys, time
real, back = time.time, [0]
time.time = lambda: real() - back[0]
signal.signal(signal.SIGUSR1, lambda *_: back.__setitem__(0, 3600))
sys.argv = ["manage.py", "worker"]
runpy.run_path("manage.py", run_name="__main__")
"""


@contextmanager
def run_worker(log: Path, *arguments: str) -> Iterator[subprocess.Popen]:
    """Run a worker on the database of the tests; kill it after the block if it still runs."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *(arguments or ("manage.py", "worker"))],
            cwd=ROOT,
            env=os.environ | {"DATABASE_URL": database_url("worker")},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until(lambda: runs(log), SECONDS, "the worker")
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def runs(log: Path, times: int = 1) -> bool:
    return log.read_text().count("The worker runs") >= times


def make_due(ada, organization, template, *names: str) -> None:
    """Make running workspaces whose deadline has passed, after all builds that wait have ended."""
    while WorkspaceBuild.objects.filter(job__completed_at=None).exists():
        finish_build()
    for name in names:
        begin(ada, organization, template, name=name)
        finish_build()
    let_pass(8 * HOUR)


def processes_of(worker: subprocess.Popen, task: str) -> list[int]:
    """Return the processes of a task that the worker runs."""
    lines = {pid: Path(f"/proc/{pid}/cmdline") for pid in descendants(worker.pid)}
    return [pid for pid, line in lines.items() if line.exists() and line.read_bytes().endswith(f"\0{task}\0".encode())]


def stops() -> int:
    return WorkspaceBuild.objects.filter(reason="autostop").count()


def wait_for_stops(count: int) -> None:
    wait_until(lambda: stops() >= count, SECONDS, f"{count} automatic stops")


def kept_jobs() -> int:
    """Return the number of Procrastinate's jobs that have ended and were not deleted."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM procrastinate_jobs WHERE status NOT IN ('todo', 'doing')")
        return cursor.fetchone()[0]


@pytest.mark.django_db(transaction=True)
def test_worker_stops_what_is_due_and_ends_itself(ada, organization, template, tmp_path):
    log = tmp_path / "log"
    with run_worker(log) as worker:
        make_due(ada, organization, template, "dev")
        wait_for_stops(1)
        # The process of the task stays for a while; it ends with its worker.
        [task] = processes_of(worker, "workspaces")
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(20) == 0
    assert "The worker has stopped" in log.read_text()
    assert not Path(f"/proc/{task}").exists()
    assert "Traceback" not in log.read_text()
    assert kept_jobs() == 0


@pytest.mark.django_db(transaction=True)
def test_task_does_not_wait_for_another_one(ada, organization, template, tmp_path):
    with run_worker(tmp_path / "log") as worker:
        # A template that was not counted yet is work for the statistics, whose process does not end here.
        wait_until(lambda: processes_of(worker, "statistics"), 2 * SECONDS, "the process of the statistics")
        (statistics,) = processes_of(worker, "statistics")
        os.kill(statistics, signal.SIGSTOP)
        make_due(ada, organization, template, "dev")
        wait_for_stops(1)
        assert processes_of(worker, "statistics") == [statistics]
        os.kill(statistics, signal.SIGCONT)


@pytest.mark.django_db(transaction=True)
def test_three_workers_queue_each_build_once(ada, organization, template, tmp_path):
    """EXE-10, in processes."""
    with ExitStack() as stack:
        for number in range(3):
            stack.enter_context(run_worker(tmp_path / f"log-{number}"))
        for round_ in (1, 2):
            make_due(ada, organization, template, *(f"dev-{round_}-{index}" for index in range(6)))
            wait_for_stops(6 * round_)
    assert stops() == 12
    assert {row.build_number for row in WorkspaceBuild.objects.filter(reason="autostop")} == {2}


@pytest.mark.django_db(transaction=True)
def test_killed_worker_takes_its_task_along_and_the_next_one_goes_on(ada, organization, template, tmp_path):
    with run_worker(tmp_path / "first") as worker:
        make_due(ada, organization, template, "dev")
        wait_for_stops(1)
        [task] = processes_of(worker, "workspaces")
        worker.kill()
        worker.wait()
        wait_until(lambda: not Path(f"/proc/{task}").exists(), SECONDS, "the end of the task")
    with run_worker(tmp_path / "second"):
        make_due(ada, organization, template, "other")
        wait_for_stops(2)


@pytest.mark.django_db(transaction=True)
def test_worker_survives_a_lost_database(ada, organization, template, tmp_path):
    log = tmp_path / "log"
    with run_worker(log) as worker:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE application_name = 'worker' AND datname = current_database()"
            )
            assert cursor.fetchone()[0] >= 1
        make_due(ada, organization, template, "dev")
        wait_for_stops(1)
        assert worker.poll() is None


@pytest.mark.django_db(transaction=True)
def test_worker_goes_on_when_the_clock_is_set_back(ada, organization, template, tmp_path):
    log = tmp_path / "log"
    with run_worker(log, "-c", SET_BACK) as worker:
        make_due(ada, organization, template, "dev")
        wait_for_stops(1)
        worker.send_signal(signal.SIGUSR1)
        wait_until(lambda: runs(log, 2), SECONDS, "the worker's second start")
        assert "The clock was set" in log.read_text()
        make_due(ada, organization, template, "other")
        wait_for_stops(2)


def test_jumps_of_the_clock_are_noticed():
    now = [1_000_000.0]
    watch = ClockWatch(lambda: now[0])
    assert not watch.has_jumped()
    for jump in (-3600.0, 3600.0, -3.0, 86_400.0 * 365):
        now[0] += jump
        assert (watch.has_jumped(), watch.has_jumped()) == (True, False)
    now[0] += 0.5  # a correction
    assert not watch.has_jumped()


@pytest.mark.django_db  # it closes the connection between its passes
def test_task_runs_until_it_has_no_work(monkeypatch):
    monkeypatch.setattr(command, "PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(command, "IDLE_SECONDS", 0.05)
    work = [2, 0, 1]
    asked = []

    def run(is_stopping):
        asked.append(is_stopping())
        return work.pop(0) if work else 0

    command.run_while_working(run, threading.Event())
    assert (len(asked) > 3, set(asked), work) == (True, {False}, [])
    stopped = threading.Event()
    stopped.set()
    asked.clear()
    command.run_while_working(run, stopped)
    assert asked == []


def test_idle_worker_loads_neither_models_nor_the_executor():
    """Its memory is a third of that of a process with Django's apps."""
    modules = (
        "import sys; from coderproj.worker.running import main; from coderproj.worker.tasks import periodic_tasks;"
    )
    modules += f"periodic_tasks({settings.PERIODIC_TASKS!r});"
    modules += "print(*[name for name in sys.modules if name.startswith(('django.db.models', 'rest_framework'))])"
    found = subprocess.run(
        [sys.executable, "-c", modules],
        cwd=ROOT,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "coderproj.settings"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.split() == []


@pytest.mark.django_db
def test_statements_of_the_tasks_use_an_index_or_find_nothing():
    with connection.cursor() as cursor:
        for task in periodic_tasks(settings.PERIODIC_TASKS):
            cursor.execute(f"SELECT ({task.has_work})")
            assert cursor.fetchone() == (False,)


# ---------------------------------------------------------------------- the schema of Procrastinate
MIGRATION = import_module("coderproj.worker.migrations.0001_procrastinate_3_10")


@pytest.mark.django_db
def test_migrations_run_all_files_of_the_installed_library():
    newest = max(path.name for path in resources.files(schema.FOLDER).iterdir() if path.name.endswith(".sql"))
    assert schema.applied(connection) == MIGRATION.LAST == newest, "add a migration that names the newest file"
    assert len(schema.files(last=newest)) > 30
    assert schema.files(after=newest, last=newest) == []
    with pytest.raises(LookupError, match=r"has no 99\.sql"):
        schema.files(last="99.sql")


@pytest.mark.django_db
def test_tables_of_another_application_are_left_alone():
    with connection.cursor() as cursor:
        cursor.execute(f"COMMENT ON TABLE {schema.TABLE} IS NULL")
    with pytest.raises(schema.ForeignTables):
        schema.applied(connection)
