"""Automatic starts and stops (contract, test scenarios, executor: the ids are those of its rows)."""

from datetime import timedelta

import pytest

from coderproj.identity import users
from coderproj.identity.actor import Actor
from coderproj.identity.models import Membership
from provisioning.engine.base import ImportResult, PlanResult, RichParameter
from provisioning.queue import jobs
from templates_app.models import Template
from templates_app.workspaces import states
from templates_app.workspaces.models import BuildStatus, Workspace, WorkspaceBuild
from templates_app.workspaces.services import values, workspaces
from tests.factories import claim, make_template, make_version
from tests.templates_app.workspaces.automatic import DAY, HOUR, HOURLY, MINUTE, START, STOP, in_minutes, run
from tests.templates_app.workspaces.lives import begin, build, finish_build, let_pass

pytestmark = pytest.mark.django_db


# ---------------------------------------------------------------------- starts
def test_stopped_workspace_starts_at_the_time_of_its_schedule(ada, stopped):
    """EXE-01, EXE-08."""
    assert run() == []
    let_pass(HOUR)
    assert run() == [START]
    assert run() == []  # it has a build
    started = finish_build()
    assert (started.build_number, started.initiator_id, started.status) == (3, ada.pk, BuildStatus.RUNNING)
    assert run() == []


def test_version_of_the_latest_build_is_started(owner, organization, template, stopped):
    """EXE-02."""
    newer = make_version(user=owner, organization=organization, template=template)
    Template.objects.filter(pk=template.pk).update(active_version=newer)
    let_pass(HOUR)
    assert run() == [START]
    assert WorkspaceBuild.objects.get(build_number=3).template_version_id == template.active_version_id != newer.pk


def test_nothing_is_due_without_schedule_and_deadline(ada, organization, template, stopped):
    """EXE-03, EXE-06."""
    workspaces.set_schedule(Actor.of(ada), stopped, "")
    endless = begin(ada, organization, template, name="endless", ttl_ms=None)
    finish_build()
    workspaces.set_schedule(Actor.of(ada), endless, HOURLY)  # it runs already
    let_pass(30 * DAY)
    assert run() == []
    assert set(Workspace.objects.values_list("due_at", flat=True)) == {None}


def test_deleted_workspace_is_left_alone(ada, stopped):
    """EXE-07."""
    build(ada, stopped, "delete")
    finish_build()
    let_pass(DAY)
    assert run() == []
    Workspace.objects.update(due_at=stopped.due_at)  # out of date
    let_pass(DAY)
    assert run() == []
    assert Workspace.objects.get().due_at is None


def test_schedule_counts_from_when_it_was_set(ada, running):
    """EXE-11: stopped at 08:00, set to 09:00 at 15:00."""
    build(ada, running, "stop")
    stop = finish_build()
    let_pass(7 * HOUR)
    stop.refresh_from_db()
    missed = stop.created_at + HOUR
    workspaces.set_schedule(Actor.of(ada), running, f"{missed.minute} {missed.hour} * * *")
    let_pass(MINUTE)
    assert run() == []
    let_pass(18 * HOUR)
    assert run() == [START]


def test_missed_times_are_made_up_once(stopped):
    """EXE-12."""
    let_pass(3 * HOUR)
    assert run() == [START]
    finish_build()
    assert run() == []


def test_failed_start_is_repeated_at_the_next_time(ada, stopped):
    """The failure of an automatic or manual start does not end automation."""
    workspaces.set_ttl(Actor.of(ada), stopped, None)
    let_pass(HOUR)
    assert run() == [START]
    failed = finish_build(error="no capacity")
    assert (failed.status, failed.deadline) == (BuildStatus.FAILED, None)
    assert run() == []
    assert in_minutes(stopped) <= 60
    let_pass(HOUR)
    assert run() == [START]


def test_values_survive_automatic_builds(ada, owner, organization):
    """EXE-15, PAR-12."""
    parameter = RichParameter(name="size", default_value="small", mutable=True)
    result = ImportResult(start=PlanResult(rich_parameters=(parameter,)), stop=PlanResult())
    template = make_template(user=owner, organization=organization, result=result)
    given = [values.NamedValue("size", "large")]
    workspace = begin(ada, organization, template, rich_values=given, autostart_schedule=HOURLY)
    finish_build(state=b'{"serial": 1}')
    let_pass(8 * HOUR)
    assert run() == [STOP]
    finish_build(state=b'{"serial": 2}')
    let_pass(HOUR)
    assert run() == [START]
    finish_build()
    last = build(ada, workspace, "start")
    assert [values.stored_rich_values(row) for row in WorkspaceBuild.objects.all()] == [{"size": "large"}] * 4
    assert states.state_of(last) == b'{"serial": 2}'


# ---------------------------------------------------------------------- stops
def test_running_workspace_stops_at_its_deadline(ada, running):
    """EXE-04, EXE-08."""
    let_pass(8 * HOUR - MINUTE)
    assert run() == []
    let_pass(MINUTE)
    assert run() == [STOP]
    assert run() == []
    stopped = finish_build()
    assert (stopped.initiator_id, stopped.status) == (ada.pk, BuildStatus.STOPPED)
    let_pass(DAY)
    assert run() == []


def test_extended_workspace_stops_at_the_new_deadline(ada, running):
    """EXE-05."""
    before = running.due_at
    workspaces.extend(Actor.of(ada), running, before + HOUR)
    let_pass(8 * HOUR + MINUTE)
    assert run() == []
    let_pass(HOUR)
    assert run() == [STOP]


def test_deadline_holds_when_the_time_to_live_changes(ada, organization, template, running):
    """EXE-09."""
    endless = begin(ada, organization, template, name="endless", ttl_ms=None)
    finish_build()
    workspaces.set_ttl(Actor.of(ada), running, None)
    workspaces.set_ttl(Actor.of(ada), endless, 60_000)
    let_pass(8 * HOUR)
    assert run() == [STOP]
    assert WorkspaceBuild.objects.get(transition="stop").workspace_id == running.pk


def test_failed_stop_is_repeated_with_growing_pauses(ada, running):
    """EXE-13, and the count that the workspace shows."""
    let_pass(8 * HOUR)
    pauses = []
    for attempt in range(1, 7):
        assert run() == [STOP]
        finish_build(error="the cloud is down")
        pauses.append(in_minutes(running))
        assert running.failed_stops == attempt
        let_pass(timedelta(minutes=pauses[-1]) - timedelta(seconds=10))
        assert run() == []
        let_pass(timedelta(seconds=10))
    assert pauses == [1, 5, 15, 60, 60, 60]
    assert run() == [STOP]
    finish_build()
    assert (in_minutes(running), running.failed_stops) == (None, 0)
    build(ada, running, "start")
    finish_build()
    assert in_minutes(running) == 8 * 60


def test_workspace_whose_stop_failed_starts_at_the_next_time(ada, running):
    """A retry does not come before a start that was due later."""
    workspaces.set_schedule(Actor.of(ada), running, HOURLY)
    let_pass(8 * HOUR)
    assert run() == [STOP]
    finish_build(error="the cloud is down")
    assert in_minutes(running) == 1
    let_pass(2 * HOUR)
    assert run() == [START]
    finish_build()
    assert (in_minutes(running), running.failed_stops) == (8 * 60, 0)


def test_stop_of_a_user_that_failed_is_repeated_at_the_deadline(ada, organization, template, running):
    let_pass(HOUR)
    for _ in range(2):
        build(ada, running, "stop")
        finish_build(error="the cloud is down")
        assert in_minutes(running) == 7 * 60
    let_pass(7 * HOUR)
    build(ada, running, "stop")
    finish_build(error="the cloud is down")
    assert in_minutes(running) == 1
    # A workspace that never stops by itself, and one that had stopped before.
    endless = begin(ada, organization, template, name="endless", ttl_ms=None)
    finish_build()
    build(ada, endless, "stop")
    finish_build(error="the cloud is down")
    assert in_minutes(endless) is None
    again = begin(ada, organization, template, name="again")
    finish_build()
    build(ada, again, "stop")
    finish_build()
    build(ada, again, "stop")
    finish_build(error="the cloud is down")
    assert in_minutes(again) is None


def test_canceled_start_has_a_deadline_and_is_stopped(workspace):
    """EXE-18."""
    lease = claim()
    jobs.cancel(lease.job_id)
    jobs.finish_canceled(lease)
    canceled = WorkspaceBuild.objects.get()
    assert (canceled.status, canceled.deadline) == (BuildStatus.CANCELED, canceled.job.completed_at + 8 * HOUR)
    let_pass(8 * HOUR)
    assert run() == [STOP]


def test_start_that_failed_or_was_lost_is_stopped(ada, organization, template):
    begin(ada, organization, template, name="failed")
    finish_build(error="half of it exists")
    begin(ada, organization, template, name="lost")
    claim(lease_seconds=0.001)
    jobs.expire()
    let_pass(8 * HOUR)
    assert run() == [STOP, STOP]


@pytest.mark.parametrize("transition", ["start", "stop", "delete"])
def test_build_canceled_before_it_ran_changes_nothing(ada, running, transition):
    deadline = running.due_at
    jobs.cancel(build(ada, running, transition).job_id)
    running.refresh_from_db()
    assert running.due_at == deadline
    let_pass(8 * HOUR)
    assert run() == [STOP]
    # The owner cancels the stop while it waits: it comes again, but not at once.
    jobs.cancel(WorkspaceBuild.objects.get(build_number=3).job_id)
    assert (in_minutes(running), running.failed_stops) == (1, 1)
    assert run() == []


def test_first_build_canceled_before_it_ran(ada, workspace):
    workspaces.set_schedule(Actor.of(ada), workspace, HOURLY)
    jobs.cancel(WorkspaceBuild.objects.get().job_id)
    assert in_minutes(workspace) <= 60


# ---------------------------------------------------------------------- owners
def test_suspended_owner_has_no_starts_but_stops(ada, owner, organization, template, stopped):
    """EXE-14. After the activation the next time counts, not one that was left out."""
    begin(ada, organization, template, name="running")
    finish_build()
    users.suspend(Actor.of(owner), ada)
    for _ in range(3):
        let_pass(HOUR)
        assert run() == []
    let_pass(5 * HOUR)
    assert run() == [STOP]
    users.activate(Actor.of(owner), ada)
    assert run() == []
    let_pass(HOUR)
    assert run() == [START]


def test_owner_who_left_the_organization_has_no_starts(ada, organization, stopped):
    Membership.objects.filter(user=ada).delete()
    let_pass(HOUR)
    assert run() == []
    Membership.objects.create(user=ada, organization=organization)
    assert run() == []
    let_pass(HOUR)
    assert run() == [START]
