"""The shared parts of all pages: sign-in, errors, navigation, forms."""

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


# ---------------------------------------------------------------------- sign-in
def test_start_page_redirects_to_setup_sign_in_or_the_page_of_the_user():
    assert browser().get("/")["Location"] == "/setup"
    user = make_user()
    assert browser().get("/")["Location"] == "/login"
    assert browser(user).get("/")["Location"] == "/home"
    assert browser(make_user(site_roles=("owner",))).get("/")["Location"] == "/templates"


def test_actor_is_found_with_one_query(django_assert_num_queries):
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
def test_redirect_after_sign_in_stays_on_this_site(wanted, allowed):
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
def test_htmx_request_without_session_returns_to_its_page(current, wanted):
    make_user()
    given = {"HX-Request": "true"} | ({"HX-Current-URL": current} if current else {})
    answer = browser().get("/templates?q=we", headers=given)
    assert (answer.status_code, answer["HX-Redirect"]) == (204, wanted)


# ---------------------------------------------------------------------- errors
def test_unknown_address_shows_our_404_page():
    answer = browser(make_user()).get("/no/such/page")
    assert answer.status_code == 404
    assert "Page not found" in text_of(answer)
    assert "Templates" in text_of(answer)  # with navigation


def test_unknown_address_without_session_shows_no_navigation():
    make_user()
    answer = browser().get("/no/such/page")
    assert answer.status_code == 404
    assert 'class="navigation"' not in answer.content.decode()


def test_forbidden_action_answers_403():
    organization = make_organization(is_default=True)
    answer = browser(make_user(organizations=(organization,))).get("/templates/new")
    assert answer.status_code == 403
    assert "Not allowed" in text_of(answer)


def test_form_without_csrf_token_is_rejected():
    client = Client(enforce_csrf_checks=True)
    user = make_user(password="correct horse battery")
    answer = client.post("/login", {"email": user.email, "password": "correct horse battery"})
    assert answer.status_code == 403
    assert "came from another site" in text_of(answer)
    assert "coder_session_token" not in answer.cookies


def test_internal_error_page_does_not_show_the_exception(monkeypatch):
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
def test_error_page_shows_the_message_of_the_error(error, status, text):
    request = RequestFactory().get("/")
    answer = errors.error_page(request, error)
    assert answer.status_code == status
    assert text in text_of(answer)


def test_null_characters_answer_404():
    client = browser(make_user())
    assert client.get("/templates?q=%00").status_code == 404
    assert client.get("/templates/a%00b/c").status_code == 404


# ---------------------------------------------------------------------- navigation
def test_navigation_shows_allowed_entries():
    member, owner = make_user(), make_user(site_roles=("owner",))
    assert "Admin" not in text_of(browser(member).get("/account"))
    assert "Admin" in text_of(browser(owner).get("/account"))


ENTRIES = [
    Entry("b", "Second", Section.BUILD, "box", "/b", 2, count=lambda actor: "7"),
    Entry("a", "First", Section.BUILD, "box", "jobs", 1),
    Entry("c", "Hidden", Section.ACCESS, "box", "/c", 3, offered=lambda actor: False),
]


def test_navigation_entries_are_sorted_by_section_and_order(contribute):
    contribute("navigation", "tests.coderproj.console.test_console.ENTRIES", alone=True)
    ((heading, links),) = navigation.navigation_for(Actor.of(make_user()))
    assert (heading, [(link.label, link.url, link.count) for link in links]) == (
        "Build",
        [("First", "/jobs", ""), ("Second", "/b", "7")],
    )


# ---------------------------------------------------------------------- shared parts
def test_form_shows_the_errors_of_a_service():
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
def test_long_lists_are_paged(page, names, neighbours):
    for name in "abcde":
        make_user(name)
    request = RequestFactory().get("/", {"page": page} if page else {})
    found = slice_of(request, User.objects.order_by("username"), 2)
    assert [user.username for user in found.rows] == names
    assert (found.previous_url, found.next_url) == neighbours
