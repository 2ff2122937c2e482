"""The shell of all pages: the way in, errors, navigation, forms."""

import pytest
from django.test import Client, RequestFactory

from coderproj.base.errors import Conflict, DomainError, Invalid
from coderproj.console import errors, navigation, session
from coderproj.console.forms import ConsoleForm
from coderproj.console.navigation import Entry, Section
from coderproj.console.paging import slice_of
from coderproj.console.views import next_url
from coderproj.identity.actor import Actor
from coderproj.identity.models import User
from tests.factories import make_organization, make_user
from tests.pages import browser, text_of

pytestmark = pytest.mark.django_db


# ---------------------------------------------------------------------- the way in
def test_the_start_leads_to_the_set_up_to_signing_in_or_to_the_templates():
    assert browser().get("/")["Location"] == "/setup"
    user = make_user()
    assert browser().get("/")["Location"] == "/login"
    assert browser(user).get("/")["Location"] == "/templates"


def test_one_query_finds_out_who_looks(django_assert_num_queries):
    request = RequestFactory().get("/")
    request.COOKIES = {name: morsel.value for name, morsel in browser(make_user()).cookies.items()}
    with django_assert_num_queries(1):
        assert session.actor_of(request) is session.actor_of(request)


@pytest.mark.parametrize(
    ("wanted", "allowed"),
    [
        ("/jobs?status=failed", True),
        ("https://example.com/", False),
        ("//example.com/", False),
        ("/\\example.com", False),
        ("javascript:alert(1)", False),
        ("http://testserver/jobs", True),
    ],
)
def test_one_comes_back_to_this_site_alone(wanted, allowed):
    request = RequestFactory().get("/login", {"next": wanted})
    assert next_url(request, "/") == (wanted if allowed else "/")


@pytest.mark.parametrize(
    ("current", "wanted"),
    [
        ("http://testserver/templates?q=web#list", "/login?next=%2Ftemplates%3Fq%3Dweb"),
        ("http://testserver/", "/login"),
        ("https://example.com/templates", "/login"),
        ("http://[", "/login"),
        (None, "/login"),
    ],
)
def test_whoever_is_signed_out_comes_back_to_the_page_that_asked_for_a_part(current, wanted):
    make_user()
    given = {"HX-Request": "true"} | ({"HX-Current-URL": current} if current else {})
    answer = browser().get("/templates?q=we", headers=given)
    assert (answer.status_code, answer["HX-Redirect"]) == (204, wanted)


# ---------------------------------------------------------------------- errors
def test_an_unknown_address_is_a_page_of_ours():
    answer = browser(make_user()).get("/no/such/page")
    assert answer.status_code == 404
    assert "Page not found" in text_of(answer)
    assert "Templates" in text_of(answer)  # with navigation


def test_an_unknown_address_says_nothing_to_strangers():
    make_user()
    answer = browser().get("/no/such/page")
    assert answer.status_code == 404
    assert 'class="navigation"' not in answer.content.decode()


def test_what_one_may_not_do_is_403():
    organization = make_organization(is_default=True)
    answer = browser(make_user(organizations=(organization,))).get("/templates/new")
    assert answer.status_code == 403
    assert "Not allowed" in text_of(answer)


def test_a_forged_form_is_refused():
    client = Client(enforce_csrf_checks=True)
    user = make_user(password="correct horse battery")
    answer = client.post("/login", {"email": user.email, "password": "correct horse battery"})
    assert answer.status_code == 403
    assert "came from another site" in text_of(answer)
    assert "coder_session_token" not in answer.cookies


def test_a_defect_is_a_page_without_its_text(monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("the secret reason")

    client = browser(make_user())
    client.raise_request_exception = False
    monkeypatch.setattr("templates_app.pages.listing.job_figures", broken)
    answer = client.get("/templates")
    assert answer.status_code == 500
    assert "Something went wrong" in text_of(answer)
    assert "secret reason" not in text_of(answer)
    assert answer["X-Coder-Request-Id"] in text_of(answer)


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (Invalid.field("name", "Must be shorter."), 400, "name: Must be shorter."),
        (DomainError("The version is archived."), 400, "The version is archived."),
        (Conflict.taken("template", "web"), 409, "Already in use"),
    ],
)
def test_an_error_speaks_in_its_own_words(error, status, text):
    request = RequestFactory().get("/")
    answer = errors.error_page(request, error)
    assert answer.status_code == status
    assert text in text_of(answer)


def test_null_characters_find_nothing():
    client = browser(make_user())
    assert client.get("/templates?q=%00").status_code == 404
    assert client.get("/templates/a%00b/c").status_code == 404


# ---------------------------------------------------------------------- navigation
def test_the_navigation_offers_what_one_may_use():
    member, owner = make_user(), make_user(site_roles=("owner",))
    assert "Admin" not in text_of(browser(member).get("/account"))
    assert "Admin" in text_of(browser(owner).get("/account"))


ENTRIES = [
    Entry("b", "Second", Section.BUILD, "box", "/b", 2, count=lambda actor: "7"),
    Entry("a", "First", Section.BUILD, "box", "jobs", 1),
    Entry("c", "Hidden", Section.ACCESS, "box", "/c", 3, offered=lambda actor: False),
]


def test_entries_stand_in_their_order_and_section(contribute):
    contribute("navigation", "tests.coderproj.console.test_console.ENTRIES", alone=True)
    ((heading, links),) = navigation.navigation_for(Actor.of(make_user()))
    assert (heading, [(link.label, link.url, link.count) for link in links]) == (
        "Build",
        [("First", "/jobs", ""), ("Second", "/b", "7")],
    )


# ---------------------------------------------------------------------- pieces
def test_a_form_shows_what_a_service_objects_to():
    from django import forms

    class Form(ConsoleForm):
        name = forms.CharField()

    form = Form({"name": "web"})
    assert form.is_valid()
    form.show_error(Conflict.taken("template", "web"))
    assert form.errors["name"] == ["This value is already in use and should be unique."]
    form.show_error(Invalid.field("icon", "Unknown."))
    assert form.non_field_errors() == ["Validation failed. Unknown."]


@pytest.mark.parametrize(
    ("page", "names", "neighbours"),
    [
        ("", ["a", "b"], ("", "?page=2")),
        ("2", ["c", "d"], ("?page=1", "?page=3")),
        ("3", ["e"], ("?page=2", "")),
        ("99", [], ("?page=98", "")),
        ("x", ["a", "b"], ("", "?page=2")),
        ("-1", ["a", "b"], ("", "?page=2")),
        ("9" * 400, ["a", "b"], ("", "?page=2")),
    ],
)
def test_long_lists_come_in_slices(page, names, neighbours):
    for name in "abcde":
        make_user(name)
    request = RequestFactory().get("/", {"page": page} if page else {})
    found = slice_of(request, User.objects.order_by("username"), 2)
    assert [user.username for user in found.rows] == names
    assert (found.previous_url, found.next_url) == neighbours
