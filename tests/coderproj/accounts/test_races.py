"""Concurrent requests for the same change: one succeeds, the others get a documented response."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier

import pytest
from django.db import connection

from coderproj.identity.models import AuditLog, Group, GroupMembership, User
from templates_app.models import Template
from tests.api import ApiClient
from tests.factories import make_organization, make_template, make_user, make_version

pytestmark = pytest.mark.django_db(transaction=True)

AT_ONCE = 4
ROUNDS = 5


def at_once(*calls):
    """Run the calls concurrently, each in its own thread. Return the status codes in order."""
    barrier = Barrier(len(calls))

    def run(call):
        try:
            barrier.wait(10)
            return call().status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


@pytest.fixture
def org():
    return make_organization("acme", is_default=True)


@pytest.fixture
def owner(org):
    return make_user("owner", organizations=(org,), site_roles=("owner",))


def clients(user):
    return [ApiClient(user) for _ in range(AT_ONCE)]


@pytest.mark.promise("R4")
def test_only_one_object_per_name_is_created(org, owner):
    for number in range(ROUNDS):
        name = f"n{number}"
        user = {"username": name, "email": f"{name}@example.test", "password": "correct horse battery"}
        for path, body in (
            ("users", user),
            ("organizations", {"name": name}),
            (f"organizations/{org.pk}/groups", {"name": name}),
            ("users/me/keys/tokens", {"token_name": name}),
        ):
            statuses = at_once(*[partial(client.post, path, body) for client in clients(owner)])
            assert Counter(statuses) == {201: 1, 409: AT_ONCE - 1}, path


@pytest.mark.promise("R4")
def test_user_is_added_to_a_group_and_an_organization_once(org, owner):
    for _ in range(ROUNDS):
        user, stranger = make_user(organizations=(org,)), make_user()
        group = Group.objects.create(organization=org, name=user.username)
        body = {"add_users": [str(user.pk)]}
        statuses = at_once(*[partial(client.patch, f"groups/{group.pk}", body) for client in clients(owner)])
        assert Counter(statuses) == {200: 1, 400: AT_ONCE - 1}
        assert GroupMembership.objects.filter(group=group).count() == 1
        path = f"organizations/{org.pk}/members/{stranger.username}"
        statuses = at_once(*[partial(client.post, path) for client in clients(owner)])
        assert Counter(statuses) == {200: 1, 409: AT_ONCE - 1}


def test_one_owner_remains_when_two_delete_or_demote_each_other(org):
    for method in ("DELETE", "PUT"):
        pair = [make_user(organizations=(org,), site_roles=("owner",)) for _ in range(2)]
        first, second = (ApiClient(user) for user in pair)
        path, body = ("", None) if method == "DELETE" else ("/roles", {"roles": []})
        statuses = at_once(
            partial(first.call, method, f"users/{pair[1].username}{path}", body),
            partial(second.call, method, f"users/{pair[0].username}{path}", body),
        )
        assert statuses.count(200) == 1
        left = User.objects.existing().filter(site_roles__contains=["owner"])
        assert left.count() == 1
        left.delete()


def test_only_one_first_user_is_created():
    statuses = at_once(
        *[
            partial(
                ApiClient().post,
                "users/first",
                {"email": f"u{number}@example.test", "username": f"u{number}", "password": "correct horse battery"},
            )
            for number in range(AT_ONCE)
        ]
    )
    assert Counter(statuses) == {201: 1, 409: AT_ONCE - 1}
    assert User.objects.count() == 1


@pytest.mark.promise("R4")
def test_group_and_token_are_deleted_once(org, owner):
    for _ in range(ROUNDS):
        group = Group.objects.create(organization=org, name="g")
        statuses = at_once(*[partial(client.delete, f"groups/{group.pk}") for client in clients(owner)])
        assert set(statuses) <= {200, 404}
        assert 200 in statuses
        token = ApiClient(owner).post("users/me/keys/tokens").body["key"]
        path = f"users/me/keys/{token[:10]}"
        statuses = at_once(*[partial(client.delete, path) for client in clients(owner)])
        assert Counter(statuses) == {204: 1, 404: AT_ONCE - 1}


@pytest.mark.promise("R4")
def test_template_and_user_are_deleted_once(org, owner):
    for _ in range(ROUNDS):
        template, user = make_template(user=owner, organization=org), make_user()
        for path in (f"templates/{template.pk}", f"users/{user.pk}"):
            calls = [partial(client.delete, path) for client in clients(owner)]
            statuses = at_once(*calls)
            # A user who is gone before the request finds them is an unknown user, by contract 400.
            assert statuses.count(200) == 1, path
            assert set(statuses) <= {200, 404, *([400] if "users" in path else [])}, path


@pytest.mark.promise("R4")
def test_changes_of_what_is_deleted_in_the_meantime_are_404(org, owner):
    """The deletion is committed between the request's first look and its change."""
    for round_ in range(ROUNDS):
        template, member = make_template(user=owner, organization=org), make_user(organizations=(org,))
        group = Group.objects.create(organization=org, name=f"g{round_}")
        one, other, third, fourth = clients(owner)
        for path, changes in {
            f"templates/{template.pk}": (
                partial(other.patch, f"templates/{template.pk}", {"description": "x"}),
                partial(third.patch, f"templates/{template.pk}/acl", {"user_perms": {str(member.pk): "use"}}),
                partial(fourth.patch, f"templates/{template.pk}/versions", {"id": str(template.active_version_id)}),
            ),
            f"groups/{group.pk}": (
                partial(other.patch, f"groups/{group.pk}", {"quota_allowance": 1}),
                partial(third.patch, f"groups/{group.pk}", {"add_users": [str(member.pk)]}),
            ),
            f"organizations/{org.pk}/members/{member.pk}": (
                partial(other.put, f"organizations/{org.pk}/members/{member.pk}/roles", {"roles": []}),
            ),
        }.items():
            statuses = at_once(partial(one.delete, path), *changes)
            assert statuses[0] == (204 if "members" in path else 200), path
            assert set(statuses[1:]) <= {200, 404}, path


def test_concurrent_changes_are_recorded_in_sequence(org, owner):
    """The old value of each audit row is the new value of the previous one."""
    template = make_template(user=owner, organization=org)
    for round_ in range(ROUNDS):
        texts = [f"text {round_}.{number}" for number in range(AT_ONCE)]
        began = Template.objects.get(pk=template.pk).description
        AuditLog.objects.all().delete()
        calls = [
            partial(client.patch, f"templates/{template.pk}", {"description": text})
            for client, text in zip(clients(owner), texts, strict=True)
        ]
        assert at_once(*calls) == [200] * AT_ONCE
        changes = [log.diff["description"] for log in AuditLog.objects.all() if log.diff]
        became = {change["old"]: change["new"] for change in changes}
        assert len(became) == len(changes), changes
        last = began
        for _ in changes:
            last = became[last]
        assert last == Template.objects.get(pk=template.pk).description


def test_concurrent_updates_of_different_fields_are_all_kept(org, owner):
    for number in range(ROUNDS):
        group = Group.objects.create(organization=org, name=f"g{number}")
        bodies: list[dict[str, object]] = [
            {"quota_allowance": 7},
            {"avatar_url": "/icon/go.svg"},
            {"name": f"h{number}"},
        ]
        calls = [
            partial(client.patch, f"groups/{group.pk}", body)
            for client, body in zip(clients(owner), bodies, strict=False)
        ]
        assert at_once(*calls) == [200] * len(bodies)
        group.refresh_from_db()
        assert (group.quota_allowance, group.avatar_url, group.name) == (7, "/icon/go.svg", f"h{number}")


def test_concurrent_updates_of_a_version_are_all_kept(org, owner):
    for number in range(ROUNDS):
        version = make_version(user=owner, organization=org, name=f"v{number}")
        bodies = ({"name": f"w{number}"}, {"message": f"text {number}"})
        calls = [
            partial(client.patch, f"templateversions/{version.pk}", body)
            for client, body in zip(clients(owner), bodies, strict=False)
        ]
        assert at_once(*calls) == [200] * len(bodies)
        version.refresh_from_db()
        assert (version.name, version.message) == (f"w{number}", f"text {number}")


def test_concurrent_sign_outs_of_one_session(org, owner):
    for _ in range(ROUNDS):
        windows = clients(owner)
        for window in windows:
            window.headers = windows[0].headers
        statuses = at_once(*[partial(window.post, "users/logout") for window in windows])
        assert 200 in statuses
        assert set(statuses) <= {200, 401}, "requests after the first sign-out get 401"
