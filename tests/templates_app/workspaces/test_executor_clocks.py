"""Several executors at once, and clocks that differ or go backwards."""

import re
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection, transaction
from django.utils import timezone

from coderproj.database.clock import database_time
from coderproj.identity.actor import Actor
from templates_app.workspaces import due, executor
from templates_app.workspaces.models import Workspace, WorkspaceBuild
from templates_app.workspaces.services import workspaces
from tests.templates_app.workspaces.automatic import DAY, HOUR, HOURLY, MINUTE, START, STOP, run
from tests.templates_app.workspaces.lives import begin, build, finish_build, let_pass

pytestmark = pytest.mark.django_db


# ---------------------------------------------------------------------- several executors, and clocks
@pytest.mark.parametrize("ahead", [DAY, -DAY])
def test_clock_of_the_process_does_not_matter(ada, organization, template, running, monkeypatch, ahead):
    """Times that automatic builds depend on are those of the database."""
    local = timezone.now
    monkeypatch.setattr("django.utils.timezone.now", lambda: local() + ahead)
    workspaces.set_schedule(Actor.of(ada), running, HOURLY)
    build(ada, running, "stop")
    stop = finish_build()
    assert abs(stop.created_at - database_time()) < MINUTE
    running.refresh_from_db()
    assert timedelta(0) < running.due_at - database_time() <= HOUR
    let_pass(HOUR)
    assert run() == [START]
    finish_build()
    running.refresh_from_db()
    wanted = database_time() + HOUR
    assert workspaces.extend(Actor.of(ada), running, wanted) == wanted


def test_no_module_of_workspaces_reads_the_clock_of_the_process():
    """The exceptions store or show a time, and compare it with none of the database."""
    allowed = {
        "pages/schedule_text.py": 1,  # the next starts, as a page shows them
        "services/builds.py": 1,  # ``updated_at``, as Django stores it
    }
    folder = Path(executor.__file__).parent
    reads = re.compile(r"datetime\.now\(|timezone\.now\(|time\.time\(")
    found = {path.relative_to(folder).as_posix(): len(reads.findall(path.read_text())) for path in folder.rglob("*.py")}
    assert {name: count for name, count in found.items() if count} == allowed


@pytest.mark.parametrize("back", [HOUR, 5 * HOUR, 3 * DAY])
def test_clock_that_goes_backwards_gives_no_second_start(ada, stopped, back):
    """The time that the first start was due at comes again."""
    let_pass(HOUR)
    assert run() == [START]
    let_pass(-back)
    finish_build()
    assert run() == []
    build(ada, stopped, "stop")
    finish_build()
    let_pass(back)
    assert run() == []
    let_pass(HOUR)
    assert run() == [START]


@pytest.mark.parametrize("back", [10 * MINUTE, 3 * DAY])
def test_clock_that_goes_backwards_gives_no_second_stop(running, back):
    let_pass(8 * HOUR)
    assert run() == [STOP]
    let_pass(-back)
    assert run() == []
    finish_build()
    let_pass(back + DAY)
    assert run() == []


def test_clock_that_goes_backwards_after_a_failed_start(stopped):
    let_pass(HOUR)
    assert run() == [START]
    let_pass(-HOUR)
    finish_build(error="no capacity")
    let_pass(HOUR)
    assert run() == []
    let_pass(HOUR)
    assert run() == [START]


@pytest.mark.parametrize("together", [1, 5, 100])
@pytest.mark.django_db(transaction=True)
def test_several_executors_queue_each_build_once(ada, organization, template, monkeypatch, together):
    """EXE-10."""
    monkeypatch.setattr(executor, "TOGETHER", together)
    for index in range(12):
        begin(ada, organization, template, name=f"dev-{index}")
        finish_build()
    let_pass(8 * HOUR)
    gate = threading.Barrier(3)
    done, errors = [], []

    def work():
        try:
            gate.wait(10)
            done.append(executor.run())
        except BaseException as error:  # noqa: BLE001 - shown by the assertion below
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert sum(one.built for one in done) == 12
    assert WorkspaceBuild.objects.filter(reason="autostop").count() == 12
    assert sorted(WorkspaceBuild.objects.values_list("build_number", flat=True)) == [1] * 12 + [2] * 12


@pytest.mark.django_db(transaction=True)
def test_workspace_that_another_transaction_holds_is_skipped(running):
    let_pass(8 * HOUR)
    found = []

    def work():
        try:
            found.append(executor.run())
        finally:
            connection.close()

    with transaction.atomic():
        Workspace.objects.select_for_update(no_key=True).get(pk=running.pk)
        thread = threading.Thread(target=work)
        thread.start()
        thread.join(20)
        assert not thread.is_alive()
    assert [(one.due, one.built) for one in found] == [(1, 0)]
    assert executor.run().built == 1


def test_pauses_are_bounded(running):
    for failed in (5, 1000, 32_767):
        running.failed_stops = failed
        assert due.pause_of(running) == HOUR
