"""Days of insights that are not calculated again."""

from datetime import date, timedelta

import pytest
from django.db import connection

from coderproj.database.clock import database_time
from coderproj.identity.models import Membership
from templates_app.agents.services.refreshing import refresh, start_again
from templates_app.models import Insights, JobTime, StatisticsProgress, Template, TemplateStatistics, TemplateVersion
from templates_app.statistics import insights, queries
from templates_app.statistics.figures import RANGES
from tests.factories import make_organization, make_template, make_workspace
from tests.templates_app.agents.refreshing import DAY, put

pytestmark = pytest.mark.django_db


@pytest.fixture
def web(owner, organization):
    return make_template(user=owner, organization=organization, name="web")


def start(owner, template, *, ms, days_ago):
    """A workspace whose start ended on an earlier day, counted by no pass yet."""
    workspace = make_workspace(user=owner, template=template)
    put(workspace.latest_build.job, ms=ms, days_ago=days_ago)


def calculated() -> dict[tuple[object, ...], object]:
    """Return the figures of all scopes and ranges."""
    rows = Insights.objects.values_list("template", "organization", "days", "figures")
    return {row[:3]: row[3] for row in rows}


def from_scratch() -> dict[tuple[object, ...], object]:
    """Return the figures as a first pass calculates them."""
    Insights.objects.all().delete()
    TemplateStatistics.objects.update(insights_are_stale=True)
    refresh(lambda: False, calculate=True)
    return calculated()


def days_of(template) -> dict[int, int]:
    """Return the days ago on which there were jobs, with their numbers."""
    found = insights.of_template(template.pk, max(RANGES))
    assert found is not None
    return {89 - place: day.jobs.count for place, day in enumerate(found.figures.days) if day.jobs.count}


def test_figures_are_those_of_a_calculation_from_scratch(owner, organization, web):
    """After passes on several days, with jobs of earlier days among the new ones."""
    elsewhere = make_organization("other")
    Membership.objects.create(organization=elsewhere, user=owner)
    other = make_template(user=owner, organization=elsewhere, name="other")
    for template, ms, days_ago in ((web, 1_000, 40), (web, 3_000, 2), (other, 5_000, 1)):
        start(owner, template, ms=ms, days_ago=days_ago)
    refresh(lambda: False, calculate=True)
    for template, ms, days_ago in ((web, 7_000, 0), (web, 9_000, 2), (other, 11_000, 40)):
        start(owner, template, ms=ms, days_ago=days_ago)
        StatisticsProgress.objects.update(until=database_time() - 41 * DAY)
        refresh(lambda: False, calculate=True)
    assert days_of(web) == {40: 1, 2: 2, 0: 1}
    assert days_of(other) == {40: 1, 1: 1}
    assert calculated() == from_scratch()


def test_unchanged_days_are_not_read_again(owner, web):
    start(owner, web, ms=1_000, days_ago=5)
    refresh(lambda: False, calculate=True)
    JobTime.objects.filter(kind="start").delete()
    TemplateStatistics.objects.update(insights_are_stale=True)
    refresh(lambda: False, calculate=True)
    assert days_of(web) == {5: 1}
    assert start_again()
    JobTime.objects.filter(kind="start").delete()
    StatisticsProgress.objects.update(until=database_time())
    refresh(lambda: False, calculate=True)
    assert days_of(web) == {}


def test_days_move_with_midnight(owner, web):
    """The last day of the stored insights had not ended when they were calculated."""
    start(owner, web, ms=1_000, days_ago=3)
    refresh(lambda: False, calculate=True)
    for row in Insights.objects.all():
        for day in row.figures["days"]:
            day["day"] = str(date.fromisoformat(day["day"]) - timedelta(days=2))
        row.save()
    JobTime.objects.filter(kind="start").delete()
    start(owner, web, ms=1_000, days_ago=2)
    StatisticsProgress.objects.update(until=database_time() - 2 * DAY - timedelta(hours=23))
    refresh(lambda: False, calculate=True)
    assert days_of(web) == {5: 1, 2: 1}


def test_days_without_rows_are_forgotten(owner, web, settings):
    start(owner, web, ms=1_000, days_ago=50)
    start(owner, web, ms=1_000, days_ago=3)
    refresh(lambda: False, calculate=True)
    assert days_of(web) == {50: 1, 3: 1}
    settings.STATISTICS_DAYS = 10
    StatisticsProgress.objects.update(counted_on=None)
    refresh(lambda: False, calculate=True)
    assert days_of(web) == {3: 1}


def test_insights_of_another_version_are_calculated_whole(owner, web):
    start(owner, web, ms=1_000, days_ago=5)
    refresh(lambda: False, calculate=True)
    Insights.objects.update(figures={"days": "none"})
    TemplateStatistics.objects.update(insights_are_stale=True)
    refresh(lambda: False, calculate=True)
    assert days_of(web) == {5: 1}


def test_jobs_of_a_version_count_when_a_template_is_made_of_it(owner, organization, web):
    """Also those that ended on days which the insights of the template have already."""
    start(owner, web, ms=1_000, days_ago=5)
    TemplateVersion.objects.filter(template=web).update(template=None)
    JobTime.objects.all().delete()
    refresh(lambda: False, calculate=True)
    JobTime.objects.filter(kind="start").update(template=None)
    Insights.objects.all().delete()
    TemplateStatistics.objects.update(insights_are_stale=True)
    refresh(lambda: False, calculate=True)
    assert days_of(web) == {}
    TemplateVersion.objects.filter(pk=Template.objects.get(pk=web.pk).active_version_id).update(template=web)
    refresh(lambda: False, calculate=True)
    assert days_of(web) == {5: 1}


def test_all_ranges_are_one_statement(django_assert_num_queries, owner, web):
    refresh(lambda: False, calculate=True)
    scope, now = queries.Scope("template", web.pk), database_time()
    with django_assert_num_queries(1), connection.cursor() as cursor:
        found = queries.of_ranges(cursor, queries.KINDS_SQL, scope, now)
    assert set(found) == set(RANGES)
