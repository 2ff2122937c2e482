"""Insights of a template: calculated from what workers counted, and shown on its page."""

import csv
import io
from datetime import UTC, datetime, timedelta

import pytest

from provisioning.engine.base import LogLevel, PlanResult
from provisioning.log import writing
from provisioning.models import ProvisionerJob, ProvisionerJobLog
from provisioning.queue import jobs
from templates_app.agents.services.refreshing import refresh
from templates_app.models import AgentTime, Insights, StatisticsProgress, TemplateStatistics
from templates_app.models import RichParameter as StoredParameter
from templates_app.statistics import calculating, insights
from templates_app.statistics.figures import Figures
from templates_app.workspaces.services.values import NamedValue
from tests.factories import (
    finish,
    make_job,
    make_organization,
    make_template,
    make_user,
    make_version,
    make_workspace,
)
from tests.pages import browser, text_of

pytestmark = pytest.mark.django_db
PAGE = "/templates/acme/web/insights"


@pytest.fixture
def web(owner, organization):
    return make_template(user=owner, organization=organization, name="web")


def insights_of(template, days=30) -> Figures:
    refresh(lambda: False, calculate=True)
    found = insights.of_template(template.pk, days)
    assert found is not None
    return found.figures


def put(job: ProvisionerJob, *, waited=2.0, ran=10.0, age=timedelta(0)) -> ProvisionerJob:
    """Move a job that has ended; durations in seconds."""
    start = datetime.now(UTC) - age - timedelta(minutes=1)
    ProvisionerJob.objects.filter(pk=job.pk).update(
        created_at=start - timedelta(seconds=waited + ran),
        started_at=start - timedelta(seconds=ran),
        completed_at=start,
    )
    return job


def run(owner, version, *, error=None, **times) -> ProvisionerJob:
    """A dry run that has ended."""
    job = make_job(user=owner, organization=version.organization, job_input={"template_version_id": str(version.pk)})
    finish(job, result=PlanResult(), error=error)
    return put(job, **times)


def start(owner, template, **times):
    """A new workspace whose first build has ended."""
    workspace = make_workspace(user=owner, template=template)
    put(workspace.latest_build.job, **times)
    return workspace


# ---------------------------------------------------------------------- figures
def test_jobs_are_counted_by_kind_and_outcome(owner, organization, web):
    other = make_template(user=owner, organization=organization, name="other")
    start(owner, other)
    for seconds in (10, 20, 30):
        start(owner, web, ran=seconds, waited=4)
    run(owner, web.active_version, ran=99)
    run(owner, web.active_version, error="no such image\nat line 4")
    run(owner, web.active_version, age=timedelta(days=31))
    make_job(user=owner, organization=organization, job_input={"template_version_id": str(web.active_version_id)})
    found = insights_of(web)
    starts, dry_runs = found.kinds["start"], found.kinds["dry_run"]
    assert (starts.succeeded, starts.failed, starts.p50, starts.p95, starts.waited_p50) == (3, 0, 20, 30, 4)
    assert (dry_runs.succeeded, dry_runs.failed, dry_runs.success_rate, dry_runs.p50) == (1, 1, 50, 99)
    assert (found.runs.count, found.runs.p50, found.builds.count, found.builds.success_rate) == (5, 20, 3, 100)
    assert insights_of(web, 90).runs.count == 6


@pytest.mark.parametrize(("days", "count"), [(7, 1), (30, 2), (90, 3)])
def test_ranges(owner, web, days, count):
    """The first day of a range counts, the day before does not."""
    for age in (0, 29, 89, 90):
        run(owner, web.active_version, age=timedelta(days=age))
    found = insights_of(web, days)
    assert found.runs.count == count
    assert len(found.days) == days
    assert sum(day.jobs.count for day in found.days) == count
    assert found.days[-1].day == max(day.day for day in found.days)


def test_imports_and_errors_are_counted(owner, organization, web):
    make_version(user=owner, organization=organization, template=web, error="missing parameter: a\nmore")
    make_version(user=owner, organization=organization, template=web, error="missing parameter: a")
    run(owner, web.active_version, error="other")
    make_version(user=owner, organization=organization, template=web, finished=False)
    jobs.cancel(make_version(user=owner, organization=organization, template=web, finished=False).job_id)
    found = insights_of(web)
    imports = found.kinds["import"]
    assert (imports.succeeded, imports.failed, imports.canceled, imports.finished) == (1, 2, 1, 3)
    assert [(error.text, error.count) for error in found.errors] == [("missing parameter: a", 2), ("other", 1)]
    assert "33% 2 of 3 failed" in text_of(browser(owner).get(PAGE))
    assert "2 of 3 failed" in text_of(browser(owner).get("/insights"))


def test_versions_most_used_first(owner, organization, web):
    second = make_version(user=owner, organization=organization, template=web, name="second")
    run(owner, web.active_version, ran=5)
    for _ in range(2):
        run(owner, second, error="no")
    found = [(row.name, row.jobs.count, row.jobs.success_rate, row.jobs.p50) for row in insights_of(web).versions]
    assert found == [("second", 2, 0, None), (web.active_version.name, 1, 100, 5)]


def test_a_stage_lasts_until_the_next_one_starts(owner, web):
    job = run(owner, web.active_version, waited=0, ran=10)
    job.refresh_from_db()
    for number, (stage, after) in enumerate(
        (("Setting up", 0), ("Planning", 1), ("Planning", 4), ("Cleaning up", 8)), 1
    ):
        ProvisionerJobLog.objects.create(
            job_id=job.pk,
            id=number,
            stage=stage,
            created_at=job.started_at + timedelta(seconds=after),
            source="provisioner",
            level=LogLevel.INFO,
            output="",
        )
    found = [(stage.name, stage.p50, round(stage.share)) for stage in insights_of(web).stages]
    assert found == [("Planning", 7, 100), ("Cleaning up", 2, 29), ("Setting up", 1, 14)]


def test_times_to_ready(owner, web):
    workspace = start(owner, web)
    job = workspace.latest_build.job
    for number, ms in enumerate((1000, 3000, 9000)):
        resource = job.resources.create(workspace_transition="start", type="vm", name=f"dev-{number}")
        agent = resource.agents.create(name="main", architecture="amd64", operating_system="linux")
        AgentTime.objects.create(
            agent=agent,
            template=web,
            organization_id=web.organization_id,
            ready_at=datetime.now(UTC) - timedelta(days=10),
            ready_ms=ms,
        )
    found = insights_of(web)
    assert (found.ready.count, found.ready.p50, found.ready.p95) == (3, 3, 9)
    assert insights_of(web, 7).ready.count == 0


def test_values_of_parameters(owner, organization, web):
    """Of existing workspaces. What users typed is only counted."""
    member = make_user(organizations=(organization,))
    for index, (name, options) in enumerate((("region", ["eu", "us"]), ("dotfiles", []))):
        StoredParameter.objects.create(
            template_version=web.active_version,
            index=index,
            name=name,
            type="string",
            options=[{"name": value, "description": "", "value": value, "icon": ""} for value in options],
            default_value="eu" if options else "",
            mutable=True,
        )
    for number, region in enumerate(("eu", "eu", "us", "us", "us")):
        workspace = make_workspace(
            user=member,
            template=web,
            rich_values=[NamedValue("region", region), NamedValue("dotfiles", f"=cmd|{number % 2}")],
        )
        if number == 4:
            type(workspace).objects.filter(pk=workspace.pk).update(deleted=True)
    dotfiles, region = insights_of(web).parameters
    assert [(value.value, value.workspaces, value.share) for value in region.values] == [("eu", 2, 50), ("us", 2, 50)]
    assert (dotfiles.name, dotfiles.values, dotfiles.workspaces, dotfiles.different) == ("dotfiles", [], 4, 2)
    text = text_of(browser(owner).get(PAGE))
    assert "dotfiles 2 different values" in text
    assert "cmd|" not in text


def test_values_that_are_no_options_are_only_counted(web, organization):
    """They are those of an earlier version, in which users typed them."""
    StoredParameter.objects.create(
        template_version=web.active_version, index=0, name="region", type="string", default_value="eu", mutable=True
    )
    for value in ("my secret", "eu"):
        make_workspace(
            user=make_user(organizations=(organization,)), template=web, rich_values=[NamedValue("region", value)]
        )
    option = {"name": "Europe", "description": "", "value": "eu", "icon": ""}
    StoredParameter.objects.update(options=[option])
    (region,) = insights_of(web).parameters
    assert [(value.value, value.workspaces) for value in region.values] == [("eu", 1)]
    assert region.workspaces == 2


def test_a_pass_that_ends_early_leaves_the_rest_to_the_next(owner, web, organization):
    """Of two organizations: the insights of the deployment are those of neither."""
    make_organization("other")
    start(owner, web)
    answers = iter([False, True])
    refresh(lambda: False)
    Insights.objects.all().delete()
    TemplateStatistics.objects.update(insights_are_stale=True)
    StatisticsProgress.objects.update(insights_at=None)
    assert calculating.refresh(lambda: next(answers, True)) == 1
    assert not Insights.objects.exclude(template=web).exists()
    assert Insights.objects.count() == 3
    assert StatisticsProgress.objects.get().insights_at is None
    assert calculating.refresh(lambda: False) == 2
    assert Insights.objects.filter(organization=organization).count() == 3
    assert Insights.objects.filter(template=None, organization=None).count() == 3
    assert calculating.refresh(lambda: False, is_due=True) == 0


def test_a_pass_begins_no_template_after_its_time(owner, organization, web, monkeypatch):
    other = make_template(user=owner, organization=organization, name="other")
    for template in (web, other):
        start(owner, template)
    refresh(lambda: False)
    TemplateStatistics.objects.update(insights_are_stale=True)
    StatisticsProgress.objects.update(insights_at=None)
    monkeypatch.setattr(calculating, "MOST_SECONDS", 0.0)
    assert calculating.refresh(lambda: False) == 0
    assert calculating.refresh(lambda: False, is_due=True) == 3


def test_active_users(owner, web):
    from templates_app.models import DailyCount, DailyUser

    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for days, users in ((1, [owner]), (20, [owner, make_user()])):
        for user in users:
            DailyUser.objects.create(template=web, day=today - timedelta(days=days), user=user)
        DailyCount.objects.create(template=web, day=today - timedelta(days=days), users=len(users))
    found = insights_of(web)
    assert (found.users, found.busiest, insights_of(web, 7).users) == (2, 2, 1)
    assert [day.users for day in found.days][-22:] == [0, 2, *[0] * 18, 1, 0]


# ---------------------------------------------------------------------- the page
def test_the_page_before_a_worker_has_counted(owner, web):
    assert not Insights.objects.exists()
    assert "Nothing has been counted yet" in text_of(browser(owner).get(PAGE))
    assert browser(owner).get(f"{PAGE}?csv=days").status_code == 404


def test_the_page_of_a_template_without_jobs(owner, web):
    ProvisionerJob.objects.update(completed_at=datetime.now(UTC) - timedelta(days=80))
    refresh(lambda: False, calculate=True)
    text = text_of(browser(owner).get(PAGE))
    for part in ("no build has ended", "No version has been built or tried", "Nothing failed in the last 30 days"):
        assert part in text
    assert "No job has ended in the last 30 days" in text


def test_the_page_shows_the_figures(owner, web):
    run(owner, web.active_version)
    run(owner, web.active_version, error="<b>bad</b>")
    writing.note(run(owner, web.active_version), LogLevel.INFO, "hello")
    start(owner, web)
    refresh(lambda: False, calculate=True)
    answer = browser(owner).get(PAGE)
    assert "Success of builds 100% 0 of 1 failed" in text_of(answer)
    assert "Dry runs 3 67% 1" in text_of(answer)
    assert "&lt;b&gt;bad&lt;/b&gt;" in answer.content.decode()
    assert answer.content.decode().count('<svg class="chart"') == 3  # no traffic


@pytest.mark.parametrize(("days", "shown"), [("7", 7), ("90", 90), ("8", 30), ("x", 30), ("-7", 30), ("", 30)])
def test_the_range_is_in_the_address(owner, web, days, shown):
    refresh(lambda: False, calculate=True)
    page = browser(owner).get(f"{PAGE}?days={days}").content.decode()
    assert f'<a href="?days={shown}" aria-current="true">' in page


# ---------------------------------------------------------------------- CSV
def rows_of(answer) -> list[list[str]]:
    assert answer.status_code == 200
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    text = answer.content.decode("utf-8-sig")
    return list(csv.reader(io.StringIO(text)))


def test_days_as_csv(owner, web):
    run(owner, web.active_version, ran=12.5, age=timedelta(days=1))
    refresh(lambda: False, calculate=True)
    answer = browser(owner).get(f"{PAGE}?days=7&csv=days")
    heading, *rows = rows_of(answer)
    assert answer["Content-Disposition"] == 'attachment; filename="web-days-7-days.csv"'
    assert heading[:5] == ["day", "active users", "succeeded", "failed", "canceled"]
    assert len(rows) == 7
    assert rows[-2][1:] == ["0", "1", "0", "0", "12.5", "12.5", "2.0", "2.0"]
    assert rows[-1][1:] == ["0", "0", "0", "0", "", "", "", ""]


@pytest.mark.parametrize("value", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", 'a"b', "a,b", "plain"])
def test_formulas_are_texts(value):
    from coderproj.console.csv_files import csv_file

    ((_, cell, number),) = rows_of(csv_file("x", ["a"], [(1, value, -2)]))[1:]
    assert cell == (value if value in {'a"b', "a,b", "plain"} else f"'{value}")
    assert number == "-2"


@pytest.mark.parametrize("table", ["days", "kinds", "versions", "parameters", "stages"])
def test_every_table_is_offered_as_csv(owner, web, table):
    run(owner, web.active_version)
    refresh(lambda: False, calculate=True)
    assert f"?days=30&amp;csv={table}" in browser(owner).get(PAGE).content.decode()
    assert rows_of(browser(owner).get(f"{PAGE}?csv={table}"))
    assert browser(owner).get(f"{PAGE}?csv=nothing").status_code == 404
