"""``manage.py users``, as somebody at a terminal uses it."""

import io

import pytest
from django.contrib.auth import authenticate
from django.core.management import CommandError

from coderproj.identity import tokens
from coderproj.identity.models import ApiKey, AuditLog, Organization, User
from tests.commands import run, run_json
from tests.factories import make_user

pytestmark = pytest.mark.django_db

NEO = ("create", "neo", "--email", "neo@example.test")


@pytest.fixture
def typed(monkeypatch):
    """Puts a line on standard input."""

    def put(line: str) -> None:
        monkeypatch.setattr("sys.stdin", io.StringIO(line))

    return put


# ---------------------------------------------------------------------- making
def test_the_first_user_is_an_owner_with_an_organization():
    answer = run_json("users", *NEO, "--first", "--name", "Thomas")
    user = User.objects.get()
    assert (user.site_roles, user.name) == (["owner"], "Thomas")
    assert authenticate(username="neo@example.test", password=answer["password"]) == user
    assert Organization.objects.get(is_default=True).name == "neo"
    with pytest.raises(CommandError, match="already been created") as failure:
        run("users", "create", "trinity", "--email", "trinity@example.test", "--first")
    assert failure.value.returncode == 1


def test_without_an_owner_the_way_out_is_said():
    with pytest.raises(CommandError, match="users create --first") as failure:
        run("users", "list")
    assert failure.value.returncode == 1


def test_a_password_is_made_up_and_shown_once(people, org):
    said = run("users", *NEO)
    password = said.split("Password: ")[1].split()[0]
    user = User.objects.get(username="neo")
    assert authenticate(username="neo@example.test", password=password) == user
    assert list(user.organizations.all()) == [org]
    assert user.site_roles == []
    row = AuditLog.objects.get(resource_target="neo", action="create")
    assert row.username == people.owner.username


def test_a_password_can_be_typed(people, typed, other_org):
    typed("battery horse staple\n")
    answer = run_json("users", *NEO, "--password-from-stdin", "--role", "auditor", "--organization", "other")
    assert "password" not in answer
    assert [role["name"] for role in answer["roles"]] == ["auditor"]
    assert answer["organization_ids"] == [str(other_org.pk)]
    assert authenticate(username="neo@example.test", password="battery horse staple")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("create", "neo", "--email", "nowhere"), "email: "),
        (("create", "n e o", "--email", "neo@example.test"), "username: "),
        (("create", "me", "--email", "neo@example.test"), "username: This name is reserved"),
        (("create", "MEMBER", "--email", "neo@example.test"), "username: "),
        ((*NEO, "--organization", "nowhere"), "not found"),
        ((*NEO, "--first", "--role", "auditor"), "first: "),
        ((*NEO, "--password-from-stdin"), "password: "),
        (("--as", "useradmin", *NEO, "--role", "auditor"), "may not give"),
        (("--as", "member", *NEO), "Forbidden"),
        (("--as", "nobody", "list"), "no user 'nobody'"),
        (("list", "-q", "status:odd"), "q: "),
        (("show", "nobody"), "existing username"),
        (("suspend", "owner"), "cannot suspend yourself"),
        (("delete", "owner"), "cannot delete yourself"),
        (("roles", "member", "odd"), "not a site role"),
        (("roles", "owner"), "your own roles"),
        (("--as", "member", "delete", "admin"), "Forbidden"),
    ],
)
def test_what_cannot_be_done_is_exit_code_1_with_the_reason(people, org, typed, arguments, text):
    typed("short\n")
    with pytest.raises(CommandError, match=text) as failure:
        run("users", *arguments)
    assert failure.value.returncode == 1
    assert not User.objects.filter(username="neo").exists()


# ---------------------------------------------------------------------- reading
def test_listing_and_searching(people):
    assert len(run_json("users", "list")) == len(vars(people))
    assert [user["username"] for user in run_json("users", "list", "-q", "role:auditor")] == ["auditor"]
    assert [user["username"] for user in run_json("users", "list", "--query", "stran")] == ["stranger"]
    assert "template-admin" in run("users", "list")
    assert "no such users" in run("users", "list", "-q", "zzz")


def test_showing_one(people, org):
    assert run_json("users", "show", "ADMIN")["email"] == people.admin.email
    said = run("users", "show", people.admin.pk)
    assert people.admin.email in said
    assert org.name in said


# ---------------------------------------------------------------------- changing
def test_suspending_activating_and_deleting(people):
    tokens.issue(user=people.member)
    assert run_json("users", "suspend", "member")["status"] == "suspended"
    assert not ApiKey.objects.filter(user=people.member).exists()
    assert run_json("users", "activate", "member")["status"] == "active"
    assert "Deleted member" in run("users", "delete", "member")
    people.member.refresh_from_db()
    assert people.member.deleted


def test_roles_are_replaced(people):
    assert "is auditor, template-admin" in run("users", "roles", "member", "template-admin", "auditor")
    assert "member is member" in run("users", "roles", "member")
    people.member.refresh_from_db()
    assert people.member.site_roles == []


def test_a_new_password_ends_sessions(people):
    tokens.issue(user=people.member)
    answer = run_json("users", "password", "member")
    assert authenticate(username=people.member.email, password=answer["password"]) == people.member
    assert not ApiKey.objects.filter(user=people.member).exists()


def test_an_owner_who_forgot_their_password_gets_a_new_one(people, typed):
    typed("battery horse staple\n")
    run("users", "password", "owner", "--password-from-stdin")
    assert authenticate(username=people.owner.email, password="battery horse staple") == people.owner


def test_the_first_owner_acts_unless_told_otherwise(people):
    make_user("second", site_roles=("owner",))
    run("users", "suspend", "member")
    assert AuditLog.objects.get(resource_target="member").username == "owner"
    run("users", "--as", "SECOND", "activate", "member")
    assert AuditLog.objects.filter(username="second").count() == 1
