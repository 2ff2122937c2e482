"""Figures about one template's jobs."""

from datetime import UTC, datetime, timedelta

import pytest

from provisioning.engine.base import LogLevel, PlanResult
from provisioning.log import writing
from provisioning.models import ProvisionerJob, ProvisionerJobLog
from provisioning.queue import jobs
from templates_app.statistics.insights import insights_of
from tests.factories import finish, make_job, make_template, make_version
from tests.pages import browser, text_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def web(owner, organization):
    return make_template(user=owner, organization=organization, name="web")


def run(owner, version, *, waited=2.0, ran=10.0, error=None, age=timedelta(0)):
    """A finished dry run."""
    job = make_job(user=owner, organization=version.organization, job_input={"template_version_id": str(version.pk)})
    finish(job, result=PlanResult(), error=error)
    start = datetime.now(UTC) - age - timedelta(minutes=5)
    ProvisionerJob.objects.filter(pk=job.pk).update(
        created_at=start,
        started_at=start + timedelta(seconds=waited),
        completed_at=start + timedelta(seconds=waited + ran),
    )
    return job


def test_runs_are_counted_by_outcome(owner, organization, web):
    other = make_template(user=owner, organization=organization, name="other")
    run(owner, other.active_version)
    for seconds in (10, 20, 30):
        run(owner, web.active_version, ran=seconds, waited=4)
    run(owner, web.active_version, error="no such image\nat line 4")
    run(owner, web.active_version, age=timedelta(days=31))
    make_job(user=owner, organization=organization, job_input={"template_version_id": str(web.active_version_id)})
    runs = insights_of(web.pk).runs
    assert (runs.succeeded, runs.failed, runs.canceled, runs.active, runs.count) == (3, 1, 0, 1, 5)
    assert runs.success_rate == 75
    assert (runs.waited_p50, runs.ran_p50, runs.ran_p95) == (4, 20, 29)


def test_imports_and_errors_are_counted(owner, organization, web):
    make_version(user=owner, organization=organization, template=web, error="missing parameter: a\nmore")
    make_version(user=owner, organization=organization, template=web, error="missing parameter: a")
    run(owner, web.active_version, error="other")
    make_version(user=owner, organization=organization, template=web, finished=False)
    jobs.cancel(make_version(user=owner, organization=organization, template=web, finished=False).job_id)
    found = insights_of(web.pk)
    assert (found.imports.succeeded, found.imports.failed) == (1, 2)
    assert (found.imports.finished, found.imports.count) == (3, 5)
    assert "33% 2 of 3 failed" in text_of(browser(owner).get("/templates/acme/web/insights"))
    assert "2 of 3 failed" in text_of(browser(owner).get("/insights"))
    assert [(error.text, error.count) for error in found.errors] == [("missing parameter: a", 2), ("other", 1)]


def test_runs_by_version_most_used_first(owner, organization, web):
    second = make_version(user=owner, organization=organization, template=web, name="second")
    run(owner, web.active_version, ran=5)
    for _ in range(2):
        run(owner, second, error="no")
    found = insights_of(web.pk).versions
    assert [(row.version, row.count, row.success_rate, row.p50) for row in found] == [
        ("second", 2, 0, None),
        (web.active_version.name, 1, 100, 5),
    ]


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
    found = insights_of(web.pk).stages
    assert [(stage.name, stage.p50, round(stage.share)) for stage in found] == [
        ("Planning", 7, 100),
        ("Cleaning up", 2, 29),
        ("Setting up", 1, 14),
    ]


def test_the_page_of_a_template_without_jobs(owner, web):
    text = text_of(browser(owner).get("/templates/acme/web/insights"))
    assert "No workspace has been built yet" in text
    assert "no run has ended" in text
    assert "No version has been tried yet" in text
    assert "Nothing failed in the last 30 days" in text


def test_the_page_shows_the_figures(owner, web):
    run(owner, web.active_version)
    run(owner, web.active_version, error="<b>bad</b>")
    writing.note(run(owner, web.active_version), LogLevel.INFO, "hello")
    answer = browser(owner).get("/templates/acme/web/insights")
    assert "67% 1 failed, 0 canceled" in text_of(answer)
    assert "&lt;b&gt;bad&lt;/b&gt;" in answer.content.decode()
