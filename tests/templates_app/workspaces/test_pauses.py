"""What was tried or left out comes neither earlier nor twice, whatever the owner changes meanwhile."""

from datetime import timedelta

import pytest

from coderproj.database.clock import database_time
from coderproj.identity import users
from coderproj.identity.actor import Actor
from provisioning.models import ProvisionerJob
from provisioning.queue import jobs
from templates_app.workspaces.models import Workspace, WorkspaceBuild
from templates_app.workspaces.services import workspaces
from tests.factories import claim
from tests.templates_app.workspaces.automatic import DAY, HOUR, HOURLY, MINUTE, START, STOP, run
from tests.templates_app.workspaces.lives import begin, build, finish_build, let_pass

pytestmark = pytest.mark.django_db

NIGHTLY = "0 0 * * *"


def set_schedule(actor, workspace):
    workspaces.set_schedule(actor, workspace, NIGHTLY)


def remove_schedule(actor, workspace):
    workspaces.set_schedule(actor, workspace, "")


def set_ttl(actor, workspace):
    workspaces.set_ttl(actor, workspace, 60_000)


def set_both(actor, workspace):
    workspaces.set_times(actor, workspace, {"schedule": NIGHTLY, "ttl_ms": None})


def rename(actor, workspace):
    workspaces.rename(actor, workspace, "renamed")


EDITS = [set_schedule, remove_schedule, set_ttl, set_both, rename]


def break_version(template, error="it is gone"):
    ProvisionerJob.objects.filter(pk=template.active_version.job_id).update(error=error)


# ---------------------------------------------------------------------- stops
@pytest.mark.parametrize("edit", EDITS)
def test_stop_that_could_not_be_queued_waits_for_its_pause(ada, template, running, edit):
    break_version(template)
    let_pass(8 * HOUR)
    for attempt, pause in enumerate((1, 5, 15), start=1):
        assert run() == []
        running.refresh_from_db()
        assert running.failed_stops == attempt
        edit(Actor.of(ada), running)
        let_pass(pause * MINUTE - timedelta(seconds=10))
        edit(Actor.of(ada), running)
        assert run() == []
        running.refresh_from_db()
        assert running.failed_stops == attempt
        let_pass(timedelta(seconds=10))
    break_version(template, error="")
    assert run() == [STOP]


@pytest.mark.parametrize("edit", EDITS)
def test_stop_whose_build_failed_waits_for_its_pause(ada, running, edit):
    let_pass(8 * HOUR)
    for pause in (1, 5, 15):
        assert run() == [STOP]
        finish_build(error="the cloud is down")
        running.refresh_from_db()
        edit(Actor.of(ada), running)
        let_pass(pause * MINUTE - timedelta(seconds=10))
        assert run() == []
        let_pass(timedelta(seconds=10))
    assert run() == [STOP]


def test_extension_does_not_end_a_pause(ada, template, running):
    """After many attempts, the pause is longer than the shortest extension."""
    break_version(template)
    let_pass(8 * HOUR)
    for pause in (1, 5, 15, 60):
        assert run() == []
        let_pass(pause * MINUTE - 31 * MINUTE if pause == 60 else pause * MINUTE)
    break_version(template, error="")
    running.refresh_from_db()
    workspaces.extend(Actor.of(ada), running, database_time() + 30 * MINUTE)
    let_pass(30 * MINUTE + timedelta(seconds=10))
    assert run() == []
    let_pass(MINUTE)
    assert run() == [STOP]


def test_build_that_succeeded_ends_the_pause(ada, template, running):
    break_version(template)
    let_pass(8 * HOUR)
    assert run() == []
    break_version(template, error="")
    build(ada, running, "start")
    started = finish_build()
    running.refresh_from_db()
    assert (running.failed_stops, running.stop_tried_at) == (0, None)
    assert running.due_at == started.deadline


def test_build_canceled_before_it_ran_does_not_end_a_pause(ada, template, running):
    break_version(template)
    let_pass(8 * HOUR)
    for pause in (1, 5, 15):
        assert run() == []
        let_pass(pause * MINUTE)
    assert run() == []
    break_version(template, error="")
    jobs.cancel(build(ada, running, "start").job_id)
    let_pass(59 * MINUTE)
    assert run() == []
    let_pass(MINUTE + timedelta(seconds=5))
    assert run() == [STOP]


# ---------------------------------------------------------------------- starts
@pytest.mark.parametrize("edit", [set_ttl, rename])
def test_start_that_could_not_be_queued_waits_for_the_next_time(ada, template, stopped, edit):
    break_version(template)
    let_pass(HOUR)
    assert run() == []
    break_version(template, error="")
    stopped.refresh_from_db()
    edit(Actor.of(ada), stopped)
    assert run() == []
    let_pass(HOUR)
    assert run() == [START]


def test_start_that_was_missed_is_not_made_up_by_an_extension(ada, organization, template):
    """A start that failed has a deadline, and starts again at the next time of the schedule."""
    workspace = begin(ada, organization, template, autostart_schedule=HOURLY)
    finish_build(error="no capacity")
    break_version(template)
    let_pass(HOUR)
    assert run() == []
    break_version(template, error="")
    workspace.refresh_from_db()
    workspaces.extend(Actor.of(ada), workspace, database_time() + 5 * HOUR)
    assert run() == []
    let_pass(HOUR)
    assert run() == [START]


def test_start_left_out_for_a_suspended_owner_is_not_made_up(ada, owner, organization, template):
    workspace = begin(ada, organization, template, autostart_schedule=HOURLY)
    finish_build(error="no capacity")
    users.suspend(Actor.of(owner), ada)
    let_pass(HOUR)
    assert run() == []
    users.activate(Actor.of(owner), ada)
    workspace.refresh_from_db()
    workspaces.extend(Actor.of(owner), workspace, database_time() + 5 * HOUR)
    assert run() == []
    let_pass(HOUR)
    assert run() == [START]


def test_stop_of_a_suspended_owner_comes_although_a_start_was_left_out(ada, owner, organization, template):
    """The start was due later than the stop."""
    begin(ada, organization, template, autostart_schedule=HOURLY)
    finish_build(error="half of it exists")
    users.suspend(Actor.of(owner), ada)
    let_pass(DAY)
    assert run() == [STOP]
    stop = WorkspaceBuild.objects.get(reason="autostop")
    assert Workspace.objects.get().last_due_at <= stop.created_at


def test_attempt_is_remembered_while_a_daemon_is_lost(ada, template, running):
    """The count goes on over attempts that were queued and others that were not."""
    let_pass(8 * HOUR)
    assert run() == [STOP]
    claim(lease_seconds=0.001)
    jobs.expire()
    running.refresh_from_db()
    assert running.failed_stops == 1
    break_version(template)
    let_pass(MINUTE + timedelta(seconds=5))
    assert run() == []
    running.refresh_from_db()
    assert running.failed_stops == 2
    set_schedule(Actor.of(ada), running)
    let_pass(4 * MINUTE)
    assert run() == []
    break_version(template, error="")
    let_pass(MINUTE + timedelta(seconds=5))
    assert run() == [STOP]
