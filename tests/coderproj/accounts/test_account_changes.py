"""A password, the status or a key changes while a key is being created: the change ends the key or prevents it."""

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from django.db import connection, connections, transaction
from django.test import override_settings

from coderproj.identity import services, users
from coderproj.identity.actor import Actor
from coderproj.identity.models import ApiKey, User
from tests.api import ApiClient
from tests.factories import make_organization, make_user
from tests.pages import browser
from tests.vocabulary import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

PASSWORD = "correct horse battery"
NEW_PASSWORD = "a new long password"
WAITING_SQL = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@pytest.fixture
def owner():
    return make_user("ada", organizations=(make_organization("acme", is_default=True),), site_roles=("owner",))


@pytest.fixture
def member(owner):
    return make_user("mira")


@contextmanager
def during(change):
    """Run ``change`` in a transaction that stays open until the call submitted in the block waits for it or ends."""

    def run(call):
        try:
            return call()
        finally:
            connections.close_all()

    submitted: list[Future] = []
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            change()

            def submit(call):
                submitted.append(pool.submit(run, call))
                return submitted[0]

            yield submit
            wait_until(lambda: submitted[0].done() or is_waited_for())
        submitted[0].result(10)


def is_waited_for() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")  # a transaction sees only the sessions that it saw first
        cursor.execute(WAITING_SQL)
        return cursor.fetchone()[0] > 0


def sign_in(user, password=PASSWORD):
    return ApiClient().post("users/login", {"email": user.email, "password": password})


def on_a_page(user):
    return browser().post("/login", {"email": user.email, "password": PASSWORD})


CHANGES = {
    "password": lambda owner, user: users.change_password(owner, user, password=NEW_PASSWORD),
    "suspension": users.suspend,
    "deletion": users.delete,
}


@pytest.mark.promise("S21", "A7")
@pytest.mark.parametrize("way", [sign_in, on_a_page])
@pytest.mark.parametrize("kind", CHANGES)
def test_sign_in_that_is_under_way_leaves_no_session(owner, member, kind, way):
    user = User.objects.get(pk=member.pk)
    with during(lambda: CHANGES[kind](Actor.of(owner), user)) as submit:
        answer = submit(lambda: way(member))
    assert answer.result().status_code == 401
    assert not ApiKey.objects.filter(user=member).exists()


@pytest.mark.promise("S21", "A7")
def test_no_session_survives_a_suspension_that_is_lifted(owner, member):
    user, actor = User.objects.get(pk=member.pk), Actor.of(owner)
    with during(lambda: users.suspend(actor, user)) as submit:
        answer = submit(lambda: sign_in(member))
    users.activate(actor, user)
    assert answer.result().status_code == 401
    assert not ApiKey.objects.filter(user=member).exists()
    assert sign_in(member).status_code == 201


@pytest.mark.promise("S21", "A7")
@pytest.mark.parametrize("kind", CHANGES)
@pytest.mark.parametrize("path", ["users/me/keys/tokens", "users/me/keys"])
def test_token_that_is_being_created_is_not_left_behind(owner, member, kind, path):
    api, user = ApiClient(member), User.objects.get(pk=member.pk)
    with during(lambda: CHANGES[kind](Actor.of(owner), user)) as submit:
        answer = submit(lambda: api.post(path))
    assert answer.result().status_code in {400, 401, 409}
    assert not ApiKey.objects.filter(user=member).exists()


@pytest.mark.promise("S21", "A7")
def test_key_that_is_revoked_creates_no_other(owner, member):
    api = ApiClient(member)
    key = ApiKey.objects.get(user=member)
    with during(lambda: services.revoke_key(Actor.of(owner), key)) as submit:
        answer = submit(lambda: api.post("users/me/keys/tokens"))
    assert answer.result().status_code == 401
    assert not ApiKey.objects.filter(user=member).exists()


def test_sign_in_before_the_change_is_ended_by_it(owner, member):
    token = sign_in(member).body["session_token"]
    users.change_password(Actor.of(owner), member, password=NEW_PASSWORD)
    assert ApiClient().get("users/me", HTTP_CODER_SESSION_TOKEN=token).status_code == 401
    assert sign_in(member, NEW_PASSWORD).status_code == 201


def test_two_changes_of_one_password_run_one_after_the_other(owner, member):
    """The second one needs the password that the first one has set."""
    api, actor = ApiClient(member), Actor.of(owner)
    body = {"old_password": PASSWORD, "password": "another long password"}
    with during(lambda: users.change_password(actor, member, password=NEW_PASSWORD)) as submit:
        answer = submit(lambda: api.put("users/me/password", body))
    assert answer.result().status_code in {400, 401}
    assert sign_in(member, NEW_PASSWORD).status_code == 201


def test_renewing_an_outdated_hash_does_not_restore_the_old_password(owner, member):
    """A sign-in replaces a hash that was made with another algorithm."""
    actor, user = Actor.of(owner), User.objects.get(pk=member.pk)
    hashers = ["django.contrib.auth.hashers.PBKDF2PasswordHasher", "django.contrib.auth.hashers.MD5PasswordHasher"]
    with (
        during(lambda: users.change_password(actor, user, password=NEW_PASSWORD)) as submit,
        override_settings(PASSWORD_HASHERS=hashers),
    ):
        answer = submit(lambda: sign_in(member))
        wait_until(lambda: answer.done() or is_waited_for())
    assert answer.result().status_code == 401
    assert sign_in(member, NEW_PASSWORD).status_code == 201
    assert sign_in(member).status_code == 401
