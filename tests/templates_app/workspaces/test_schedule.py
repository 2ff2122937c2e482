"""Schedules, times to live and extensions (contract, test scenarios, schedule: the ids are those of its rows)."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from coderproj.base.errors import DomainError, Forbidden, Invalid
from coderproj.identity.actor import Actor
from coderproj.identity.models import AuditLog
from provisioning.engine.base import Transition
from templates_app.workspaces.models import Workspace, WorkspaceBuild
from templates_app.workspaces.schedule import MAX_CHARACTERS, BadSchedule, checked_schedule, parse
from templates_app.workspaces.services import builds, workspaces
from templates_app.workspaces.services.access import WorkspaceGone
from tests.factories import make_user
from tests.templates_app.workspaces.lives import begin, build, finish_build

HOUR = timedelta(hours=1)
MINUTE_MS = 60_000


def next_of(text: str, moment: str) -> str:
    """Return the next time, in the time zone of the schedule."""
    schedule = parse(text)
    found = schedule.next_after(datetime.fromisoformat(moment))
    assert found.utcoffset() == timedelta(0)
    return found.astimezone(schedule.zone).isoformat()


# ---------------------------------------------------------------------- next times
def test_next_time_is_reckoned_in_the_zone():
    """SCH-01."""
    text = "CRON_TZ=US/Central 30 9 * * 1-5"
    assert next_of(text, "2022-04-01T10:00:00-05:00") == "2022-04-04T09:30:00-05:00"
    assert str(parse(text).zone) == "US/Central"
    assert parse(text).weekdays == (1, 2, 3, 4, 5)
    assert checked_schedule(text) == text


def test_without_a_zone_it_is_utc():
    """SCH-02."""
    for text in ("30 9 * * 1-5", "CRON_TZ= 30 9 * * 1-5", "  30  9 * *\t1-5 "):
        assert next_of(text, "2022-04-01T09:29:59+00:00") == "2022-04-01T09:30:00+00:00"
        assert next_of(text, "2022-04-01T09:30:00+00:00") == "2022-04-04T09:30:00+00:00"


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("*/5 12-18 * * 1,3,6", 5),
        ("10,20,40-50 * * * *", 1),
        ("0 9 * * *", 24 * 60),
        ("0 9 * * MON", 7 * 24 * 60),
        ("0 9-17/4 * * *", 4 * 60),
        ("30 0,23 * * *", 60),  # from one day to the next
        ("30 0,23 * * SUN,SAT", 60),  # from one week to the next
        ("0,30 0,23 * * SUN,SAT", 30),
        ("30 1,2 * * *", 60),
        ("CRON_TZ=Australia/Lord_Howe 45 1 * * *", 24 * 60),  # a change of the clock by half an hour
    ],
)
def test_smallest_distance(text, minutes):
    """SCH-03."""
    assert parse(text).min_distance == timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("CRON_TZ=Local 30 9 * * 1-5", "the time zone Local is not allowed"),
        ("CRON_TZ=localtime 30 9 * * 1-5", "the time zone localtime is not allowed"),
        ("CRON_TZ=right/Europe/Dublin 30 9 * * 1-5", "is not allowed"),
        ("CRON_TZ=Mars/Olympus 30 9 * * 1-5", "the time zone 'Mars/Olympus' is unknown"),
        ("CRON_TZ=Europe 30 9 * * 1-5", "the time zone 'Europe' is unknown"),
        ("CRON_TZ=../etc/passwd 30 9 * * 1-5", "is unknown"),
        ("CRON_TZ=\0 30 9 * * 1-5", "is unknown"),
        (" CRON_TZ=UTC 30 9 * * 1-5", "it has 6 fields"),
        ("TZ=UTC 30 9 * * 1-5", "it has 6 fields"),
        ("CRON_TZ=UTC", "it has 0 fields"),
        ("CRON_TZ=UTC\t30 9 * * 1-5", "it has 4 fields"),
        ("every day at nine o'clock", "day of month and month must be *"),
        ("hello", "it has 1 fields"),
        ("@daily", "it has 1 fields"),
        ("30 9 *", "it has 3 fields"),
        ("0 30 9 * * 1-5", "it has 6 fields"),
        ("30 9 1 * *", "day of month and month must be *"),
        ("30 9 * 1 *", "day of month and month must be *"),
        ("30 9 ? ? *", "day of month and month must be *"),
        ("60 9 * * *", "the minute '60' is not a number from 0 to 59"),
        ("0 24 * * *", "the hour '24' is not a number from 0 to 23"),
        ("0 9 * * 7", "the weekday '7' is not a number from 0 to 6"),
        ("0 9 * * FUN", "the weekday 'FUN'"),
        ("0 9 * * FRI-MON", "the weekday range 'FRI-MON' ends before it begins"),
        ("30-10 9 * * *", "the minute range '30-10' ends before it begins"),
        ("*/0 9 * * *", "the step of the minute '*/0' is zero"),
        ("0 */00 * * *", "the step of the hour '*/00' is zero"),
        ("? 9 * * *", "the minute '?'"),
        ("-1 9 * * *", "the minute '-1'"),
        ("1, 9 * * *", "the minute ''"),
        ("0 9 * * 5L", "the weekday '5L'"),
        ("0 9 * * MON#1", "the weekday 'MON#1'"),
        ("\N{ARABIC-INDIC DIGIT ONE} 9 * * *", "the minute"),
        ("9" * 200 + " 9 * * *", "is not a number from 0 to 59"),
        ("0-" + "9" * 200 + " 9 * * *", "is not a number from 0 to 59"),
        ("0 9 * * *" + " " * MAX_CHARACTERS, "it is longer than 256 characters"),
    ],
)
def test_what_is_not_a_schedule_is_refused_with_the_reason(text, reason):
    """SCH-04, SCH-07."""
    with pytest.raises(BadSchedule) as error:
        parse(text)
    assert reason in str(error.value)
    with pytest.raises(Invalid) as refused:
        checked_schedule(text)
    [problem] = refused.value.problems
    assert (problem.field, reason in problem.detail) == ("schedule", True)


@pytest.mark.parametrize(
    ("weekday", "numbers"),
    [
        ("?", (0, 1, 2, 3, 4, 5, 6)),
        ("*", (0, 1, 2, 3, 4, 5, 6)),
        ("SUN", (0,)),
        ("sat", (6,)),
        ("SUN-SAT/3", (0, 3, 6)),
        ("mon-5", (1, 2, 3, 4, 5)),
        ("1/2", (1, 3, 5)),
        ("*/7", (0,)),
        ("FRI,MON,5-5", (1, 5)),
    ],
)
def test_weekdays(weekday, numbers):
    assert parse(f"0 9 * * {weekday}").weekdays == numbers


def test_range_of_one_number_is_that_number():
    assert {one.minute for one in parse("5-5 9 * * *").times} == {5}
    assert {one.minute for one in parse("59/5 9 * * *").times} == {59}
    assert {one.minute for one in parse("*/20,7 9 * * *").times} == {0, 7, 20, 40}


def test_every_text_takes_bounded_time():
    longest = "0-59/1," * 34 + "1 * * * *"
    assert len(longest) <= MAX_CHARACTERS
    began = time.process_time()
    schedule = parse(longest)
    assert schedule.min_distance == timedelta(minutes=1)
    schedule.next_after(datetime(2026, 1, 1, 23, 59, 30, tzinfo=UTC))
    assert time.process_time() - began < 1  # a search without bounds takes minutes


# ---------------------------------------------------------------------- changes of the clock
DUBLIN = "CRON_TZ=Europe/Dublin "


@pytest.mark.parametrize(
    ("moment", "hours"),
    [("2022-03-26T09:30:01+00:00", 23), ("2022-10-29T09:30:01+01:00", 25), ("2022-07-01T09:30:01+01:00", 24)],
)
def test_time_of_the_day_stays_across_a_change_of_the_clock(moment, hours):
    """SCH-06: from the moment after one start to the next."""
    before = datetime.fromisoformat(moment)
    found = parse(f"{DUBLIN}30 9 * * *").next_after(before)
    assert found - before == timedelta(hours=hours, seconds=-1)


def test_time_that_the_clock_skips_does_not_happen_that_day():
    """In Dublin the clock goes from 01:00 to 02:00 on 2022-03-27, a Sunday."""
    before = "2022-03-26T01:30:00+00:00"
    assert next_of(f"{DUBLIN}30 1 * * *", before) == "2022-03-28T01:30:00+01:00"
    assert next_of(f"{DUBLIN}30 1 * * SUN", before) == "2022-04-03T01:30:00+01:00"
    assert next_of(f"{DUBLIN}30 1,4 * * *", "2022-03-26T04:30:00+00:00") == "2022-03-27T04:30:00+01:00"
    # A whole day: Samoa had no 2011-12-30.
    assert next_of("CRON_TZ=Pacific/Apia 0 9 * * *", "2011-12-29T20:00:00-10:00") == "2011-12-31T09:00:00+14:00"


def test_time_that_the_clock_repeats_happens_once():
    """In Dublin 01:30 came twice on 2022-10-30; in Havana the clock went back at 01:00 to midnight on 2022-11-06."""
    text = f"{DUBLIN}30 1 * * *"
    assert next_of(text, "2022-10-29T12:00:00+01:00") == "2022-10-30T01:30:00+01:00"
    assert next_of(text, "2022-10-30T01:30:00+01:00") == "2022-10-31T01:30:00+00:00"
    assert next_of(text, "2022-10-30T01:10:00+00:00") == "2022-10-31T01:30:00+00:00"
    havana = "CRON_TZ=America/Havana 0 0 * * *"
    assert next_of(havana, "2022-11-05T12:00:00-04:00") == "2022-11-06T00:00:00-04:00"
    assert next_of(havana, "2022-11-06T00:30:00-04:00") == "2022-11-07T00:00:00-05:00"


@pytest.mark.parametrize("zone", ["UTC", "Europe/Dublin", "Australia/Lord_Howe", "America/Havana", "Asia/Kathmandu"])
def test_next_times_ascend_and_match_the_fields_for_a_year(zone):
    schedule = parse(f"CRON_TZ={zone} 15,45 0-3 * * *")
    moment = datetime(2022, 1, 1, tzinfo=UTC)
    seen = []
    while moment.year == 2022:
        found = schedule.next_after(moment)
        local = found.astimezone(schedule.zone)
        assert found > moment
        assert (local.minute in {15, 45}, local.hour <= 3, local.second) == (True, True, 0)
        seen.append(local.replace(tzinfo=None))
        moment = found
    assert len(seen) == len(set(seen))
    assert 365 * 8 - 2 <= len(seen) <= 365 * 8 + 2


# ---------------------------------------------------------------------- the services
@pytest.fixture
def workspace(ada, organization, template):
    return begin(ada, organization, template)


@pytest.mark.django_db
def test_schedule_is_set_changed_and_removed(ada, workspace):
    """SCH-05, SCH-08."""
    finish_build()
    build(ada, workspace, "stop")
    finish_build()
    actor = Actor.of(ada)
    times = []
    for text in ("CRON_TZ=Europe/Dublin 30 9 * * FRI", "CRON_TZ=Europe/Dublin 30 9 * * MON", ""):
        workspaces.set_schedule(actor, workspace, text)
        workspace.refresh_from_db()
        assert workspace.autostart_schedule == text
        times.append(workspace.due_at)
        if text:
            assert workspace.due_at == parse(text).next_after(workspace.schedule_set_at)
    friday, monday, none = times
    assert (friday.isoweekday(), monday.isoweekday(), none) == (5, 1, None)
    for text, diff in (("30 9 * * FRI", True), ("30 9 * * FRI", False)):
        workspaces.set_schedule(actor, workspace, text)
        row = AuditLog.objects.filter(resource_type="workspace").latest("time")
        assert (row.action, "autostart_schedule" in row.diff) == ("write", diff)


@pytest.mark.django_db
@pytest.mark.parametrize("text", ["CRON_TZ=nowhere 30 9 * * 1-5", "nine", "30 9 *", "* * * * *", "0,30 9 * * *"])
def test_bad_schedule_changes_nothing(ada, workspace, text):
    """SCH-07; a refused change is in the audit log."""
    with pytest.raises(Invalid) as error:
        workspaces.set_schedule(Actor.of(ada), workspace, text)
    assert [problem.field for problem in error.value.problems] == ["schedule"]
    workspace.refresh_from_db()
    assert workspace.autostart_schedule == ""
    row = AuditLog.objects.filter(resource_type="workspace", action="write").latest("time")
    assert (row.status_code, row.diff) == (400, {})


DAY_MS = 24 * 60 * MINUTE_MS


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (None, None),
        (0, None),
        (12 * 60 * MINUTE_MS, 12 * 60 * MINUTE_MS),
        (MINUTE_MS, MINUTE_MS),
        (90_500, MINUTE_MS),
        (7 * DAY_MS, 7 * DAY_MS),
        (604_859_999, 7 * DAY_MS),
    ],
)
def test_time_to_live_is_stored_in_whole_minutes(ada, workspace, given, stored):
    """SCH-10, SCH-15, SCH-16."""
    workspaces.set_ttl(Actor.of(ada), workspace, given)
    workspace.refresh_from_db()
    assert workspace.ttl_ms == stored


@pytest.mark.django_db
@pytest.mark.parametrize("given", [-1, -MINUTE_MS, 1, 30_000, 59_999, 604_860_000, 2**62])
def test_time_to_live_out_of_bounds_is_refused(ada, workspace, given):
    """SCH-10, SCH-15."""
    with pytest.raises(Invalid) as error:
        workspaces.set_ttl(Actor.of(ada), workspace, given)
    assert [problem.field for problem in error.value.problems] == ["ttl_ms"]


@pytest.mark.django_db
def test_extension_moves_the_deadline_and_what_is_due(ada, workspace):
    """SCH-11, SCH-12, SCH-19."""
    running = finish_build()
    actor = Actor.of(ada)
    now = datetime.now(UTC)
    for hours in (10, 20, 1):
        wanted = now + hours * HOUR
        assert workspaces.extend(actor, workspace, wanted) == wanted
        running.refresh_from_db()
        workspace.refresh_from_db()
        assert running.deadline == workspace.due_at == wanted
    assert workspaces.extend(actor, workspace, now + HOUR / 2) == now + HOUR / 2
    rows = AuditLog.objects.filter(resource_type="workspace_build", action="write")
    assert [("deadline" in row.diff) for row in rows] == [True] * 4
    for early in (datetime(1, 1, 1, tzinfo=UTC), now - HOUR, now + HOUR / 4):
        with pytest.raises(DomainError) as error:
            workspaces.extend(actor, workspace, early)
        assert (error.value.status_code, "at least 30 minutes" in error.value.message) == (400, True)
    workspace.refresh_from_db()
    assert workspace.due_at == now + HOUR / 2


@pytest.mark.django_db
def test_extension_needs_a_running_workspace_with_a_deadline(ada, organization, template, workspace):
    """SCH-13."""
    actor, later = Actor.of(ada), datetime.now(UTC) + HOUR
    with pytest.raises(workspaces.NotExtendable, match="still starting"):
        workspaces.extend(actor, workspace, later)
    finish_build()
    build(ada, workspace, "stop")
    finish_build()
    with pytest.raises(workspaces.NotExtendable, match="must be started"):
        workspaces.extend(actor, workspace, later)
    endless = begin(ada, organization, template, name="endless", ttl_ms=None)
    finish_build()
    with pytest.raises(workspaces.NotExtendable, match="has no deadline"):
        workspaces.extend(actor, endless, later)


@pytest.mark.django_db
def test_only_administrators_extend_by_more_than_a_day(ada, owner, workspace):
    """SCH-14."""
    finish_build()
    later = datetime.now(UTC) + 25 * HOUR
    with pytest.raises(DomainError, match="at most 24 hours") as error:
        workspaces.extend(Actor.of(ada), workspace, later)
    assert error.value.status_code == 400
    assert workspaces.extend(Actor.of(owner), workspace, later) == later


@pytest.mark.django_db
def test_new_time_to_live_counts_from_the_next_start(ada, workspace):
    """SCH-17."""
    deadline = finish_build().deadline
    workspaces.set_ttl(Actor.of(ada), workspace, 2 * 60 * MINUTE_MS)
    workspace.refresh_from_db()
    assert WorkspaceBuild.objects.get().deadline == workspace.due_at == deadline
    build(ada, workspace, "start")
    started = finish_build()
    assert started.deadline == started.job.completed_at + 2 * HOUR


@pytest.mark.django_db
def test_deleted_workspace_is_not_changed(ada, workspace):
    """SCH-18."""
    finish_build()
    build(ada, workspace, "delete")
    finish_build()
    actor = Actor.of(ada)
    workspace.refresh_from_db()
    for change in (
        lambda: workspaces.set_schedule(actor, workspace, "0 9 * * *"),
        lambda: workspaces.set_ttl(actor, workspace, 2 * MINUTE_MS),
        lambda: workspaces.extend(actor, workspace, datetime.now(UTC) + HOUR),
        lambda: builds.create(actor, workspace, builds.NewBuild(Transition.START)),
    ):
        with pytest.raises(WorkspaceGone):
            change()


@pytest.mark.django_db
def test_other_members_do_not_change_the_schedule(organization, workspace):
    """SCH-09 at the level of the service; the endpoint answers 404 for what its caller may not read."""
    eve = make_user("eve", organizations=(organization,))
    actor = Actor.of(eve)
    assert not Workspace.objects.visible(actor).exists()
    with pytest.raises(Forbidden):
        workspaces.set_schedule(actor, workspace, "0 9 * * *")
    with pytest.raises(Forbidden):
        workspaces.set_ttl(actor, workspace, MINUTE_MS)
