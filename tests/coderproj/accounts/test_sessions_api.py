"""First user, sign-in and sign-out over the API."""

import pytest

from coderproj.identity import tokens, users
from coderproj.identity.actor import Actor
from coderproj.identity.models import (
    ApiKey,
    AuditLog,
    Group,
    LoginType,
    Membership,
    Organization,
    SuspendedKey,
    User,
)
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


@pytest.mark.promise("S8")
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


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["email", "password"]),
        ({"email": None, "password": None}, ["email", "password"]),
        ({"email": "ada", "password": "x"}, ["email"]),
        ({"email": "ada@", "password": "x"}, ["email"]),
        ({"email": "ada@example.test\n", "password": "x"}, ["email"]),
        ({"email": "correct horse battery", "password": "x"}, ["email"]),
        ({"email": 7, "password": "x"}, ["email"]),
        ({"email": "ada@example.test", "password": ""}, ["password"]),
    ],
)
def test_invalid_sign_in_reports_the_fields(body, fields):
    make_user("ada")
    answer = ApiClient().post("users/login", body)
    assert (answer.status_code, fields_of(answer)) == (400, fields)


@pytest.mark.parametrize("kind", ["session", "token"])
def test_a_suspended_user_learns_that_the_account_has_to_be_activated(kind):
    owner, user = make_user(site_roles=("owner",)), make_user("ada")
    _, token = tokens.issue(user=user, login_type=LoginType.TOKEN if kind == "token" else LoginType.PASSWORD)
    extra = {"HTTP_CODER_SESSION_TOKEN": token}
    assert ApiClient().get("users/me", **extra).status_code == 200
    users.suspend(Actor.of(owner), user)
    answer = ApiClient().get("users/me", **extra)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Coder-Session-Token")
    assert "An administrator has to activate it" in answer.body["message"]
    wrong = token[:-1] + ("a" if token[-1] != "a" else "b")
    unknown = ApiClient().get("users/me", HTTP_CODER_SESSION_TOKEN=wrong)
    assert (unknown.status_code, "suspended" in str(unknown.body)) == (401, False)
    users.activate(Actor.of(owner), user)
    answer = ApiClient().get("users/me", **extra)
    assert (answer.status_code, "suspended" in str(answer.body)) == (401, False)
    assert not SuspendedKey.objects.exists()


def test_a_deleted_users_token_is_like_an_unknown_one():
    owner, user = make_user(site_roles=("owner",)), make_user("ada")
    _, token = tokens.issue(user=user)
    users.suspend(Actor.of(owner), user)
    users.delete(Actor.of(owner), user)
    gone = ApiClient().get("users/me", HTTP_CODER_SESSION_TOKEN=token)
    unknown = ApiClient().get("users/me", HTTP_CODER_SESSION_TOKEN=f"{'a' * 10}-{'b' * 22}")
    assert (gone.status_code, gone.raw) == (401, unknown.raw)


def test_expired_keys_of_a_suspended_user_are_forgotten():
    owner, user = make_user(site_roles=("owner",)), make_user("ada")
    key, token = tokens.issue(user=user)
    ApiKey.objects.filter(pk=key.pk).update(expires_at=key.created_at)
    users.suspend(Actor.of(owner), user)
    assert not SuspendedKey.objects.exists()
    answer = ApiClient().get("users/me", HTTP_CODER_SESSION_TOKEN=token)
    assert (answer.status_code, "suspended" in str(answer.body)) == (401, False)


def test_answers_are_not_stored_by_caches():
    user = make_user("ada")
    api = ApiClient(user)
    for path, status in (("users/me", 200), ("users/nobody", 400), ("templates/x", 400), ("nowhere", 404)):
        for _ in range(2):  # the second one may come from a compiled read
            answer = api.get(path)
            assert (answer.status_code, answer.headers["Cache-Control"]) == (status, "no-store"), path
    assert ApiClient().get("users/me").headers["Cache-Control"] == "no-store"


@pytest.mark.promise("S7")
def test_sign_out_revokes_the_session_and_deletes_the_cookie():
    user = make_user("ada")
    api, other = ApiClient(user), ApiClient(user)
    answer = api.post("users/logout")
    assert (answer.status_code, answer.body) == (200, {"message": "Logged out!"})
    assert answer.cookies["coder_session_token"]["max-age"] == 0
    assert api.get("users/me").status_code == 401
    assert other.get("users/me").status_code == 200
    assert AuditLog.objects.get().action == "logout"
