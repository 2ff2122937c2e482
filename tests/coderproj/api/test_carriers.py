"""Ways to send a session token, and protection of a browser's session from pages of other sites."""

import pytest

from coderproj.identity import tokens
from tests.api import ApiClient
from tests.factories import make_organization, make_template, make_user

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


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"HTTP_ORIGIN": "http://testserver"}, 200),
        ({"HTTP_SEC_FETCH_SITE": "same-origin"}, 200),
        ({"HTTP_SEC_FETCH_SITE": "none"}, 200),
        ({"HTTP_ORIGIN": "https://evil.example"}, 403),
        ({"HTTP_ORIGIN": "null"}, 403),
        ({"HTTP_ORIGIN": "http://testserver.evil.example"}, 403),
        ({"HTTP_ORIGIN": "not an origin"}, 403),
        ({"HTTP_SEC_FETCH_SITE": "cross-site"}, 403),
        ({"HTTP_SEC_FETCH_SITE": "same-site"}, 403),
    ],
)
def test_write_with_cookie_is_allowed_only_from_the_same_origin(world, headers, status):
    user, template = world
    api = with_cookie(user)
    answer = api.patch(f"templates/{template.pk}", {"name": "renamed"}, HTTP_HOST="testserver", **headers)
    assert answer.status_code == status
    template.refresh_from_db()
    assert template.name == ("renamed" if status == 200 else "mine")


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
