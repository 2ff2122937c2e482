"""No request trusts a cached actor: every change takes effect with the next request."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from coderproj.identity import authentication
from coderproj.identity.limits import counters
from coderproj.identity.models import ApiKey, Group, GroupMembership, Membership, User
from templates_app.models import AccessRole, Template, TemplateAccess
from tests.api import ApiClient
from tests.factories import make_organization, make_template, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def organization():
    return make_organization(is_default=True)


@pytest.fixture
def template(organization):
    admin = make_user("ada", organizations=(organization,), organization_roles=("organization-admin",))
    return make_template(user=admin, organization=organization, name="plain")


@pytest.fixture
def member(organization):
    return make_user("mel", organizations=(organization,))


@pytest.fixture
def api(member, template):
    """A member whose token is in the actor cache."""
    api = ApiClient(member)
    assert api.get(f"templates/{template.pk}").status_code == 200
    assert authentication.actor_cache.get(api.headers["HTTP_CODER_SESSION_TOKEN"]) is not None
    return api


def key_of(user: User) -> Any:
    return ApiKey.objects.filter(user=user)


CHANGES: dict[str, tuple[Callable[[User], Any], int]] = {
    "revoked": (lambda user: key_of(user).delete(), 401),
    "expired": (lambda user: key_of(user).update(expires_at=datetime.now(UTC) - timedelta(seconds=1)), 401),
    "another secret": (lambda user: key_of(user).update(hashed_secret=bytes(32)), 401),
    "another scope": (lambda user: key_of(user).update(scope="application_connect"), 404),
    "suspended": (lambda user: User.objects.filter(pk=user.pk).update(status="suspended"), 401),
    "deleted": (lambda user: User.objects.filter(pk=user.pk).update(deleted=True), 401),
    "no member any more": (lambda user: Membership.objects.filter(user=user).delete(), 404),
    "not listed any more": (lambda user: TemplateAccess.objects.all().delete(), 404),
    "template deleted": (lambda user: Template.objects.update(deleted=True), 404),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_lost_right_takes_effect_at_the_next_request(api, member, template, change):
    take, status = CHANGES[change]
    take(member)
    for _ in range(2):
        answer = api.get(f"templates/{template.pk}")
        assert answer.status_code == status
        assert "name" not in answer.body
    assert ("WWW-Authenticate" in answer.headers) == (status == 401)


@pytest.mark.parametrize("change", [name for name, (_, status) in CHANGES.items() if status == 401])
def test_an_invalid_token_gives_401_whatever_the_path(api, member, change):
    """Errors that depend on the path are only for callers with a valid token: others get 401."""
    CHANGES[change][0](member)
    for path in ("templates/nonsense", "templates/x/versions?limit=-1", "organizations/nowhere/templates"):
        assert api.get(path).status_code == 401


def test_a_new_right_takes_effect_at_the_next_request(api, member, template, organization):
    TemplateAccess.objects.all().delete()
    path = f"templates/{template.pk}"
    assert api.get(path).status_code == 404
    group = Group.objects.create(organization=organization, name="designers")
    TemplateAccess.objects.create(template=template, group=group, role=AccessRole.USE)
    assert api.get(path).status_code == 404
    membership = GroupMembership.objects.create(group=group, user=member)
    assert api.get(path).status_code == 200
    membership.delete()
    assert api.get(path).status_code == 404
    Membership.objects.filter(user=member).update(roles=["organization-admin"])
    assert api.get(path).status_code == 200
    Membership.objects.filter(user=member).update(roles=[])
    assert api.get(path).status_code == 404
    User.objects.filter(pk=member.pk).update(site_roles=["auditor"])
    assert api.get(path).status_code == 200


def test_the_use_of_a_key_is_noted(api, member, template):
    before = datetime.now(UTC) - timedelta(hours=2)
    key_of(member).update(last_used=before)
    for _ in range(2):
        assert api.get(f"templates/{template.pk}").status_code == 200
    assert key_of(member).get().last_used > before + timedelta(hours=1)


def test_an_expired_key_gives_401(api, member, template, monkeypatch):
    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) + timedelta(days=400)

    monkeypatch.setattr(authentication, "datetime", Later)
    assert api.get(f"templates/{template.pk}").status_code == 401


def test_a_request_that_leaves_the_fast_path_counts_once(api, member, template, settings):
    settings.RATELIMIT_API = 100
    counters.clear()
    path = f"templates/{template.pk}"
    left = [int(api.get(path).headers["X-RateLimit-Remaining"]) for _ in range(2)]
    TemplateAccess.objects.all().delete()
    left += [int(api.get(path).headers["X-RateLimit-Remaining"]) for _ in range(2)]
    assert left == [left[0] - n for n in range(4)]


def test_the_rate_limit_holds_on_the_fast_path(api, template, settings):
    settings.RATELIMIT_API = 2
    counters.clear()
    answers = [api.get(f"templates/{template.pk}") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2].headers["X-RateLimit-Remaining"] == "0"
    assert "Retry-After" in answers[2].headers


def test_only_owners_bypass_the_limit(api, member, template, settings):
    settings.RATELIMIT_API = 100
    path, bypass = f"templates/{template.pk}", {"HTTP_X_CODER_BYPASS_RATELIMIT": "true"}
    assert api.get(path, **bypass).status_code == 428
    User.objects.filter(pk=member.pk).update(site_roles=["owner"])
    assert api.get(path, **bypass).status_code == 200
    assert "X-RateLimit-Limit" not in api.get(path, **bypass).headers
    User.objects.filter(pk=member.pk).update(site_roles=[])
    assert api.get(path, **bypass).status_code == 428


def test_null_characters_find_nothing(api, organization, template):
    for name in ("plain%00", "plain%00x"):
        assert api.get(f"organizations/{organization.pk}/templates/{name}").status_code == 404
        assert api.get(f"organizations/default%00/templates/{name}").status_code == 404


def test_other_methods_take_the_regular_path(api, template):
    path = f"templates/{template.pk}"
    head = api.client.head(f"/api/v2/{path}", **api.headers)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Allow"] == api.get(path).headers["Allow"] == "GET, PATCH, DELETE, HEAD, OPTIONS"


def test_the_actor_cache_is_bounded(monkeypatch):
    monkeypatch.setattr(authentication, "CACHED_ACTORS", 3)
    cache = authentication.ActorCache()
    entry = authentication.CacheEntry(None, "", datetime.now(UTC), datetime.now(UTC), {})  # type: ignore[arg-type]
    for n in range(5):
        cache.put(f"token {n}", entry)
    assert [cache.get(f"token {n}") is entry for n in range(5)] == [False, False, True, True, True]


def test_parameters_of_the_actor_are_cached_and_those_of_a_request_are_not(api, member, organization, template):
    token = api.headers["HTTP_CODER_SESSION_TOKEN"]
    cached = authentication.actor_cache.get(token).parameters
    other = make_template(user=member, organization=organization, name="other")
    for one in (template, other, template):
        assert api.get(f"templates/{one.pk}").body["name"] == one.name
    (values,) = cached.values()
    assert values.count(None) == 1, "the place of the template's id"
    assert member.pk.hex.encode() in values
    assert api.get("templates/nonsense").status_code == 400, "takes the regular path, which renews the entry"
    assert authentication.actor_cache.get(token).parameters is cached
    Membership.objects.filter(user=member).update(roles=["organization-admin"])
    assert api.get(f"templates/{template.pk}").status_code == 200
    assert authentication.actor_cache.get(token).parameters is not cached
