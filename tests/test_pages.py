"""Guards for all pages: access and number of queries."""

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from django.db import connection
from django.http import HttpResponse
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, URLResolver, get_resolver

from coderproj.console.views import Page, PublicPage, SignedInPage
from coderproj.identity import tokens
from coderproj.identity.authentication import SESSION_COOKIE
from coderproj.identity.models import KeyScope, Membership
from provisioning.models import ProvisionerDaemon, ProvisionerKey
from provisioning.queue import jobs
from templates_app.agents.services.refreshing import refresh
from templates_app.models import Template
from tests.factories import make_organization, make_user, make_version
from tests.pages import browser, text_of
from tests.shared_setup import computed_once
from tests.templates_app.workspaces.rows import make_workspace
from tests.world import World, rolled_back_world

PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")
# Not pages: files, probes, the API and its description, and the admin, which has its own tests.
OTHERS = re.compile(
    r"favicon\.ico|\^bin/.*|healthz|readyz|swagger|\^?api\b.*|admin/(?!login/$|logout/$|password_change/$).*"
)
PUBLIC = {"", "setup", "login", "admin/login/"}
# The same for all signed-in users: starters, and daemons, which serve all organizations.
COMMON = {"starters/<slug:starter>", "daemons/<uuid:daemon>"}


@dataclass(frozen=True)
class PageRoute:
    """The address of a page with its view."""

    pattern: str
    view: type[Page]

    def __str__(self) -> str:
        return self.pattern or "/"

    def path(self, addresses: dict[str, str]) -> str:
        return "/" + PARAMETER.sub(lambda match: addresses[match[1]], self.pattern)


def _walk(patterns: list[URLPattern | URLResolver], prefix: str) -> Iterator[tuple[str, object]]:
    for entry in patterns:
        text = prefix + str(entry.pattern)
        if OTHERS.fullmatch(text):
            continue
        if isinstance(entry, URLResolver):
            yield from _walk(entry.url_patterns, text)
        else:
            yield text, getattr(entry.callback, "view_class", entry.callback)


ROUTES = [PageRoute(pattern, view) for pattern, view in _walk(get_resolver().url_patterns, "")]  # type: ignore[arg-type]
SIGNED_IN = [route for route in ROUTES if route.pattern not in PUBLIC]
SHOWN = [route for route in SIGNED_IN if hasattr(route.view, "get")]
# Pages of an object that can be hidden.
OF_OBJECTS = [route for route in SIGNED_IN if PARAMETER.search(route.pattern) and route.pattern not in COMMON]


def addresses(world: World, count: int = 1) -> dict[str, str]:
    """Return the values for the parameters of page routes in a world, to which ``count`` workspaces are added."""
    template = Template.objects.select_related("organization").get(pk=world.values["template"])
    workspaces = [
        make_workspace(world.owner, template, f"dev-{number}", builds=count, parts=count) for number in range(count)
    ]
    workspace = workspaces[-1]
    refresh(lambda: False, calculate=True)
    return {
        "owner": world.owner.username,
        "workspace": workspace.name,
        "workspace_id": str(workspace.pk),
        "number": "1",
        "build_id": str(workspace.latest_build_id),
        "organization": template.organization.name,
        "template": template.name,
        "name": template.name,
        "version": world.values["templateversionname"],
        "id": world.values["templateversion"],
        "job": world.values["job"],
        "starter": "docker",
        "organization_id": world.values["organization"],
        "user": str(Membership.objects.filter(organization=template.organization_id).latest("pk").user_id),
        "group": world.values["group"],
        "token": world.values["key"],
        "daemon": str(ProvisionerDaemon.objects.latest("name").pk),
        "key": str(ProvisionerKey.objects.latest("name").pk),
    }


MISSING_VALUES = {
    "organization": "no-such-one",
    "template": "no-such-one",
    "name": "no-such-one",
    "version": "no-such-one",
    "id": str(uuid.uuid4()),
    "job": str(uuid.uuid4()),
    "starter": "no-such-one",
    "organization_id": str(uuid.uuid4()),
    "user": str(uuid.uuid4()),
    "group": str(uuid.uuid4()),
    "token": "no-such-one",
    "daemon": str(uuid.uuid4()),
    "key": str(uuid.uuid4()),
    "owner": "no-such-one",
    "workspace": "no-such-one",
    "workspace_id": str(uuid.uuid4()),
    "number": "1",
    "build_id": str(uuid.uuid4()),
}


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_every_page_declares_its_access(route: PageRoute):
    assert issubclass(route.view, Page)
    assert issubclass(route.view, PublicPage) == (route.pattern in PUBLIC)
    assert issubclass(route.view, SignedInPage) != (route.pattern in PUBLIC)
    if route.pattern in PUBLIC:
        assert "public" in (route.view.__doc__ or "").lower()


@pytest.mark.django_db
@pytest.mark.parametrize("route", SIGNED_IN, ids=str)
def test_pages_require_a_session(route: PageRoute):
    make_user()
    for method in ("get", "post"):
        response = getattr(browser(), method)(route.path(MISSING_VALUES))
        assert (response.status_code, response["Location"].partition("?")[0]) == (302, "/login")


@pytest.mark.django_db
def test_a_token_with_a_limited_scope_opens_no_page():
    client = browser()
    _, token = tokens.issue(user=make_user(site_roles=("owner",)), scope=KeyScope.APPLICATION_CONNECT)
    client.cookies[SESSION_COOKIE] = token
    assert client.get("/templates")["Location"] == "/login?next=%2Ftemplates"


# ---------------------------------------------------------------------- hidden objects
@dataclass(frozen=True)
class Seen:
    """What an outsider gets for an object: the status and the text of the page."""

    status: int
    text: str


@pytest.fixture(scope="module")
def seen_by_outsider(django_db_setup, django_db_blocker, tmp_path_factory) -> dict[tuple[str, str], tuple[Seen, Seen]]:
    """A hidden and a missing object by route pattern and method."""
    with django_db_blocker.unblock():
        return computed_once(tmp_path_factory, "pages-seen-by-an-outsider", look_as_outsider)


def look_as_outsider() -> dict[tuple[str, str], tuple[Seen, Seen]]:
    found: dict[tuple[str, str], tuple[Seen, Seen]] = {}
    with rolled_back_world(1) as world:
        outsider = browser(make_user(organizations=(make_organization(),)))
        outsider.raise_request_exception = False  # a page that fails has the status 500, and others are still seen
        hidden = addresses(world)
        for route in OF_OBJECTS:
            for method in methods_of(route):
                hidden_one, missing_one = (
                    getattr(outsider, method)(route.path(where)) for where in (hidden, MISSING_VALUES)
                )
                found[route.pattern, method] = seen(hidden_one), seen(missing_one)
    return found


def seen(response: HttpResponse) -> Seen:
    return Seen(response.status_code, _without_id(text_of(response)))


def methods_of(route: PageRoute) -> list[str]:
    return [method for method in ("get", "post") if hasattr(route.view, method)]


@pytest.mark.django_db
@pytest.mark.parametrize("route", OF_OBJECTS, ids=str)
def test_hidden_objects_look_like_missing_ones(route: PageRoute, seen_by_outsider):
    assert methods_of(route)
    for method in methods_of(route):
        hidden, missing = seen_by_outsider[route.pattern, method]
        assert (hidden.status, missing.status) == (404, 404)
        assert hidden.text == missing.text


def _without_id(text: str) -> str:
    return re.sub(r"request [0-9a-f-]{36}", "", text)


# ---------------------------------------------------------------------- queries
@pytest.fixture(scope="module")
def measured(django_db_setup, django_db_blocker, tmp_path_factory) -> dict[int, dict[str, list[str]]]:
    """The SQL statements of every page, by the number of rows of each kind."""
    with django_db_blocker.unblock():
        return computed_once(tmp_path_factory, "queries-of-pages", lambda: {count: measure(count) for count in (1, 3)})


def measure(count: int) -> dict[str, list[str]]:
    """Return the statements by route pattern, in a world with ``count`` rows of each kind."""
    found: dict[str, list[str]] = {}
    with rolled_back_world(count) as world:
        client = browser(world.owner)
        where = addresses(world, count)
        # Confirmation pages need an object in a matching state.
        states = {"/cancel": _version(world), "/retry": _version(world, canceled=True)}
        for route in SHOWN:
            state = next((state for action, state in states.items() if route.pattern.endswith(action)), {})
            path = route.path(where | state)
            client.get(path)
            with CaptureQueriesContext(connection) as captured:
                response = client.get(path)
            assert response.status_code in {200, 302}, (path, response.status_code)
            found[route.pattern] = [query["sql"] for query in captured.captured_queries]
    return found


def _version(world: World, *, canceled: bool = False) -> dict[str, str]:
    """Create another version of the template whose import waits or was canceled."""
    template = Template.objects.get(pk=world.values["template"])
    version = make_version(user=world.owner, organization=template.organization, template=template, finished=False)
    if canceled:
        jobs.cancel(version.job_id)
    return {"version": version.name, "id": str(version.pk), "job": str(version.job_id)}


@pytest.mark.django_db
@pytest.mark.parametrize("route", SHOWN, ids=str)
def test_page_needs_the_same_queries_for_one_row_and_three(route: PageRoute, measured):
    few, many = (measured[count][route.pattern] for count in (1, 3))
    listing = "\n".join(many)
    assert len(few) == len(many), f"{len(few)} queries for one row, {len(many)} for three:\n{listing}"
    assert len(many) <= 25, f"{len(many)} queries:\n{listing}"


# ---------------------------------------------------------------------- headers
@pytest.mark.promise("S14")
@pytest.mark.django_db
def test_content_security_policy_forbids_inline_and_foreign_content():
    policy = browser().get("/login")["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


@pytest.mark.django_db
def test_api_responses_have_no_page_headers():
    response = browser().get("/api/v2/buildinfo")
    assert response.status_code == 200
    assert "Content-Security-Policy" not in response
    assert response.cookies == {}
