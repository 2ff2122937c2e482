"""Statistics that workers keep: daily users, active users, owners and build times, as the API shows them."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, connections
from django.db.models import F

from coderproj.database.clock import database_time
from provisioning.models import ProvisionerJob, WorkspaceAgent
from templates_app.agents.models import AgentStatistic
from templates_app.agents.services.refreshing import refresh, start_again
from templates_app.agents.tasks import PERIODIC_TASKS
from templates_app.models import (
    AgentTime,
    DailyCount,
    DailyUser,
    Insights,
    JobTime,
    StatisticsProgress,
    TemplateStatistics,
)
from templates_app.statistics import counting, progress
from templates_app.workspaces.models import Workspace
from tests.api import ApiClient
from tests.factories import finish, make_job, make_template, make_user, make_version, make_workspace
from tests.templates_app.workspaces.lives import build, finish_build

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)


def count() -> int:
    return refresh(lambda: False)


def noon(days_ago: int = 0) -> datetime:
    """Return noon of an earlier day, or a moment before now: passes look at the last minutes of the day only."""
    now = database_time().astimezone(UTC)
    if not days_ago:
        return now - timedelta(seconds=1)
    return now.replace(hour=12, minute=0, second=0, microsecond=0) - days_ago * DAY


def report(workspace: Workspace, created_at: datetime) -> AgentStatistic:
    """Store a report of traffic of the workspace."""
    agent = WorkspaceAgent.objects.filter(resource__job__workspace_build__workspace=workspace).first()
    return AgentStatistic.objects.create(
        created_at=created_at,
        agent=agent or WorkspaceAgent.objects.first(),
        workspace=workspace,
        template=workspace.template,
        user=workspace.owner,
        rx_bytes=1,
    )


def read(user, template) -> dict:
    return ApiClient(user).get(f"templates/{template.pk}").body


def daily(user, template=None) -> list[tuple[str, int]]:
    """Return the days of the API with their numbers of users."""
    path = f"templates/{template.pk}/daus" if template else "insights/daus"
    answer = ApiClient(user).get(path)
    assert answer.status_code == 200
    assert all(entry["date"].endswith("T00:00:00Z") for entry in answer.body["entries"])
    return [(entry["date"][:10], entry["amount"]) for entry in answer.body["entries"]]


def day(days_ago: int) -> str:
    return f"{database_time().astimezone(UTC) - days_ago * DAY:%Y-%m-%d}"


# ---------------------------------------------------------------------- users
def test_one_session(program, agent, owner, ada, template):
    """STA-03, T-22 and T-23: nothing before traffic; then one user today, in both lists."""
    assert read(owner, template)["active_user_count"] == -1
    assert (daily(owner, template), daily(owner)) == ([], [])
    count()
    assert read(owner, template)["active_user_count"] == 0
    assert (daily(owner, template), daily(owner)) == ([], [])
    program.report()
    count()
    assert read(owner, template)["active_user_count"] == 1
    assert daily(owner, template) == daily(owner) == [(day(0), 1)]


def test_gaps_are_filled(agent, workspace, owner, template):
    """STA-04: a hole between days; nothing before the first or after the last."""
    other = make_workspace(user=make_user("bob", organizations=(template.organization,)), template=template)
    for days_ago in (2, 5):
        report(workspace, noon(days_ago))
        report(workspace, noon(days_ago))
    report(other, noon(5))
    count()
    expected = [(day(5), 2), (day(4), 0), (day(3), 0), (day(2), 1)]
    assert daily(owner, template) == daily(owner) == expected
    assert read(owner, template)["active_user_count"] == 2


def test_traffic_across_midnight(agent, workspace, owner, template):
    """STA-12: two entries, by the day in UTC."""
    midnight = progress.midnight(database_time()) - DAY
    report(workspace, midnight - timedelta(seconds=1))
    report(workspace, midnight)
    count()
    assert daily(owner, template) == [(day(2), 1), (day(1), 1)]
    assert read(owner, template)["active_user_count"] == 1


def test_owners_are_counted_and_not_visitors(agent, workspace, owner, ada, template):
    """STA-13, W64: a report names the owner of the workspace, not the user who caused the traffic."""
    report(workspace, noon())
    count()
    assert DailyUser.objects.get().user == ada


def test_the_deployment_counts_a_user_once(agent, workspace, owner, ada, template, organization):
    other = make_template(user=owner, organization=organization, name="other")
    report(workspace, noon())
    report(make_workspace(user=ada, template=other), noon())
    count()
    assert daily(owner, template) == daily(owner, other) == daily(owner) == [(day(0), 1)]


def test_days_leave_the_window(agent, workspace, owner, template):
    """Only the last 30 days count, today included, and no entry without users comes first."""
    report(workspace, noon(29))
    report(workspace, noon(25))
    count()
    assert len(daily(owner, template)) == 5
    assert read(owner, template)["active_user_count"] == 1
    for days in (100, -99):  # in two steps, because days are unique
        DailyCount.objects.update(day=F("day") - days * DAY)
    DailyUser.objects.update(day=F("day") - DAY)
    assert daily(owner, template) == [(day(26), 1)]
    StatisticsProgress.objects.update(counted_on=None)
    DailyUser.objects.filter(day__lt=database_time() - 28 * DAY).delete()
    DailyUser.objects.update(day=F("day") - 10 * DAY)
    count()
    assert read(owner, template)["active_user_count"] == 0


def test_members_may_not_read_the_deployment(agent, ada, owner):
    """STA-10."""
    assert ApiClient(ada).get("insights/daus").status_code == 403
    assert ApiClient(make_user(site_roles=("template-admin",))).get("insights/daus").status_code == 403
    assert ApiClient(owner).get("insights/daus").status_code == 200


def test_daily_users_need_the_template(agent, template, organization):
    other = make_template(user=template.created_by, organization=organization, everyone=False)
    ada = make_user(organizations=(organization,))
    assert ApiClient(ada).get(f"templates/{template.pk}/daus").status_code == 200
    assert ApiClient(ada).get(f"templates/{other.pk}/daus").status_code == 404


def test_templates_with_most_users_come_first(agent, workspace, owner, template, organization):
    """Ruling 32."""
    for name in ("another", "zoo"):
        make_template(user=owner, organization=organization, name=name)
    report(workspace, noon())
    count()
    names = [row["name"] for row in ApiClient(owner).get(f"organizations/{organization.pk}/templates").body]
    assert names == ["web", "another", "zoo"]


def test_a_late_report_counts(agent, workspace, owner, template):
    """A transaction that is older than the last pass, and ends after it."""
    count()
    report(workspace, database_time() - timedelta(minutes=1))
    count()
    assert DailyCount.objects.filter(template=template).count() == 1


def test_the_clock_is_set_back(agent, workspace, owner, template):
    count()
    StatisticsProgress.objects.update(until=database_time() + timedelta(hours=3))
    report(workspace, database_time() - timedelta(seconds=1))
    count()
    assert daily(owner, template)
    assert StatisticsProgress.objects.get().until <= database_time()


# ---------------------------------------------------------------------- owners
def test_owners_of_workspaces(agent, workspace, owner, ada, template, organization):
    """Owners with an existing workspace, at once after its creation; deleted workspaces do not count."""
    count()
    assert read(owner, template)["workspace_owner_count"] == 1
    make_workspace(user=ada, template=template)
    bob = make_user("bob", organizations=(organization,))
    pending = make_workspace(user=bob, template=template, finished=False)
    count()
    assert read(owner, template)["workspace_owner_count"] == 2
    finish(pending.latest_build.job)
    build(bob, pending, "delete")
    finish_build()
    count()
    assert read(owner, template)["workspace_owner_count"] == 1


# ---------------------------------------------------------------------- build times
def put(job: ProvisionerJob, *, ms: int, days_ago: int = 0) -> None:
    started_at = noon(days_ago) - timedelta(milliseconds=ms)
    ProvisionerJob.objects.filter(pk=job.pk).update(
        started_at=started_at, completed_at=started_at + timedelta(milliseconds=ms)
    )


def test_build_times_are_measured_ones(agent, workspace, owner, ada, template):
    """Ruling 8: discrete percentiles of the last 30 days, of builds that succeeded; milliseconds in both spellings."""
    put(workspace.latest_build.job, ms=10)
    for ms, error in ((20, ""), (50, ""), (9000, "broken")):
        build(ada, workspace, "start")
        put(finish_build(error=error).job, ms=ms)
    build(ada, workspace, "start")
    put(finish_build().job, ms=7000, days_ago=30)
    build(ada, workspace, "stop")
    put(finish_build().job, ms=0)
    count()
    stats = read(owner, template)["build_time_stats"]
    assert stats["start"] == {"p50": 20, "p95": 50, "P50": 20, "P95": 50}
    assert stats["stop"] == stats["delete"] == {"p50": 0, "p95": 0, "P50": None, "P95": None}
    listed = ApiClient(owner).get(f"organizations/{template.organization_id}/templates").body
    assert listed[0]["build_time_stats"] == stats


def test_a_new_build_changes_the_times(agent, workspace, owner, ada, template):
    count()
    build(ada, workspace, "stop")
    put(finish_build().job, ms=1234)
    count()
    assert read(owner, template)["build_time_stats"]["stop"]["P50"] == 1234


def test_an_import_counts_once_its_version_has_a_template(owner, organization, agent, template):
    version = make_version(user=owner, organization=organization)
    count()
    assert JobTime.objects.get(version=version).template is None
    type(version).objects.filter(pk=version.pk).update(template=template)
    count()
    assert JobTime.objects.get(version=version).template == template


def test_dry_runs_with_odd_inputs(owner, organization, template):
    for named in (str(template.active_version_id), "no version", "", None, "x" * 36):
        job = make_job(user=owner, organization=organization, job_input={"template_version_id": named})
        finish(job)
    count()
    assert JobTime.objects.filter(kind="dry_run").count() == 1


def test_agents_are_ready_once(program, agent, template):
    """The first time counts."""
    ProvisionerJob.objects.filter(resources__agents=agent).update(completed_at=database_time() - timedelta(seconds=30))
    for state in ("starting", "ready", "starting", "ready"):
        assert program.post("workspaceagents/me/report-lifecycle", {"state": state}).status_code == 204
    row = AgentTime.objects.get()
    assert (row.agent, row.template) == (agent, template)
    assert 30_000 <= row.ready_ms < 60_000


def test_a_time_that_becomes_visible_late_counts(agent, workspace, template, organization):
    settle()
    StatisticsProgress.objects.update(until=database_time(), insights_at=None)
    AgentTime.objects.create(
        agent=agent,
        template=template,
        organization=organization,
        ready_at=database_time() - timedelta(seconds=10),
        ready_ms=7,
    )
    count()
    (figures,) = Insights.objects.filter(template=template, days=30).values_list("figures", flat=True)
    assert figures["ready"]["count"] == 1


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


def settle() -> None:
    """Count, as if the last pass had been a while ago."""
    refresh(lambda: False, calculate=True)
    StatisticsProgress.objects.update(until=database_time() + timedelta(hours=1))


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
