"""Pages of API tokens."""

from datetime import timedelta

import pytest
from django.utils import timezone

from coderproj.identity import tokens
from coderproj.identity.models import ApiKey, AuditLog, KeyScope, LoginType
from tests.factories import make_user
from tests.pages import browser, text_of

pytestmark = pytest.mark.django_db
WEEK = 7 * 86_400


def test_page_without_tokens_offers_to_create_one(member):
    answer = browser(member).get("/tokens")
    assert "You have no token" in text_of(answer)
    assert 'href="/tokens/new"' in answer.content.decode()


def test_token_list_shows_scope_and_expiry(member):
    key, _ = tokens.issue(user=member, login_type=LoginType.TOKEN, name="pipeline", lifetime_seconds=WEEK // 2)
    tokens.issue(user=member, login_type=LoginType.TOKEN, name="apps", scope=KeyScope.APPLICATION_CONNECT)
    gone, _ = tokens.issue(user=member, login_type=LoginType.TOKEN, name="old")
    ApiKey.objects.filter(pk=gone.pk).update(expires_at=timezone.now() - timedelta(days=1))
    text = text_of(browser(member).get("/tokens"))
    assert f"pipeline {key.pk} All permissions of its owner never in 3d" in text
    assert "Connect to applications only" in text
    assert "Expired" in text


def test_sessions_are_not_listed(member):
    tokens.issue(user=member)
    assert "You have no token" in text_of(browser(member).get("/tokens"))


def test_token_is_shown_once_and_valid(member):
    client = browser(member)
    answer = client.post("/tokens/new", {"name": "laptop", "lifetime": WEEK, "scope": "all"})
    assert answer["Cache-Control"] == "no-store"
    key = ApiKey.objects.get(name="laptop")
    assert f"{key.pk}-" in text_of(answer)
    assert (key.user, key.lifetime_seconds, key.login_type) == (member, WEEK, "token")
    assert f"{key.pk}-" not in text_of(client.get("/tokens"))
    assert AuditLog.objects.get(resource_type="api_key").username == "mira"


def test_name_in_use_and_missing_name_are_reported_at_the_field(member):
    client = browser(member)
    given = {"name": "laptop", "lifetime": WEEK, "scope": "all"}
    client.post("/tokens/new", given)
    answer = client.post("/tokens/new", given)
    assert (answer.status_code, "A token with this name exists." in text_of(answer)) == (409, True)
    assert "This field is required." in text_of(client.post("/tokens/new", given | {"name": " "}))
    assert ApiKey.objects.filter(login_type=LoginType.TOKEN).count() == 1


def test_no_lifetime_is_offered_beyond_the_limit(member, settings):
    settings.TOKEN_MAX_LIFETIME_SECONDS = 31 * 86_400
    client = browser(member)
    text = text_of(client.get("/tokens/new"))
    assert ("30 days" in text, "90 days" in text) == (True, False)
    client.post("/tokens/new", {"name": "laptop", "lifetime": 90 * 86_400, "scope": "all"})
    assert not ApiKey.objects.filter(name="laptop").exists()


def test_revoking_asks_first_and_ends_the_token(member):
    key, _ = tokens.issue(user=member, login_type=LoginType.TOKEN, name="laptop")
    client = browser(member)
    assert "Programs that use it are rejected from their next request on" in text_of(
        client.get(f"/tokens/{key.pk}/revoke")
    )
    assert client.post(f"/tokens/{key.pk}/revoke")["Location"] == "/tokens"
    assert not ApiKey.objects.filter(pk=key.pk).exists()


def test_only_owners_manage_tokens_of_other_users(owner, member):
    key, _ = tokens.issue(user=member, login_type=LoginType.TOKEN, name="laptop")
    stranger = browser(make_user(organizations=tuple(member.organizations.all()), site_roles=("user-admin",)))
    assert "API tokens 1" not in text_of(stranger.get(f"/users/{member.pk}"))
    for address in (f"/users/{member.pk}/tokens/new", f"/tokens/{key.pk}/revoke"):
        assert (stranger.get(address).status_code, stranger.post(address).status_code) == (404, 404)
    client = browser(owner)
    assert "API tokens 1" in text_of(client.get(f"/users/{member.pk}"))
    client.post(f"/users/{member.pk}/tokens/new", {"name": "robot", "lifetime": WEEK, "scope": "all"})
    assert ApiKey.objects.get(name="robot").user == member
    assert client.post(f"/tokens/{key.pk}/revoke")["Location"] == f"/users/{member.pk}"
    assert list(ApiKey.objects.filter(user=member).values_list("name", flat=True)) == ["robot"]


def test_a_session_is_not_revoked_as_a_token(member):
    key, _ = tokens.issue(user=member)
    assert browser(member).get(f"/tokens/{key.pk}/revoke").status_code == 404
