"""Statistics that workers keep: daily users, active users, owners and build times, as the API shows them."""

from datetime import timedelta

import pytest
from django.db.models import F

from coderproj.database.clock import database_time
from provisioning.models import ProvisionerJob
from templates_app.models import (
    AgentTime,
    DailyCount,
    DailyUser,
    Insights,
    JobTime,
    StatisticsProgress,
)
from templates_app.statistics import progress
from tests.api import ApiClient
from tests.factories import finish, make_job, make_template, make_user, make_version, make_workspace
from tests.templates_app.agents.refreshing import DAY, count, daily, day, noon, put, read, report, settle
from tests.templates_app.workspaces.lives import build, finish_build

pytestmark = pytest.mark.django_db


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
