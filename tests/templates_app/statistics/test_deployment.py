"""Insights of the deployment and of organizations."""

from datetime import UTC, datetime, timedelta

import pytest

from templates_app.agents.services.refreshing import refresh
from templates_app.models import DailyUser
from templates_app.statistics import deployment, insights
from templates_app.templatetags.templates import percent
from tests.factories import make_organization, make_template, make_user, make_version
from tests.pages import browser, text_of
from tests.templates_app.statistics.test_insights import rows_of, run, start

pytestmark = pytest.mark.django_db


@pytest.fixture
def web(owner, organization):
    return make_template(user=owner, organization=organization, name="web", display_name="Web machines")


def count() -> None:
    refresh(lambda: False, calculate=True)


def everything(days=30):
    count()
    found = insights.of_organization(None, days)
    assert found is not None
    return found.figures


def test_days(owner, member, web):
    for waited in (4, 6):
        start(owner, web, age=timedelta(days=3), waited=waited)
    run(owner, web.active_version, age=timedelta(days=1), waited=8)
    found = everything()
    assert [day.jobs.count for day in found.days[-4:]] == [2, 0, 1, 0]
    assert (found.days[-4].jobs.waited_p50, found.days[-4].jobs.waited_p95) == (4, 6)
    assert found.days[-3].jobs.waited_p50 is None
    assert (found.runs.count, found.builds.count) == (3, 2)


def test_a_user_of_two_templates_counts_once(owner, organization, web):
    other = make_template(user=owner, organization=organization, name="other")
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for template in (web, other):
        DailyUser.objects.create(template=template, day=today, user=owner)
    for found in (everything(), insights.of_organization(organization.pk, 7).figures):
        assert (found.users, found.days[-1].users) == (1, 1)


def test_templates_with_most_builds_come_first(owner, organization, web):
    for _ in range(2):
        start(owner, web, ran=20)
    broken = make_template(user=owner, organization=organization, name="broken")
    make_version(user=owner, organization=organization, template=broken, error="no")
    gone = make_template(user=owner, organization=organization, name="gone")
    type(gone).objects.filter(pk=gone.pk).update(deleted=True)
    count()
    found = deployment.templates_of(deployment.Scope(), 30)
    rows = [(row.display_name, row.builds, row.success_rate, row.imports_failed, row.p50) for row in found]
    assert rows == [("Web machines", 2, 100, 0, 20), ("broken", 0, None, 1, None)]
    kinds = insights.of_organization(None, 30).figures.kinds
    assert (kinds["import"].succeeded, kinds["import"].failed) == (3, 1)


def test_an_administrator_sees_only_their_organizations(owner, web):
    other, third = make_organization("other"), make_organization("third")
    make_template(user=owner, organization=other, name="elsewhere")
    olga = make_user("olga", organizations=(other,), organization_roles=("organization-admin",))
    count()
    text = text_of(browser(olga).get("/insights"))
    assert "in the organization other" in text
    assert "elsewhere" in text
    assert "Web machines" not in text
    assert browser(olga).get(f"/insights?organization={web.organization_id}").status_code == 404
    assert browser(olga).get(f"/insights?organization={third.pk}").status_code == 404
    assert browser(olga).get("/insights?organization=x").status_code == 404


def test_owners_choose_an_organization(owner, web):
    other = make_organization("other")
    make_template(user=owner, organization=other, name="elsewhere")
    count()
    client = browser(owner)
    assert "All organizations acme other" in text_of(client.get("/insights"))
    text = text_of(client.get(f"/insights?organization={other.pk}&days=7"))
    assert "elsewhere" in text
    assert "Web machines" not in text
    rows = rows_of(client.get(f"/insights?organization={other.pk}&csv=templates"))
    assert [row[:2] for row in rows] == [["organization", "template"], ["other", "elsewhere"]]


def test_deleted_organizations_are_not_offered(owner, web):
    other = make_organization("other")
    assert "All organizations acme other" in text_of(browser(owner).get("/insights"))
    other.deleted = True
    other.save()
    assert "All organizations" not in text_of(browser(owner).get("/insights"))


def test_the_only_organization_has_the_insights_of_the_deployment(owner, web, organization):
    start(owner, web)
    assert everything() == insights.of_organization(organization.pk, 30).figures
    other = make_template(user=owner, organization=make_organization("other"))
    start(make_user(organizations=(other.organization,)), other)
    assert everything().builds.count == 2
    assert insights.of_organization(organization.pk, 30).figures.builds.count == 1


def test_the_page_is_not_found_for_other_users(member, web):
    client = browser(member)
    assert client.get("/insights").status_code == 404
    assert "Insights" not in text_of(client.get("/jobs"))


def test_an_auditor_may_see_the_page(web):
    assert browser(make_user(site_roles=("auditor",))).get("/insights").status_code == 200


def test_before_a_worker_has_counted(owner):
    text = text_of(browser(owner).get("/insights"))
    assert "Nothing has been counted yet" in text


def test_missing_figures_are_explained(owner, web):
    count()
    text = text_of(browser(owner).get("/insights"))
    for part in ("No workspace had traffic", "No build and no dry run has ended", "no agent was ready"):
        assert part in text
    assert "No job with a log has succeeded" in text


def test_charts_have_tables_of_their_numbers(owner, web):
    run(owner, web.active_version, age=timedelta(days=1), waited=4)
    count()
    answer = browser(owner).get("/insights")
    page = answer.content.decode()
    assert page.count('role="img"') == page.count('<details class="data-table">') == 3
    assert 'href="/templates/acme/web/insights?days=30"' in page
    assert "Times by day, of builds and dry runs Day p50 p95" in text_of(answer)


def test_each_table_is_offered_as_csv(owner, web):
    count()
    for table in ("days", "kinds", "templates", "stages"):
        assert rows_of(browser(owner).get(f"/insights?csv={table}"))
    assert browser(owner).get("/insights?csv=versions").status_code == 404


def test_without_rows_of_users(owner, web, settings):
    settings.STATISTICS_PER_USER = False
    assert everything().users is None
    assert "not counted" in text_of(browser(owner).get("/insights"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "\N{EN DASH}"),
        (0, "0%"),
        (100, "100%"),
        (99.9004, "99.9%"),
        (99.99, "99.9%"),
        (0.01, "0.1%"),
        (66.6, "67%"),
    ],
)
def test_percentages_hide_no_failure(value, text):
    assert percent(value) == text
