"""The schedule of a workspace: as words, as a form, and extending the time of a running one."""

from datetime import UTC, datetime, timedelta

import pytest

from coderproj.identity.models import AuditLog
from templates_app.workspaces.models import Workspace, WorkspaceBuild
from templates_app.workspaces.pages.schedule_text import next_starts, weekly_of
from tests.pages import browser, text_of
from tests.templates_app.workspaces.pages.conftest import build, finish_build

pytestmark = pytest.mark.django_db
PAGE = "/@ada/dev/schedule"


# ---------------------------------------------------------------------- words
@pytest.mark.parametrize(
    ("text", "words", "zone"),
    [
        ("30 9 * * 1-5", "Monday to Friday at 09:30", "UTC"),
        ("CRON_TZ=Europe/Berlin 0 8 * * MON,WED", "Monday and Wednesday at 08:00", "Europe/Berlin"),
        ("CRON_TZ=Asia/Tokyo 5 22 * * *", "Every day at 22:05", "Asia/Tokyo"),
        ("0 10 * * 0,6", "Saturday and Sunday at 10:00", "UTC"),
        ("0 10 * * ?", "Every day at 10:00", "UTC"),
        ("0 7 * * SUN", "Sunday at 07:00", "UTC"),
    ],
)
def test_weekly_schedules_in_words(text, words, zone):
    weekly = weekly_of(text)
    assert weekly is not None
    assert (weekly.words, weekly.zone) == (words, zone)
    again = weekly_of(weekly.text)
    assert again == weekly


@pytest.mark.parametrize(
    "text", ["0 8,12 * * 1-5", "*/30 9 * * 1", "0 9 * * */2", "0 9 * * 5-1", "nonsense", "0 9 * *"]
)
def test_other_schedules_are_shown_as_cron_text(text):
    assert weekly_of(text) is None


def test_next_starts_stay_at_the_same_time_over_a_change_of_the_clock():
    starts = next_starts("CRON_TZ=Europe/Berlin 30 9 * * *", datetime(2026, 3, 27, 12, tzinfo=UTC))
    assert [f"{start:%d %H:%M}" for start in starts] == ["28 09:30", "29 09:30", "30 09:30"]
    assert [start.astimezone(UTC).hour for start in starts] == [8, 7, 7]
    assert next_starts("nonsense") == []


# ---------------------------------------------------------------------- the form
def given(**fields):
    return {"mode": "never", "hours": ""} | fields


def test_schedule_is_saved_and_shown(ada, running):
    client = browser(ada)
    answer = client.post(
        PAGE,
        given(mode="weekly", days=["1", "2", "3", "4", "5"], time="09:30", zone="Europe/Dublin", hours="10"),
        follow=True,
    )
    assert "The schedule is saved." in text_of(answer)
    running.refresh_from_db()
    assert running.autostart_schedule == "CRON_TZ=Europe/Dublin 30 9 * * 1-5"
    assert running.ttl_ms == 36_000_000
    text = text_of(client.get("/@ada/dev"))
    assert "Monday to Friday at 09:30, Europe/Dublin" in text
    assert "10 h after a start" in text
    html = client.get(PAGE).content.decode()
    assert 'value="09:30"' in html
    assert '<option value="Europe/Dublin" selected>' in html
    assert html.count("checked") == 6  # the way, and five days
    assert text_of(client.get(PAGE)).count("day,") >= 3


def test_cron_text_is_kept_as_it_was_written(ada, running):
    client = browser(ada)
    client.post(PAGE, given(mode="cron", cron="CRON_TZ=Europe/Berlin  0 8,13 * * MON-FRI"))
    running.refresh_from_db()
    assert running.autostart_schedule == "CRON_TZ=Europe/Berlin  0 8,13 * * MON-FRI"
    html = client.get(PAGE).content.decode()
    assert 'value="CRON_TZ=Europe/Berlin  0 8,13 * * MON-FRI"' in html


def test_schedule_is_switched_off(ada, running):
    Workspace.objects.update(autostart_schedule="0 9 * * *")
    browser(ada).post(PAGE, given())
    running.refresh_from_db()
    assert (running.autostart_schedule, running.ttl_ms) == ("", None)
    assert "Only by hand" in text_of(browser(ada).get("/@ada/dev"))


def test_unchanged_schedule_is_not_recorded(ada, running):
    before = AuditLog.objects.count()
    browser(ada).post(PAGE, given(hours="8"))
    assert AuditLog.objects.count() == before


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"mode": "cron", "cron": "0 9 * * 7"}, "weekday"),
        ({"mode": "cron", "cron": "CRON_TZ=Mars/Base 0 9 * * 1"}, "is unknown"),
        ({"mode": "cron", "cron": "x" * 300}, "at most 256 characters"),
        ({"mode": "weekly", "time": "", "days": ["1"]}, "Enter a time."),
        ({"mode": "often"}, "Select a valid choice."),
        ({"hours": "-1"}, "at least one minute"),
        ({"hours": "NaN"}, "Enter a number."),
    ],
)
def test_wrong_schedules_are_named_at_their_fields(ada, running, wrong, says):
    client = browser(ada)
    response = client.post(PAGE, given(**wrong))
    assert response.status_code == 400
    assert says in text_of(response)
    assert says in text_of(client.post(f"{PAGE}/check", given(**wrong)))
    running.refresh_from_db()
    assert running.ttl_ms == 8 * 3_600_000


def test_check_shows_the_next_starts(ada, running):
    client = browser(ada)
    text = text_of(client.post(f"{PAGE}/check", given(mode="weekly", days=["1"], time="09:00", zone="Asia/Tokyo")))
    assert text.count("Monday,") == 3
    assert "09:00 JST" in text
    assert "starts only by hand" in text_of(client.post(f"{PAGE}/check", given()))


# ---------------------------------------------------------------------- extending
def deadline_of(workspace) -> datetime:
    return WorkspaceBuild.objects.get(latest_of=workspace).deadline


def test_running_workspace_stops_later(ada, running):
    client = browser(ada)
    assert "Stop later, by hours" in text_of(client.get("/@ada/dev"))
    before = deadline_of(running)
    answer = client.post("/@ada/dev/extend", {"hours": "2"}, follow=True)
    assert "The workspace stops at" in text_of(answer)
    assert deadline_of(running) == before + timedelta(hours=2)


@pytest.mark.parametrize("hours", ["", "0", "-1", "1.5", "many", "9999", "²"])
def test_only_whole_hours_extend(ada, running, hours):
    before = deadline_of(running)
    assert "Enter a whole number of hours" in text_of(
        browser(ada).post("/@ada/dev/extend", {"hours": hours}, follow=True)
    )
    assert deadline_of(running) == before


def test_too_late_a_stop_is_refused_with_a_reason(ada, running):
    answer = browser(ada).post("/@ada/dev/extend", {"hours": "20"}, follow=True)
    assert "at most 24 hours from now" in text_of(answer)


def test_stopped_workspace_cannot_be_extended(ada, stopped):
    client = browser(ada)
    assert "Stop later" not in text_of(client.get("/@ada/dev"))
    assert "must be started" in text_of(client.post("/@ada/dev/extend", {"hours": "2"}, follow=True))
    assert client.get("/@ada/dev/extend")["Location"] == "/@ada/dev"


def test_schedule_of_a_deleted_workspace_cannot_be_changed(ada, running):
    build(ada, running, "delete")
    finish_build(resources=())
    assert browser(ada).get(PAGE).status_code == 410
    assert browser(ada).post(PAGE, given()).status_code == 410
