"""Ways to send a session token, and protection of a browser's session from pages of other sites."""

import pytest

from coderproj.api.permissions import Public
from coderproj.identity import tokens
from coderproj.identity.models import ApiKey, User
from tests.api import ApiClient
from tests.factories import make_organization, make_template, make_user
from tests.routes import api_routes

pytestmark = pytest.mark.django_db


@pytest.fixture
def world():
    organization = make_organization(is_default=True)
    user = make_user(organizations=(organization,), organization_roles=("organization-admin",))
    return user, make_template(user=user, organization=organization, name="mine")


def with_cookie(user):
    api = ApiClient()
    _, token = tokens.issue(user=user)
    api.client.cookies["coder_session_token"] = token
    return api


SITES = pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),
        ({"HTTP_ORIGIN": "http://testserver"}, True),
        ({"HTTP_ORIGIN": "http://localhost:3000"}, True),  # the access URL, behind a proxy that replaces the host
        ({"HTTP_SEC_FETCH_SITE": "same-origin"}, True),
        ({"HTTP_SEC_FETCH_SITE": "none"}, True),
        ({"HTTP_ORIGIN": "https://evil.example"}, False),
        ({"HTTP_ORIGIN": "null"}, False),
        ({"HTTP_ORIGIN": "http://testserver.evil.example"}, False),
        ({"HTTP_ORIGIN": "http://localhost:3001"}, False),
        ({"HTTP_ORIGIN": "not an origin"}, False),
        ({"HTTP_SEC_FETCH_SITE": "cross-site"}, False),
        ({"HTTP_SEC_FETCH_SITE": "same-site"}, False),
    ],
)


@pytest.mark.promise("S15")
@SITES
def test_write_with_cookie_is_allowed_only_from_the_same_origin(world, headers, allowed):
    user, template = world
    api = with_cookie(user)
    answer = api.patch(f"templates/{template.pk}", {"name": "renamed"}, HTTP_HOST="testserver", **headers)
    assert answer.status_code == (200 if allowed else 403)
    template.refresh_from_db()
    assert template.name == ("renamed" if allowed else "mine")


@pytest.mark.promise("S15", "A8")
@SITES
@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "application/x-www-form-urlencoded"])
def test_another_site_cannot_sign_a_browser_in(headers, allowed, content_type):
    user = make_user()
    body = {"email": user.email, "password": "correct horse battery"}
    extra = {"HTTP_HOST": "testserver", "content_type": content_type, **headers}
    answer = ApiClient().post("users/login", body, **extra)
    assert (answer.status_code, "coder_session_token" in answer.cookies) == ((201, True) if allowed else (403, False))
    assert ApiKey.objects.exists() == allowed


@pytest.mark.promise("S15", "A8")
@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("testserver", True),
        ("127.0.0.1:3000", True),
        ("[::1]:3000", True),
        ("192.0.2.7", True),
        ("evil.example", False),
        ("evil.example:3000", False),
        ("127.0.0.1.evil.example", False),
        ("", False),
    ],
)
def test_a_name_that_was_made_to_lead_here_cannot_sign_a_browser_in(host, allowed):
    """DNS rebinding: the browser sends the same foreign name as host and as origin."""
    user = make_user()
    body = {"email": user.email, "password": "correct horse battery"}
    headers = {"HTTP_HOST": host, "HTTP_ORIGIN": f"http://{host}", "HTTP_SEC_FETCH_SITE": "same-origin"}
    assert ApiClient().post("users/login", body, **headers).status_code == (201 if allowed else 403)
    assert ApiClient().post("users/login", body, HTTP_HOST=host).status_code == 201  # not a browser


@pytest.mark.promise("S15", "A8")
@SITES
def test_another_site_cannot_create_the_first_user(headers, allowed):
    body = {"email": "ada@example.test", "username": "ada", "password": "correct horse battery"}
    answer = ApiClient().post("users/first", body, HTTP_HOST="testserver", **headers)
    assert answer.status_code == (201 if allowed else 403)
    assert User.objects.exists() == allowed


@pytest.mark.promise("S15")
def test_every_write_without_sign_in_checks_the_site():
    """Whatever is public and writes: a new route is covered without being named here."""
    writes = [
        (method, route)
        for route in api_routes()
        for method in route.methods
        if Public in route.permissions and method not in {"GET", "HEAD", "OPTIONS"}
    ]
    assert len(writes) >= 3
    for method, route in writes:
        answer = ApiClient().call(method, route.path(), {}, HTTP_SEC_FETCH_SITE="cross-site")
        assert answer.status_code == 403, route.pattern


def test_write_with_header_is_allowed_from_any_origin(world):
    user, template = world
    answer = ApiClient(user).patch(f"templates/{template.pk}", {"name": "x"}, HTTP_ORIGIN="https://evil.example")
    assert answer.status_code == 200


def test_read_with_cookie_is_allowed_from_any_origin(world):
    user, template = world
    assert with_cookie(user).get(f"templates/{template.pk}", HTTP_SEC_FETCH_SITE="cross-site").status_code == 200


def test_token_in_the_query_is_ignored(world):
    user, template = world
    _, token = tokens.issue(user=user)
    for path in (f"templates/{template.pk}", f"templateversions/{template.active_version_id}/logs", "users/me"):
        assert ApiClient().get(f"{path}?coder_session_token={token}").status_code == 401


def test_app_cookie_has_the_lowest_priority(world):
    user, template = world
    path = f"templates/{template.pk}"
    api = ApiClient()
    _, token = tokens.issue(user=user)
    api.client.cookies["coder_devurl_session_token"] = token
    assert api.get(path).status_code == 200
    assert api.patch(path, {"name": "x"}, HTTP_SEC_FETCH_SITE="cross-site").status_code == 403
    assert api.get(path, HTTP_CODER_SESSION_TOKEN="nonsense").status_code == 401


def test_missing_token_is_401_with_a_detail(world):
    answer = ApiClient().get("users/me")
    assert (answer.status_code, list(answer.body)) == (401, ["message", "detail"])


def test_session_cookie_overrides_the_header(world):
    user, template = world
    api = with_cookie(user)
    assert api.get(f"templates/{template.pk}", HTTP_CODER_SESSION_TOKEN="nonsense").status_code == 200
    api.client.cookies["coder_session_token"] = "nonsense"
    _, token = tokens.issue(user=user)
    assert api.get(f"templates/{template.pk}", HTTP_CODER_SESSION_TOKEN=token).status_code == 401
