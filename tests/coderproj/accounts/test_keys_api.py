"""Tokens and session keys over the API."""

from datetime import UTC, datetime, timedelta

import pytest

from coderproj.identity.models import ApiKey, AuditLog, User
from tests.api import ApiClient, fields_of
from tests.factories import make_user

pytestmark = pytest.mark.django_db

KEY_KEYS = {
    "id",
    "user_id",
    "last_used",
    "expires_at",
    "created_at",
    "updated_at",
    "login_type",
    "scope",
    "lifetime_seconds",
    "token_name",
    "username",
}
PATH = "users/me/keys/tokens"


@pytest.fixture
def mine():
    return ApiClient(make_user("ada"))


@pytest.mark.promise("S7")
def test_token_is_returned_only_on_creation(mine):
    assert mine.get(PATH).body == []
    created = mine.post(PATH, {"lifetime": 3_600 * 10**9, "scope": "", "token_name": "test token123"})
    assert (created.status_code, list(created.body)) == (201, ["key"])
    key_id, _, secret = created.body["key"].partition("-")
    (row,) = mine.get(PATH).body
    assert (set(row), row["last_used"]) == (KEY_KEYS, None)
    assert (row["id"], row["scope"], row["login_type"], row["lifetime_seconds"]) == (key_id, "all", "token", 3_600)
    by_id, by_name = mine.get(f"users/ada/keys/{key_id}"), mine.get(f"{PATH}/test token123")
    assert by_id.body == by_name.body == row
    for answer in (by_id, by_name, mine.get(PATH)):
        assert secret.encode() not in answer.raw
    stored = str(list(ApiKey.objects.values())) + str(list(AuditLog.objects.values()))
    assert secret not in stored
    assert ApiClient().get("users/me", HTTP_CODER_SESSION_TOKEN=created.body["key"]).status_code == 200
    assert mine.get(f"users/me/keys/{key_id}").body["last_used"]


def test_new_session_key_has_no_last_use(mine):
    token = mine.post("users/me/keys").body["key"]
    path = f"users/me/keys/{token[:10]}"
    assert mine.get(path).body["last_used"] is None
    User.objects.update(last_seen_at=None)
    assert ApiClient().get("users/me", HTTP_CODER_SESSION_TOKEN=token).status_code == 200
    assert mine.get(path).body["last_used"]
    assert User.objects.get().last_seen_at is not None


@pytest.mark.parametrize(("age", "slides"), [(timedelta(minutes=59), False), (timedelta(minutes=61), True)])
def test_expiry_slides_only_after_an_hour(mine, age, slides):
    token = mine.post(PATH, {"lifetime_seconds": 86_400}).body["key"]
    key = ApiKey.objects.filter(pk=token[:10])
    ends = key.get().expires_at - age
    key.update(expires_at=ends)
    assert ApiClient().get("users/me", HTTP_CODER_SESSION_TOKEN=token).status_code == 200
    assert (key.get().expires_at > ends) is slides


def test_short_lived_key_in_use_is_extended(mine):
    token = mine.post(PATH, {"lifetime_seconds": 70 * 60}).body["key"]
    key = ApiKey.objects.filter(pk=token[:10])
    user = ApiClient()
    assert user.get("users/me", HTTP_CODER_SESSION_TOKEN=token).status_code == 200
    now = datetime.now(UTC)
    key.update(last_used=now - timedelta(minutes=40), expires_at=now + timedelta(minutes=5))
    assert user.get("users/me", HTTP_CODER_SESSION_TOKEN=token).status_code == 200
    assert key.get().expires_at > now + timedelta(minutes=69)


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        (None, 30 * 24 * 3600),
        ({}, 30 * 24 * 3600),
        ({"lifetime": 0, "scope": None, "lifetime_seconds": None}, 30 * 24 * 3600),
        ({"lifetime": 8760 * 3600 * 10**9}, 8760 * 3600),
        ({"lifetime_seconds": 60}, 60),
    ],
)
def test_lifetimes(mine, body, seconds):
    assert mine.post(PATH, body).status_code == 201
    key = ApiKey.objects.get(login_type="token")
    assert key.lifetime_seconds == seconds
    assert abs(key.expires_at - key.created_at - timedelta(seconds=seconds)) < timedelta(seconds=5)


@pytest.mark.parametrize(
    ("body", "status", "fields"),
    [
        ({"lifetime": -1}, 400, ["lifetime"]),
        ({"lifetime": 5}, 400, ["lifetime"]),
        ({"lifetime": "1h"}, 400, ["lifetime"]),
        ({"lifetime": 10**30}, 400, ["lifetime"]),
        ({"lifetime_seconds": 10**12}, 400, ["lifetime_seconds"]),
        ({"scope": "everything"}, 400, ["scope"]),
        ({"token_name": "x" * 65}, 400, ["token_name"]),
        ({"token_name": "taken"}, 409, ["token_name"]),
    ],
)
def test_invalid_token_reports_the_field(mine, body, status, fields):
    assert mine.post(PATH, {"token_name": "taken"}).status_code == 201
    answer = mine.post(PATH, body)
    assert (answer.status_code, fields_of(answer)) == (status, fields)


@pytest.mark.promise("S7")
def test_deleted_token_is_rejected(mine):
    token = mine.post(PATH).body["key"]
    path = f"users/me/keys/{token[:10]}"
    answer = mine.delete(path)
    assert (answer.status_code, answer.raw) == (204, b"")
    assert ApiClient().get("users/me", HTTP_CODER_SESSION_TOKEN=token).status_code == 401
    assert mine.delete(path).status_code == mine.get(path).status_code == 404
    actions = AuditLog.objects.filter(resource_type="api_key", resource_target=token[:10]).order_by("time")
    assert [(row.action, row.status_code) for row in actions] == [("create", 201), ("delete", 204)]


def test_session_keys_last_a_week_and_are_not_listed_as_tokens(mine):
    created = mine.post("users/me/keys")
    assert (created.status_code, list(created.body)) == (201, ["key"])
    key = ApiKey.objects.get(pk=created.body["key"][:10])
    assert (key.lifetime_seconds, key.login_type) == (7 * 24 * 3600, "password")
    assert mine.get(PATH).body == []
    assert mine.get(f"users/me/keys/{key.pk}").status_code == 200


def test_only_the_user_and_owners_manage_keys(api, users):
    token = api.member.post(PATH, {"token_name": "mine"}).body["key"]
    calls = [
        ("GET", "users/member/keys/tokens"),
        ("POST", "users/member/keys/tokens"),
        ("GET", "users/member/keys/tokens/mine"),
        ("GET", f"users/member/keys/{token[:10]}"),
        ("DELETE", f"users/member/keys/{token[:10]}"),
        ("POST", "users/member/keys"),
    ]
    for name in ("user_admin", "template_admin", "auditor", "admin"):
        assert {getattr(api, name).call(*call).status_code for call in calls} == {404}, name
    assert {api.stranger.call(*call).status_code for call in calls} == {400}
    assert api.admin.get(f"users/me/keys/{token[:10]}").status_code == 404  # the key belongs to another user
    assert [api.owner.call(*call).status_code for call in calls] == [200, 201, 200, 200, 204, 201]


def test_suspended_user_cannot_get_a_token(api, users):
    users.member.status = "suspended"
    users.member.save()
    assert api.owner.post("users/member/keys/tokens").status_code == 400


@pytest.mark.parametrize("rows", [1, 3])
def test_query_count_does_not_depend_on_rows(mine, django_assert_num_queries, rows):
    for _ in range(rows):
        mine.post(PATH)
    with django_assert_num_queries(4):  # actor, user, memberships, tokens
        assert len(mine.get(PATH).body) == rows
