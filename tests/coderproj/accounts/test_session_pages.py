"""Pages for the setup, signing in and out, and the user's own account."""

import pytest
from django.test import Client

from coderproj.identity import tokens
from coderproj.identity.authentication import SESSION_COOKIE
from coderproj.identity.models import ApiKey, AuditAction, AuditLog, LoginType, User
from tests.factories import make_organization, make_user
from tests.pages import browser, text_of

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery"


def sign_in(client: Client, user: User, password: str = PASSWORD, **extra: str):
    return client.post("/login", {"email": user.email, "password": password, **extra})


# ---------------------------------------------------------------------- signing in
def test_one_session_is_valid_for_pages_api_and_admin():
    client, user = browser(), make_user(site_roles=("owner",), password=PASSWORD)
    answer = sign_in(client, user)
    assert answer["Location"] == "/"
    cookie = answer.cookies[SESSION_COOKIE]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/")
    assert client.get("/account").status_code == 200
    assert client.get("/api/v2/users/me").json()["username"] == user.username
    assert client.get("/admin/").status_code == 200


def test_every_sign_in_creates_a_new_token():
    client, user = browser(), make_user(password=PASSWORD)
    first = sign_in(client, user).cookies[SESSION_COOKIE].value
    client.cookies.clear()
    assert sign_in(client, user).cookies[SESSION_COOKIE].value != first
    assert AuditLog.objects.filter(action=AuditAction.LOGIN).count() == 2


def test_unknown_email_and_wrong_password_look_alike():
    make_user(password=PASSWORD)
    known = make_user(password=PASSWORD)
    wrong = sign_in(browser(), known, "wrong")
    unknown = browser().post("/login", {"email": "nobody@example.test", "password": "wrong"})
    assert wrong.status_code == unknown.status_code == 401
    assert "Incorrect email or password." in text_of(wrong)
    assert text_of(wrong) == text_of(unknown)
    assert "wrong" not in wrong.content.decode().replace("wrong password", "")


@pytest.mark.parametrize("state", [{"status": "suspended"}, {"deleted": True}])
def test_inactive_users_cannot_sign_in(state):
    user = make_user(password=PASSWORD, **state)
    make_user()
    assert sign_in(browser(), user).status_code == 401


def test_guessing_ends_with_429(settings):
    settings.RATELIMIT_LOGIN = 3
    user = make_user(password=PASSWORD)
    client = browser()
    statuses = [sign_in(client, user, "wrong", REMOTE_ADDR="192.0.2.77").status_code for _ in range(5)]
    assert statuses[:2] == [401, 401]
    assert statuses[-1] == 429
    answer = sign_in(client, user)
    assert answer.status_code == 429  # even with the correct password
    assert int(answer["Retry-After"]) >= 1
    assert "Too many attempts" in text_of(answer)


def test_sign_in_redirects_to_the_requested_page():
    client, user = browser(), make_user(password=PASSWORD)
    page = client.get("/login?next=/jobs%3Fstatus%3Dfailed")
    assert 'value="/jobs?status=failed"' in page.content.decode()
    assert sign_in(client, user, next="/jobs?status=failed")["Location"] == "/jobs?status=failed"
    client.cookies.clear()
    assert sign_in(client, user, next="https://example.com/")["Location"] == "/"


def test_admin_rejects_members_without_a_sign_in_form():
    make_organization(is_default=True)
    member = browser(make_user())
    assert member.get("/admin/login/?next=/admin/").status_code == 403
    assert browser().get("/admin/login/?next=/admin/")["Location"] == "/login?next=%2Fadmin%2F"


# ---------------------------------------------------------------------- signing out
def test_signing_out_ends_the_token():
    client = browser(make_user())
    token = client.cookies[SESSION_COOKIE].value
    assert client.get("/logout").status_code == 405
    answer = client.post("/logout")
    assert answer["Location"] == "/login"
    assert answer.cookies[SESSION_COOKIE].value == ""
    client.cookies[SESSION_COOKIE] = token
    assert client.get("/account").status_code == 302
    assert client.get("/api/v2/users/me").status_code == 401
    assert AuditLog.objects.filter(action=AuditAction.LOGOUT).count() == 1


def test_the_admin_signs_out_in_the_same_way():
    client = browser(make_user(site_roles=("owner",)))
    assert client.post("/admin/logout/")["Location"] == "/login"
    assert client.get("/admin/").status_code == 302
    assert ApiKey.objects.count() == 0


def test_a_suspended_user_is_signed_out_at_once():
    user = make_user(site_roles=("owner",))
    client = browser(user)
    User.objects.filter(pk=user.pk).update(status="suspended")
    assert client.get("/account").status_code == 302
    assert client.get("/admin/").status_code == 302


# ---------------------------------------------------------------------- the first user
def test_the_first_visitor_becomes_the_owner():
    client = browser()
    assert client.get("/login")["Location"] == "/setup"
    answer = client.post("/setup", {"username": "ada", "email": "ada@example.test", "password": PASSWORD})
    assert answer["Location"] == "/"
    assert "owner" in User.objects.get().site_roles
    assert "No templates yet" in text_of(client.get("/templates"))


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"password": "short"}, "too short"),
        ({"username": "a b"}, "valid"),
        ({"email": "nonsense"}, "valid email"),
        ({"username": "-"}, "valid"),
    ],
)
def test_setup_errors_are_shown_at_their_fields(given, text):
    answer = browser().post("/setup", {"username": "ada", "email": "ada@example.test", "password": PASSWORD} | given)
    assert answer.status_code in {200, 400}
    assert text in text_of(answer)
    assert not User.objects.exists()


def test_setup_works_only_once():
    make_user()
    assert browser().get("/setup")["Location"] == "/login"
    answer = browser().post("/setup", {"username": "eve", "email": "eve@example.test", "password": PASSWORD})
    assert answer["Location"] == "/login"
    assert not User.objects.filter(username="eve").exists()


# ---------------------------------------------------------------------- the account
def test_changing_the_password_ends_everything_else():
    user = make_user(password=PASSWORD)
    client, other = browser(user), browser(user)
    tokens.issue(user=user, login_type=LoginType.TOKEN, name="ci")
    answer = client.post("/account", {"old_password": PASSWORD, "password": "another horse battery"})
    assert answer["Location"] == "/account"
    assert "The password was changed." in text_of(client.get("/account"))
    assert other.get("/account").status_code == 302
    assert not ApiKey.objects.filter(name="ci").exists()


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"old_password": "wrong", "password": "another horse battery"}, "Old password is incorrect."),
        ({"old_password": PASSWORD, "password": "short"}, "too short"),
        ({"old_password": PASSWORD, "password": ""}, "This field is required."),
    ],
)
def test_a_bad_password_changes_nothing(given, text):
    user = make_user(password=PASSWORD)
    client = browser(user)
    answer = client.post("/account", given)
    assert text in text_of(answer)
    assert client.get("/account").status_code == 200
    user.refresh_from_db()
    assert user.check_password(PASSWORD)


def test_password_cannot_be_guessed_with_a_stolen_session(settings):
    settings.RATELIMIT_LOGIN = 2
    client = browser(make_user(password=PASSWORD))
    given = {"old_password": "guess", "password": "another horse battery"}
    assert [client.post("/account", given).status_code for _ in range(3)] == [400, 400, 429]


def test_command_line_token_takes_a_click_and_is_shown_once():
    user = make_user()
    client = browser(user)
    before = ApiKey.objects.count()
    assert "Create a session token" in text_of(client.get("/cli-auth"))
    assert ApiKey.objects.count() == before
    answer = client.post("/cli-auth")
    assert answer["Cache-Control"] == "no-store"
    token = text_of(answer).partition("--token ")[2].split()[0]
    me = Client().get("/api/v2/users/me", headers={"coder-session-token": token})
    assert me.json()["username"] == user.username
    assert token not in text_of(client.get("/cli-auth"))
