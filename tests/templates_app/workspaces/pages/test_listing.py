"""The list of workspaces, and workspaces in the search and the navigation."""

import pytest

from templates_app.models import Template
from tests.factories import make_template, make_user, make_version
from tests.pages import browser, text_of
from tests.templates_app.workspaces.pages.conftest import IMPORTED, build, create, finish_build

pytestmark = pytest.mark.django_db


@pytest.fixture
def bob(organization):
    return make_user("bob", organizations=(organization,))


def names(response) -> list[str]:
    """Return the names in the list, in its order."""
    body = response.content.decode().partition("<tbody>")[2].partition("</tbody>")[0]
    return [part.partition("<")[0] for part in body.split("<strong>")[1:]]


def test_list_shows_own_all_or_running_workspaces(ada, bob, owner, template):
    for user, name in ((ada, "one"), (ada, "two"), (bob, "three")):
        create(user, template, name)
        finish_build()
    build(ada, ada.workspaces.get(name="two"), "stop")
    finish_build()
    assert names(browser(ada).get("/workspaces")) == ["one", "two"]
    assert names(browser(ada).get("/workspaces?show=all")) == ["one", "two"]
    assert names(browser(ada).get("/workspaces?show=running")) == ["one"]
    assert names(browser(owner).get("/workspaces")) == []
    assert names(browser(owner).get("/workspaces?show=all")) == ["one", "three", "two"]
    assert names(browser(owner).get("/workspaces?show=running")) == ["one", "three"]
    assert names(browser(owner).get("/workspaces?show=all&q=t")) == ["three", "two"]
    assert "No workspace matches" in text_of(browser(owner).get("/workspaces?q=nothing"))


def test_list_has_the_search_of_the_api(ada, bob, owner, template):
    for user, name in ((ada, "one"), (bob, "two")):
        create(user, template, name)
        finish_build()
    build(bob, bob.workspaces.get(), "stop")
    finish_build()
    client = browser(owner)
    for query, expected in (
        ("owner:ada", ["one"]),
        ("bob/tw", ["two"]),
        ("status:stopped", ["two"]),
        ("template:web status:running", ["one"]),
        ("template:other", []),
        ('name:"on"', ["one"]),
    ):
        assert names(client.get("/workspaces", {"show": "all", "q": query})) == expected
    for query, says in (("status:flying", "status"), ('"open', "is not closed"), ("a/b/c", "more than one slash")):
        response = client.get("/workspaces", {"show": "all", "q": query})
        assert response.status_code == 200
        assert says in text_of(response)


def test_empty_list_leads_to_the_templates(ada, template):
    response = browser(ada).get("/workspaces")
    assert "No workspace yet" in text_of(response)
    assert 'href="/templates"' in response.content.decode()


def test_list_says_what_is_outdated_and_never_used(ada, owner, running, template):
    assert "Outdated" not in text_of(browser(ada).get("/workspaces"))
    version = make_version(user=owner, organization=template.organization, template=template, result=IMPORTED)
    Template.objects.update(active_version=version)
    text = text_of(browser(ada).get("/workspaces"))
    for part in ("dev Web machines", "Running", "Outdated", "never"):
        assert part in text


def test_htmx_request_returns_the_list(ada, running):
    page = browser(ada).get("/workspaces?q=de", headers={"HX-Request": "true"}).content.decode()
    assert "<table" in page
    assert "<html" not in page


def test_deleted_workspaces_are_not_listed(ada, stopped):
    build(ada, stopped, "delete")
    finish_build(resources=())
    assert names(browser(ada).get("/workspaces?show=all")) == []


def test_search_finds_workspaces_by_name_owner_and_id(ada, bob, running):
    for text in ("de", "ada/de", "@ada/dev", str(running.pk)):
        assert "of ada, from Web machines" in text_of(browser(ada).get("/search", {"q": text}))
    assert "Web machines" not in text_of(browser(bob).get("/search", {"q": "ada/dev"}))


def test_navigation_counts_own_workspaces(ada, owner, organization, running):
    other = make_template(user=owner, organization=organization, name="other")
    create(ada, other, "more")
    assert "Workspaces 2" in text_of(browser(ada).get("/account"))
    assert "Workspaces Templates" in text_of(browser(owner).get("/account"))
