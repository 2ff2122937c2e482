"""Passes of workers over what has happened, and how long statistics are kept."""

import json
from datetime import timedelta

import pytest
from django.db import connection, connections
from django.db.models import F

from coderproj.database.clock import database_time
from templates_app.agents.models import AgentStatistic
from templates_app.agents.services.refreshing import refresh, start_again
from templates_app.agents.tasks import PERIODIC_TASKS
from templates_app.models import (
    DailyCount,
    DailyUser,
    Insights,
    JobTime,
    StatisticsProgress,
    TemplateStatistics,
)
from templates_app.statistics import counting, progress
from templates_app.workspaces.models import Workspace
from tests.factories import make_template
from tests.templates_app.agents.refreshing import DAY, count, daily, day, noon, put, read, report, settle

pytestmark = pytest.mark.django_db


# ---------------------------------------------------------------------- passes
def test_nothing_new_changes_nothing(agent, workspace, template):
    report(workspace, noon())
    assert count() > 0
    before = list(TemplateStatistics.objects.values())
    assert count() == 0
    assert list(TemplateStatistics.objects.values()) == before


def has_work() -> bool:
    (task,) = (task for task in PERIODIC_TASKS if task.name == "statistics")
    with connection.cursor() as cursor:
        cursor.execute(task.has_work)
        return cursor.fetchone()[0]


def test_work_is_found(agent, workspace, owner, ada, template, organization):
    assert has_work()
    settle()
    with connection.cursor() as cursor:  # of later than now, as if half a minute had passed
        (task,) = (task for task in PERIODIC_TASKS if task.name == "statistics")
        quiet = task.has_work.replace("progress.until > now()", "false")

        def work() -> bool:
            cursor.execute(quiet)
            return cursor.fetchone()[0]

        assert not work()
        StatisticsProgress.objects.update(until=database_time() - timedelta(seconds=1))
        assert work()
        settle()
        assert not work()
        make_template(user=owner, organization=organization)
        assert work()
        settle()
        assert not work()
        TemplateStatistics.objects.update(insights_are_stale=True)
        for seconds, insights_ms, is_due in ((10, 0, False), (21, 0, True), (21, 2_000, False), (41, 2_000, True)):
            cursor.execute("SELECT now()")  # of the transaction, as in the statement
            moment = cursor.fetchone()[0] - timedelta(seconds=seconds)
            StatisticsProgress.objects.update(insights_at=moment, insights_ms=insights_ms)
            assert work() == is_due
        settle()
        StatisticsProgress.objects.update(counted_on=F("counted_on") - DAY)
        assert work()


def test_an_old_deployment_is_counted_in_short_transactions(agent, workspace, owner, template, monkeypatch):
    """A first pass takes in a day at a time, and stops where it is when the worker stops."""
    for days_ago in (3, 20, 80):
        report(workspace, noon(days_ago))
    steps = iter([False] * 5)
    refresh(lambda: next(steps, True))
    until = StatisticsProgress.objects.get().until
    assert until < database_time() - 50 * DAY
    count()
    assert DailyUser.objects.count() == 3


@pytest.mark.django_db(transaction=True)
def test_a_worker_passes_over_the_work_of_another(agent, workspace, template):
    from threading import Thread

    report(workspace, noon())
    found = []

    def other() -> None:
        found.append((refresh(lambda: False), start_again()))
        connections.close_all()

    with progress.locked() as row:
        assert row is not None
        thread = Thread(target=other)
        thread.start()
        thread.join(30)
    assert found == [(0, False)]
    assert count() > 0
    assert DailyUser.objects.count() == 1


def test_start_again_repairs_figures(agent, workspace, owner, template):
    report(workspace, noon(3))
    put(workspace.latest_build.job, ms=10)
    count()
    DailyCount.objects.update(users=77)
    JobTime.objects.all().delete()
    TemplateStatistics.objects.update(active_users=5, build_times="{}", workspace_owners=9)
    assert start_again()
    count()
    assert daily(owner, template) == [(day(3), 1)]
    body = read(owner, template)
    assert (body["active_user_count"], body["workspace_owner_count"]) == (1, 1)
    assert body["build_time_stats"]["start"]["P50"] is not None
    assert JobTime.objects.filter(kind="start").count() == 1


def test_insights_are_calculated_a_while_after_the_last(agent, workspace, template):
    count()
    assert Insights.objects.filter(template=template).count() == 3
    calculated = Insights.objects.filter(template=template).first().calculated_at
    report(workspace, noon())
    count()
    assert Insights.objects.filter(template=template).first().calculated_at == calculated
    StatisticsProgress.objects.update(insights_at=database_time() - timedelta(seconds=21), insights_ms=0)
    count()
    assert Insights.objects.filter(template=template).first().calculated_at > calculated
    assert not TemplateStatistics.objects.filter(insights_are_stale=True).exists()


# ---------------------------------------------------------------------- retention
def test_old_days_are_deleted(agent, workspace, template, settings, monkeypatch):
    monkeypatch.setattr(counting, "BATCH", 2)
    settings.STATISTICS_DAYS = 10
    count()
    old = progress.first_day(database_time(), 10)
    for days in range(-3, 3):
        moment = old + days * DAY
        DailyUser.objects.create(template=template, day=moment, user=workspace.owner)
        DailyCount.objects.create(template=template, day=moment, users=1)
    JobTime.objects.update(completed_at=old - timedelta(seconds=1))
    StatisticsProgress.objects.update(counted_on=None)
    count()
    assert sorted(DailyUser.objects.values_list("day", flat=True)) == [old + days * DAY for days in range(3)]
    assert DailyCount.objects.filter(template=template).order_by("day").first().day == old
    assert not JobTime.objects.exists()


def test_without_rows_of_users(program, agent, workspace, owner, template, settings):
    """STATISTICS_PER_USER: reports still count as use, and nothing tells who was active."""
    program.report()
    count()
    settings.STATISTICS_PER_USER = False
    assert count() > 0
    assert not AgentStatistic.objects.exists()
    assert not DailyUser.objects.exists()
    Workspace.objects.update(last_used_at=database_time() - timedelta(minutes=1))
    assert program.report().status_code == 200
    used = Workspace.objects.get().last_used_at
    assert database_time() - used < timedelta(seconds=30)
    assert program.report().status_code == 200  # within the interval
    assert Workspace.objects.get().last_used_at == used
    assert not AgentStatistic.objects.exists()
    start_again()
    count()
    body = read(owner, template)
    assert (body["active_user_count"], body["workspace_owner_count"]) == (-1, 1)


def test_build_times_are_written_as_the_api_writes_them(agent, template):
    count()
    text = TemplateStatistics.objects.get().build_times
    assert json.dumps(json.loads(text), separators=(",", ":")) == text
    assert list(json.loads(text)) == ["start", "stop", "delete"]
