"""States that the daemon of a lost build reports after a newer build of the workspace has begun."""

import logging
from datetime import timedelta

import pytest

from provisioning.models import ProvisionerJob, ProvisionerJobLog
from provisioning.protocol.leases import LeaseLost, StateKept
from provisioning.queue import jobs
from templates_app.workspaces import states
from templates_app.workspaces.models import BuildState, WorkspaceBuild
from templates_app.workspaces.services import jobs as build_jobs
from tests.factories import claim
from tests.pages import browser, text_of
from tests.templates_app.workspaces.lives import build, finish_build, let_pass

pytestmark = pytest.mark.django_db

OLD, LATE, NEW = b'{"serial": 1}', b'{"serial": 2}', b'{"serial": 3}'


@pytest.fixture
def lost(ada, running):
    """A stop whose daemon was lost, after it had reported a state."""
    build(ada, running, "stop")
    lease = claim(lease_seconds=0.001)
    jobs.store_state(lease, OLD)
    jobs.expire()
    let_pass(timedelta(seconds=jobs.SETTLE_SECONDS + 1))
    return lease


def report(lease, state=LATE, **options):
    with pytest.raises(StateKept):
        jobs.store_state(lease, state, **options)


def lines_of(number):
    job = WorkspaceBuild.objects.get(build_number=number).job_id
    return list(ProvisionerJobLog.objects.filter(job=job).order_by("id").values_list("level", "output"))


def state_of(number):
    return states.state_of(WorkspaceBuild.objects.get(build_number=number))


@pytest.mark.parametrize("ending", ["runs", "succeeded", "failed", "stored"])
def test_late_state_is_kept_and_told(ada, running, lost, caplog, ending):
    newer = build(ada, running, "start")
    lease = claim()
    match ending:
        case "succeeded":
            jobs.store_state(lease, NEW)
            jobs.complete(lease, build_jobs.BuildResult())
        case "failed":
            jobs.fail(lease, "the plan failed")
        case "stored":
            jobs.store_state(lease, NEW)
    with caplog.at_level(logging.WARNING):
        report(lost)
    assert state_of(2) == LATE
    assert state_of(3) == (NEW if ending in ("succeeded", "stored") else LATE)
    text = "The state of this build was reported after build 3 had begun, which did not use it."
    assert lines_of(2)[-1] == ("warn", f"{text} It is kept with this build.")
    [line] = [record.getMessage() for record in caplog.records if record.name == build_jobs.__name__]
    assert f"Workspace {running.pk}: the state of build 2 was reported after build 3 had begun" in line
    page = text_of(browser(ada).get(f"/@ada/dev/builds/{newer.build_number - 1}"))
    assert "Reported after build 3 had begun, which did not use it." in page
    assert "Reported after" not in text_of(browser(ada).get("/@ada/dev/builds/3"))


def test_repeated_report_is_logged_once(ada, running, lost):
    build(ada, running, "start")
    claim()
    for _ in range(2):
        report(lost)
    report(lost, is_last=True)
    assert len(lines_of(2)) == 2  # that it was lost, and the late state
    report(lost, b'{"serial": 4}')
    assert len(lines_of(2)) == 3
    assert state_of(2) == b'{"serial": 4}'


def test_state_that_the_newer_build_had_is_not_late(ada, running, lost):
    build(ada, running, "start")
    claim()
    report(lost, OLD)
    assert len(lines_of(2)) == 1
    assert BuildState.objects.get().late_for is None


def test_state_before_the_newer_build_begins_is_in_time(ada, running, lost):
    """The newer build waits: it begins with this state."""
    newer = build(ada, running, "start")
    report(lost)
    assert (BuildState.objects.get().late_for, len(lines_of(2))) == (None, 1)
    assert states.state_of(newer) == LATE


def test_newer_build_that_was_canceled_before_it_ran_used_no_state(ada, running, lost):
    jobs.cancel(build(ada, running, "start").job_id)
    report(lost)
    assert BuildState.objects.get().late_for is None


def test_newer_build_with_a_state_of_its_own_does_not_use_a_late_one(owner, running, lost):
    """The user who pushed a state did not know this one."""
    newer = build(owner, running, "start", state=NEW)
    report(lost)
    assert BuildState.objects.get(build__build_number=2).late_for == 3
    assert states.state_of(newer) == NEW


def test_state_after_the_deletion_is_kept(owner, running, lost):
    build(owner, running, "delete", orphan=True)
    finish_build()
    report(lost)
    running.refresh_from_db()
    assert running.deleted
    assert state_of(2) == LATE
    assert "build 3 had begun" in lines_of(2)[-1][1]


def test_build_that_uses_a_late_state_says_so(ada, running, lost):
    """Build 3 made no state, so build 4 starts with that of build 2; build 5 starts with that of build 4."""
    build(ada, running, "start")
    lease = claim()
    report(lost)
    jobs.fail(lease, "the plan failed")
    fourth = build(ada, running, "start")
    assert states.state_of(fourth) == LATE
    assert lines_of(4) == [("warn", "This build starts with the state of build 2, reported after build 3 had begun.")]
    finish_build(state=NEW)
    build(ada, running, "stop")
    assert lines_of(5) == []


def test_pushed_state_replaces_a_late_one_without_a_word(ada, owner, running, lost):
    build(ada, running, "start")
    lease = claim()
    report(lost)
    jobs.fail(lease, "the plan failed")
    build(owner, running, "start", state=NEW)
    assert lines_of(4) == []


def test_unreadable_state_is_replaced(ada, running, lost, settings):
    build(ada, running, "start")
    claim()
    settings.STATE_KEYS = ["another"]
    report(lost)
    assert state_of(2) == LATE
    assert BuildState.objects.get().late_for == 3


def test_ordinary_states_cost_no_further_statement(ada, running, django_assert_num_queries):
    build(ada, running, "stop")
    lease = claim()
    jobs.store_state(lease, OLD)
    job = ProvisionerJob.objects.get(pk=lease.job_id)
    with django_assert_num_queries(5):  # the build, and its state in a savepoint
        build_jobs.state_found(job, NEW)
    with pytest.raises(LeaseLost):
        jobs.store_state(type(lease)(lease.job_id, running.pk), NEW)
