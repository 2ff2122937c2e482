"""Figures about the usage of templates."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.cache import cache
from django.db.models import F

from provisioning.models import ProvisionerJob
from templates_app.agents.services.refreshing import refresh
from templates_app.job_kinds import JobType
from templates_app.models import DailyRuns, JobTime, StatisticsProgress, TemplateStatistics, TemplateVersion
from templates_app.statistics import usage
from templates_app.workspaces.job_kinds import BUILD_TYPE
from tests.factories import make_organization, make_template, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def template():
    organization = make_organization()
    return make_template(user=make_user(organizations=(organization,)), organization=organization)


def run(version: TemplateVersion, user=None, *, days_ago=0, seconds=10.0, job_type=JobType.DRY_RUN, **fields) -> None:
    """A dry run of a version with this duration, started at noon ``days_ago`` days ago."""
    noon = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days_ago)
    job = ProvisionerJob.objects.create(
        type=job_type,
        organization=version.organization,
        initiator=user or version.created_by,
        input={"template_version_id": str(version.pk)},
        started_at=noon,
        completed_at=noon + timedelta(seconds=seconds),
        **fields,
    )
    ProvisionerJob.objects.filter(pk=job.pk).update(created_at=noon)


def usage_of(template) -> usage.Usage:
    return usage.usage_of([template.pk])[template.pk]


def test_a_template_without_runs_has_no_users(template):
    use = usage_of(template)
    assert use.daily_users == [0] * usage.DAYS
    assert (use.users_today, use.run_times) == (0, usage.RunTimes())


def test_users_are_counted_once_a_day_over_all_versions(template):
    version = template.active_version
    run(version)
    run(version)
    run(version, make_user())
    run(version, days_ago=3)
    run(version, days_ago=usage.DAYS)  # too long ago
    use = usage_of(template)
    assert use.users_today == 2
    assert use.daily_users[-4] == 1
    assert sum(use.daily_users) == 3


def test_builds_and_dry_runs_count_and_imports_do_not(template):
    run(template.active_version, job_type=BUILD_TYPE)
    run(template.active_version, job_type=JobType.IMPORT)
    assert usage_of(template).run_times.count == 1


def test_percentiles_are_of_successful_runs(template):
    for seconds in range(1, 21):
        run(template.active_version, seconds=seconds)
    run(template.active_version, seconds=1000, error="broken")
    run(template.active_version, seconds=1000, canceled_at=datetime.now(UTC))
    times = usage_of(template).run_times
    assert (times.p50, times.count) == (10.5, 20)
    assert times.p95 == pytest.approx(19.05)


def test_figures_of_templates_are_separate(template):
    other = make_template(user=template.created_by, organization=template.organization)
    run(template.active_version)
    found = usage.usage_of([template.pk, other.pk])
    assert found[template.pk].users_today == 1
    assert found[other.pk].users_today == 0


def test_run_times_by_day(template):
    run(template.active_version, seconds=4)
    run(template.active_version, days_ago=2, seconds=8)
    daily = usage_of(template).daily_run_times
    assert len(daily) == len(usage.last_days()) == usage.DAYS
    assert [(day.p50, day.count) for day in daily[-3:]] == [(8, 1), (None, 0), (4, 1)]


def test_a_summary_has_the_same_figures(template):
    other = make_template(user=template.created_by, organization=template.organization)
    idle = make_template(user=template.created_by, organization=template.organization)
    second = make_user()
    for days_ago, seconds in ((0, 4), (0, 9), (2, 8), (usage.DAYS - 1, 3), (usage.DAYS, 5)):
        run(template.active_version, days_ago=days_ago, seconds=seconds)
        run(template.active_version, second, days_ago=days_ago, seconds=seconds + 0.25)
    run(template.active_version, seconds=1000, error="broken")
    run(other.active_version, days_ago=1, seconds=1000, canceled_at=datetime.now(UTC))
    templates = [template.pk, other.pk, idle.pk]
    whole, short = usage.usage_of(templates), usage.summaries_of(templates)
    assert list(short) == templates
    for pk in templates:
        assert short[pk].daily_users == whole[pk].daily_users
        assert short[pk].run_times == whole[pk].run_times
        assert short[pk].users_today == whole[pk].users_today
    assert (short[template.pk].daily_users[0], short[template.pk].run_times.count) == (2, 8)
    assert (sum(short[other.pk].daily_users), short[other.pk].run_times) == (1, usage.RunTimes())
    assert (sum(short[idle.pk].daily_users), short[idle.pk].run_times) == (0, usage.RunTimes())


def test_summaries_are_cached_for_a_while(template, monkeypatch, django_assert_num_queries):
    monkeypatch.setattr(usage, "CACHE_SECONDS", 60)
    run(template.active_version)
    assert usage.summaries_of([template.pk])[template.pk].users_today == 1
    run(template.active_version, make_user())
    with django_assert_num_queries(0):
        assert usage.summaries_of([template.pk])[template.pk].users_today == 1
    other = make_template(user=template.created_by, organization=template.organization)
    assert usage.summaries_of([template.pk, other.pk])[template.pk].users_today == 2


def test_runs_without_a_version_are_not_counted(template):
    run(template.active_version)
    ProvisionerJob.objects.update(input={"template_version_id": "no version"})
    assert usage_of(template).users_today == 0
    assert usage.summaries_of([template.pk])[template.pk].users_today == 0


def test_the_number_of_queries_is_independent_of_the_templates(template, django_assert_num_queries):
    """One about what workers have counted, and one about the jobs of all other templates."""
    others = [make_template(user=template.created_by, organization=template.organization) for _ in range(2)]
    every = [template.pk, *(other.pk for other in others)]
    for read in (usage.usage_of, usage.summaries_of):
        with django_assert_num_queries(2):
            read(every)
    refresh(lambda: False)
    cache.clear()
    for read in (usage.usage_of, usage.summaries_of):
        with django_assert_num_queries(1):
            read(every)


# ---------------------------------------------------------------------- what workers count
def test_counted_figures_are_those_of_the_jobs(template):
    """Of two templates, with failures, several users and days, and an import that does not count."""
    other = make_template(user=template.created_by, organization=template.organization)
    second = make_user()
    for days_ago, seconds in ((0, 0.25), (2, 8), (usage.DAYS - 1, 3), (usage.DAYS, 5)):
        run(template.active_version, days_ago=days_ago, seconds=seconds)
        run(template.active_version, second, days_ago=days_ago, seconds=seconds + 0.5)
    run(template.active_version, make_user(), days_ago=2, seconds=1000, error="broken")
    run(other.active_version, days_ago=1, seconds=1000, canceled_at=datetime.now(UTC))
    templates = [template.pk, other.pk]
    live, short = usage.usage_of(templates), usage.summaries_of(templates)
    refresh(lambda: False)
    cache.clear()
    assert not TemplateStatistics.objects.filter(runs=None).exists()
    assert usage.usage_of(templates) == live
    counted = usage.summaries_of(templates)
    assert [(counted[pk].daily_users, counted[pk].run_times) for pk in templates] == [
        (short[pk].daily_users, short[pk].run_times) for pk in templates
    ]
    assert (live[template.pk].daily_users[-3], live[template.pk].run_times.count) == (3, 6)


def test_new_runs_are_counted_by_the_next_pass(template):
    run(template.active_version, days_ago=3, seconds=4)
    refresh(lambda: False)
    run(template.active_version, make_user(), seconds=0.5)
    assert usage_of(template).users_today == 0
    StatisticsProgress.objects.update(until=F("until") - timedelta(days=1))
    refresh(lambda: False)
    found = usage_of(template)
    assert (found.users_today, found.run_times.count) == (1, 2)
    assert [day.count for day in found.daily_run_times[-4:]] == [1, 0, 0, 1]


def test_a_range_of_days_moves_with_midnight(template):
    """Every template is counted on a new day, so a run that is too old leaves the times."""
    run(template.active_version, days_ago=1, seconds=4)
    refresh(lambda: False)
    DailyRuns.objects.update(day=F("day") - timedelta(days=usage.DAYS))
    JobTime.objects.update(completed_at=F("completed_at") - timedelta(days=usage.DAYS))
    StatisticsProgress.objects.update(counted_on=None)
    refresh(lambda: False)
    assert usage_of(template).run_times == usage.RunTimes()
    assert sum(usage_of(template).daily_users) == 0
