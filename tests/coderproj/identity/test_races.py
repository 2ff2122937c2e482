"""Two people doing the same thing at the same time: one wins, the others get a documented answer."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier

import pytest
from django.db import connection

from coderproj.identity.models import Group, GroupMembership, User
from tests.api import ApiClient
from tests.factories import make_organization, make_user

pytestmark = pytest.mark.django_db(transaction=True)

AT_ONCE = 4
ROUNDS = 5


def at_once(*calls):
    """Make the calls in threads of their own, together. The statuses, in order."""
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


def test_one_of_the_same_name_is_created(org, owner):
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


def test_somebody_is_added_to_a_group_and_an_organization_once(org, owner):
    for _ in range(ROUNDS):
        user, stranger = make_user(organizations=(org,)), make_user()
        group = Group.objects.create(organization=org, name=user.username)
        body = {"add_users": [str(user.pk)]}
        statuses = at_once(*[partial(client.patch, f"groups/{group.pk}", body) for client in clients(owner)])
        assert Counter(statuses) == {200: 1, 400: AT_ONCE - 1}
        assert GroupMembership.objects.filter(group=group).count() == 1
        path = f"organizations/{org.pk}/members/{stranger.username}"
        statuses = at_once(*[partial(client.post, path) for client in clients(owner)])
        assert Counter(statuses) == {201: 1, 409: AT_ONCE - 1}


def test_owners_who_delete_or_demote_each_other_leave_one(org):
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


def test_there_is_one_first_user():
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


def test_a_group_and_a_token_are_deleted_once(org, owner):
    for _ in range(ROUNDS):
        group = Group.objects.create(organization=org, name="g")
        statuses = at_once(*[partial(client.delete, f"groups/{group.pk}") for client in clients(owner)])
        assert set(statuses) <= {200, 404}
        assert 200 in statuses
        token = ApiClient(owner).post("users/me/keys/tokens").body["key"]
        path = f"users/me/keys/{token[:10]}"
        statuses = at_once(*[partial(client.delete, path) for client in clients(owner)])
        assert Counter(statuses) == {204: 1, 404: AT_ONCE - 1}
