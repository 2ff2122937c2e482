"""Other pages in a browser: the admin and the API's schema."""

import pytest
from playwright.sync_api import Page, expect

from tests.factories import make_organization, make_template, make_user

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]
PASSWORD = "correct horse battery"


@pytest.fixture
def owner():
    organization = make_organization(is_default=True)
    user = make_user("ada", organizations=(organization,), site_roles=("owner",), password=PASSWORD)
    make_template(user=user, organization=organization, name="web", display_name="Web machines")
    return user


def sign_in(page: Page, url: str, user, password: str = PASSWORD) -> None:
    page.goto(f"{url}/admin/")
    page.get_by_label("Email").fill(user.email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def test_an_owner_opens_a_template_and_its_job_in_the_admin(page, live_api, owner):
    sign_in(page, live_api.url, owner)
    expect(page.get_by_role("heading", name="Site administration")).to_be_visible()
    page.get_by_role("link", name="Templates", exact=True).last.click()
    page.get_by_role("link", name="web").click()
    expect(page.get_by_label("Display name")).to_have_value("Web machines")
    page.goto(f"{live_api.url}/admin/provisioning/provisionerjob/")
    expect(page.locator("#result_list").get_by_text("Succeeded")).to_be_visible()


def test_wrong_password_is_reported(page, live_api, owner, problems):
    sign_in(page, live_api.url, owner, "wrong")
    expect(page.get_by_role("alert")).to_have_text("Incorrect email or password.")
    assert [text for text in problems if "401" not in text] == []
    problems.clear()  # a browser reports the status itself


def test_the_setup_page_is_accessible(page, live_api, looks_right):
    page.goto("/setup")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    looks_right(page)


def test_the_api_can_be_browsed_offline(page, live_api):
    foreign: list[str] = []
    page.on("request", lambda request: None if request.url.startswith(live_api.url) else foreign.append(request.url))
    page.goto(f"{live_api.url}/swagger")
    expect(page.locator("#operations-tag-templates")).to_be_visible()
    assert [url for url in foreign if not url.startswith(("data:", "blob:"))] == []
