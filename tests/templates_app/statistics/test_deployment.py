"""The page of figures about all jobs."""

from datetime import timedelta

import pytest
from django.utils import timezone

from coderproj.identity.actor import Actor
from provisioning.models import ProvisionerJob
from templates_app.models import TemplateVersion
from templates_app.statistics import deployment
from tests.factories import finish, make_job, make_organization, make_template, make_user, make_version
from tests.pages import browser, text_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def web(owner, organization):
    return make_template(user=owner, organization=organization, name="web", display_name="Web machines")


def insights(user) -> deployment.DeploymentInsights:
    scope = deployment.scope_of(Actor.of(user))
    assert scope is not None
    return deployment.insights_of(scope)


def put(job: ProvisionerJob, *, ago: timedelta, waited: float = 1, ran: float = 10) -> None:
    """Move a finished job into the past; durations in seconds."""
    created_at = timezone.now() - ago
    started_at = created_at + timedelta(seconds=waited)
    ProvisionerJob.objects.filter(pk=job.pk).update(
        created_at=created_at, started_at=started_at, completed_at=started_at + timedelta(seconds=ran)
    )


def dry_run(user, template, **times) -> None:
    job = make_job(
        user=user,
        organization=template.organization,
        job_input={"template_version_id": str(template.active_version_id)},
    )
    finish(job)
    put(job, **times)


def test_developers_and_waiting_times_by_day(owner, member, web):
    put(web.active_version.job, ago=timedelta(days=60))
    for user in (owner, owner, member):
        dry_run(user, web, ago=timedelta(days=3), waited=4)
    dry_run(owner, web, ago=timedelta(days=1), waited=8)
    found = insights(owner)
    assert [(day.users, day.jobs) for day in found.days[-4:]] == [(2, 3), (0, 0), (1, 1), (0, 0)]
    assert (found.busiest, found.jobs, found.users) == (2, 4, 2)
    assert (found.waited_p50, found.waited_longest) == (4, 8)
    assert found.days[-4].waited_p95 == 4
    assert found.days[-3].waited_p50 is None


def test_imports_by_template(owner, organization, web):
    put(web.active_version.job, ago=timedelta(hours=1), ran=20)
    broken = make_template(user=owner, organization=organization, name="broken")
    put(broken.active_version.job, ago=timedelta(hours=1), ran=10)
    make_version(user=owner, organization=organization, template=broken, error="no")
    gone = make_template(user=owner, organization=organization, name="gone")
    type(gone).objects.filter(pk=gone.pk).update(deleted=True)
    found = insights(owner)
    rows = [(row.display_name, row.count, row.failed, row.success_rate, row.p50) for row in found.templates]
    assert rows == [("broken", 2, 1, 50, 10), ("Web machines", 1, 0, 100, 20)]
    assert (found.imports.succeeded, found.imports.failed) == (3, 1)


def test_an_administrator_sees_only_their_organization(owner, web):
    other = make_organization("other")
    elsewhere = make_template(user=owner, organization=other, name="elsewhere")
    olga = make_user("olga", organizations=(other,), organization_roles=("organization-admin",))
    assert [row.name for row in insights(olga).templates] == ["elsewhere"]
    assert {row.name for row in insights(owner).templates} == {"web", "elsewhere"}
    text = text_of(browser(olga).get("/insights"))
    assert "in the organizations whose templates you manage" in text
    assert "Web machines" not in text
    assert TemplateVersion.objects.filter(template=elsewhere).count() == 1


def test_the_page_is_not_found_for_other_users(member, web):
    client = browser(member)
    assert client.get("/insights").status_code == 404
    assert "Insights" not in text_of(client.get("/jobs"))


def test_an_auditor_may_see_the_page(web):
    assert browser(make_user(site_roles=("auditor",))).get("/insights").status_code == 200


def test_without_jobs_the_page_links_to_the_templates(owner):
    text = text_of(browser(owner).get("/insights"))
    assert "No job in the last 30 days" in text
    assert "Go to the templates" in text


def test_missing_figures_are_explained(owner, organization):
    make_job(user=owner, organization=organization)
    text = text_of(browser(owner).get("/insights"))
    assert "No job has been claimed yet. See the daemons" in text
    assert "1 person started jobs" in text
    assert "No import of a template has ended" in text
    assert "No job with a log has succeeded" in text
    assert "Success of imports \N{EN DASH} no import has ended" in text


def test_charts_have_tables_of_their_numbers(owner, web):
    dry_run(owner, web, ago=timedelta(days=1), waited=4)
    answer = browser(owner).get("/insights")
    page = answer.content.decode()
    assert page.count('role="img"') == 2
    assert page.count('<details class="data-table">') == 2
    assert 'href="/templates/acme/web/insights"' in page
    assert "Numbers by day Day Developers Jobs Failed" in text_of(answer)
    assert "Times by day, the longest 4.0 s Day p50 p95" in text_of(answer)
