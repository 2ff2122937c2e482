"""First user, sign-in and sign-out over the API."""

import pytest

from coderproj.identity.models import ApiKey, AuditLog, Group, Membership, Organization, User
from tests.api import ApiClient, fields_of
from tests.factories import make_user

pytestmark = pytest.mark.django_db

FIRST = {"email": "ada@example.test", "username": "ada", "password": "correct horse battery", "trial": False}


def test_first_user_is_created_once():
    api = ApiClient()
    assert api.get("users/first").status_code == 404
    created = api.post("users/first", FIRST)
    assert (created.status_code, list(created.body)) == (201, ["user_id", "organization_id"])
    assert api.get("users/first").status_code == 200
    assert api.post("users/first", FIRST).status_code == 409
    user, organization = User.objects.get(), Organization.objects.get()
    assert (str(user.pk), str(organization.pk)) == (created.body["user_id"], created.body["organization_id"])
    assert (user.site_roles, organization.name, organization.is_default) == (["owner"], "ada", True)
    assert Group.objects.get().is_everyone
    assert Membership.objects.get().roles == ["organization-admin"]
    assert AuditLog.objects.get().resource_target == "ada"


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["email", "username", "password"]),
        ({**FIRST, "password": "short"}, ["password"]),
        ({**FIRST, "password": "password"}, ["password"]),
        ({**FIRST, "email": "nonsense"}, ["email"]),
        ({**FIRST, "username": "me"}, ["username"]),
        ({**FIRST, "username": "a_b"}, ["username"]),
        ({**FIRST, "username": "x" * 33}, ["username"]),
        ({**FIRST, "username": "0" * 32}, ["username"]),
        ({**FIRST, "username": 7}, ["username"]),
    ],
)
def test_invalid_first_user_reports_the_fields(body, fields):
    answer = ApiClient().post("users/first", body)
    assert (answer.status_code, fields_of(answer)) == (400, fields)
    assert not User.objects.exists()


def test_sign_in_returns_token_and_cookie():
    user = make_user("ada")
    answer = ApiClient().post("users/login", {"email": "ADA@example.test", "password": "correct horse battery"})
    assert (answer.status_code, list(answer.body)) == (201, ["session_token"])
    cookie = answer.cookies["coder_session_token"]
    assert cookie.value == answer.body["session_token"]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"], cookie["max-age"]) == (True, "Lax", "/", "")
    me = ApiClient().get("users/me", HTTP_CODER_SESSION_TOKEN=cookie.value)
    assert me.body["id"] == str(user.pk)
    assert [row.action for row in AuditLog.objects.all()] == ["login"]
    assert cookie.value.partition("-")[2] not in str(AuditLog.objects.values())


def test_all_wrong_credentials_give_the_same_response():
    make_user("ada")
    make_user("gone", deleted=True)
    make_user("locked", status="suspended")
    answers = {
        ApiClient().post("users/login", {"email": email, "password": password}).raw
        for email, password in (
            ("ada@example.test", "wrong horse battery"),
            ("nobody@example.test", "correct horse battery"),
            ("gone@example.test", "correct horse battery"),
            ("locked@example.test", "correct horse battery"),
        )
    }
    assert len(answers) == 1
    answer = ApiClient().post("users/login", {"email": "nobody@example.test", "password": "x"})
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Coder-Session-Token")
    assert not ApiKey.objects.exists()


def test_sign_in_requires_both_fields():
    answer = ApiClient().post("users/login", {})
    assert (answer.status_code, fields_of(answer)) == (400, ["email", "password"])


def test_sign_out_revokes_the_session_and_deletes_the_cookie():
    user = make_user("ada")
    api, other = ApiClient(user), ApiClient(user)
    answer = api.post("users/logout")
    assert (answer.status_code, answer.body) == (200, {"message": "Logged out!"})
    assert answer.cookies["coder_session_token"]["max-age"] == 0
    assert api.get("users/me").status_code == 401
    assert other.get("users/me").status_code == 200
    assert AuditLog.objects.get().action == "logout"
