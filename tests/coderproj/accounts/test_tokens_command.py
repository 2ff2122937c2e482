"""``manage.py tokens``."""

import pytest
from django.core.management import CommandError

from coderproj.identity import tokens
from coderproj.identity.models import ApiKey
from tests.api import ApiClient
from tests.commands import run, run_json

pytestmark = pytest.mark.django_db


def test_created_token_works_and_is_shown_once(users):
    token = run("tokens", "create", "--name", "ci", "--user", "member", "--lifetime", "30d").strip()
    answer = ApiClient().get("users/me", HTTP_CODER_SESSION_TOKEN=token)
    assert answer.body["username"] == "member"
    key = ApiKey.objects.get(name="ci")
    assert (key.lifetime_seconds, key.login_type, key.scope) == (30 * 24 * 3600, "token", "all")
    listed = run("tokens", "list", "--user", "member")
    assert "ci" in listed
    assert token not in listed
    assert [row["token_name"] for row in run_json("tokens", "list", "--user", "member")] == ["ci"]
    assert "no tokens" in run("tokens", "list")


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("15m", 900), ("12h", 43_200), ("2d", 172_800), ("0", None)]
)
def test_lifetimes(users, settings, text, seconds):
    run("tokens", "create", "--lifetime", text)
    assert ApiKey.objects.get().lifetime_seconds == (seconds or settings.TOKEN_LIFETIME_SECONDS)


def test_narrow_scope(users):
    key = run_json("tokens", "create", "--scope", "application_connect")["key"]
    assert ApiClient().get("organizations", HTTP_CODER_SESSION_TOKEN=key).body == []


@pytest.mark.parametrize("by", ["id", "name"])
def test_revoke(users, by):
    key, _ = tokens.issue(user=users.owner, name="ci")
    run("tokens", "revoke", key.pk if by == "id" else "ci")
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("create", "--lifetime", "soon"), "lifetime: 'soon' is not a duration"),
        (("create", "--lifetime", "99999999999999999d"), "lifetime"),
        (("create", "--lifetime", "4000d"), "lifetime: Must be at most"),
        (("create", "--name", "x" * 65), "token_name"),
        (("create", "--name", "ci"), "already exists"),
        (("create", "--user", "nobody"), "existing username"),
        (("--as", "member", "create", "--user", "owner"), "not found"),
        (("--as", "member", "list", "--user", "owner"), "not found"),
        (("--as", "member", "revoke", "ci", "--user", "owner"), "not found"),
        (("revoke", "nothing"), "not found"),
    ],
)
def test_failure_exits_with_code_1_and_the_reason(users, arguments, text):
    tokens.issue(user=users.owner, name="ci")
    with pytest.raises(CommandError, match=text) as failure:
        run("tokens", *arguments)
    assert failure.value.returncode == 1
    assert ApiKey.objects.count() == 1
