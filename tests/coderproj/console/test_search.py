"""The global search."""

import pytest
from django.utils import timezone

from coderproj.identity.models import Group
from provisioning.models import ProvisionerDaemon
from tests.factories import make_job, make_organization, make_template, make_user
from tests.pages import browser, text_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def web(owner, organization):
    return make_template(user=owner, organization=organization, name="web", display_name="Web machines")


def results(client, text: str) -> str:
    return text_of(client.get("/search", {"q": text})).partition("jobs by ID.")[2]


def test_everything_is_found_by_name(owner, organization, web):
    make_user("webster", organizations=(organization,))
    Group.objects.create(organization=organization, name="web-team")

    ProvisionerDaemon.objects.create(name="web-runner", last_seen_at=timezone.now(), provisioners=["echo"])
    found = results(browser(owner), "web")
    for heading in ("Templates Web machines", "Users webster", "Groups web-team in acme", "Daemons web-runner"):
        assert heading in found
    version = web.active_version.name
    assert f"Versions {version} of Web machines" in results(browser(owner), version)


def test_everything_is_found_by_id(owner, organization, web):
    job = make_job(user=owner, organization=organization)
    client = browser(owner)
    assert "Web machines" in results(client, str(web.pk))
    assert web.active_version.name in results(client, str(web.active_version_id))
    assert "ada" in results(client, str(owner.pk))
    for text in (str(job.pk), str(job.pk)[:8], str(job.pk)[:13].upper()):
        assert f"Dry run {str(job.pk)[:8]} Pending" in results(client, text), text


@pytest.mark.parametrize("text", ["0" * 8, "-" * 8, "abcdef0-", "zzzzzzzz", "1234567"])
def test_text_that_is_not_an_id_prefix_finds_no_job(text, owner, organization):
    make_job(user=owner, organization=organization)
    assert "Nothing visible to you has this name." in results(browser(owner), text)


def test_search_finds_visible_objects_only(owner, organization, web):
    job = make_job(user=owner, organization=organization)
    stranger = browser(make_user("sven", organizations=(make_organization("elsewhere"),)))
    for text in ("web", "ada", "acme", str(web.pk), str(job.pk), web.active_version.name):
        assert "Nothing visible to you has this name." in results(stranger, text), text


def test_short_or_empty_search_is_explained(owner):
    client = browser(owner)
    assert "Type at least two characters." in results(client, "a")
    assert "Type a name or an ID." in results(client, "")


def test_search_shows_first_hits_and_links_to_the_list(owner, organization):
    for number in range(8):
        make_user(f"anna-{number}", organizations=(organization,))
    answer = browser(owner).get("/search?q=anna")
    assert answer.content.decode().count("<strong>anna-") == 6
    assert 'href="/users?q=anna"' in answer.content.decode()


def test_the_field_is_on_every_page(owner):
    page = browser(owner).get("/jobs").content.decode()
    assert 'action="/search"' in page
    assert 'data-focus-key="/"' in page
