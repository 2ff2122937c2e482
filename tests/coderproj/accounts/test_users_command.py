"""``manage.py users``."""

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
    """Return a function that sets standard input."""

    def put(line: str) -> None:
        monkeypatch.setattr("sys.stdin", io.StringIO(line))

    return put


# ---------------------------------------------------------------------- creating
def test_first_user_is_an_owner_with_an_organization():
    answer = run_json("users", *NEO, "--first", "--name", "Thomas")
    user = User.objects.get()
    assert (user.site_roles, user.name) == (["owner"], "Thomas")
    assert authenticate(username="neo@example.test", password=answer["password"]) == user
    assert Organization.objects.get(is_default=True).name == "neo"
    with pytest.raises(CommandError, match="already been created") as failure:
        run("users", "create", "trinity", "--email", "trinity@example.test", "--first")
    assert failure.value.returncode == 1


def test_error_without_an_owner_names_the_command():
    with pytest.raises(CommandError, match="users create --first") as failure:
        run("users", "list")
    assert failure.value.returncode == 1


def test_generated_password_is_shown_once(users, org):
    output = run("users", *NEO)
    password = output.split("Password: ")[1].split()[0]
    user = User.objects.get(username="neo")
    assert authenticate(username="neo@example.test", password=password) == user
    assert list(user.organizations.all()) == [org]
    assert user.site_roles == []
    row = AuditLog.objects.get(resource_target="neo", action="create")
    assert row.username == users.owner.username


def test_password_from_standard_input(users, typed, other_org):
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
        (("--as", "useradmin", *NEO, "--role", "auditor"), "not allowed to assign"),
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
def test_failure_exits_with_code_1_and_the_reason(users, org, typed, arguments, text):
    typed("short\n")
    with pytest.raises(CommandError, match=text) as failure:
        run("users", *arguments)
    assert failure.value.returncode == 1
    assert not User.objects.filter(username="neo").exists()


# ---------------------------------------------------------------------- reading
def test_list_and_search(users):
    assert len(run_json("users", "list")) == len(vars(users))
    assert [user["username"] for user in run_json("users", "list", "-q", "role:auditor")] == ["auditor"]
    assert [user["username"] for user in run_json("users", "list", "--query", "stran")] == ["stranger"]
    assert "template-admin" in run("users", "list")
    assert "No users match" in run("users", "list", "-q", "zzz")


def test_show(users, org):
    assert run_json("users", "show", "ADMIN")["email"] == users.admin.email
    output = run("users", "show", users.admin.pk)
    assert users.admin.email in output
    assert org.name in output


# ---------------------------------------------------------------------- changing
def test_suspend_activate_and_delete(users):
    tokens.issue(user=users.member)
    assert run_json("users", "suspend", "member")["status"] == "suspended"
    assert not ApiKey.objects.filter(user=users.member).exists()
    assert run_json("users", "activate", "member")["status"] == "active"
    assert "Deleted member" in run("users", "delete", "member")
    users.member.refresh_from_db()
    assert users.member.deleted


def test_roles_are_replaced(users):
    assert "Site roles of member: auditor, template-admin" in run(
        "users", "roles", "member", "template-admin", "auditor"
    )
    assert "Site roles of member: member" in run("users", "roles", "member")
    users.member.refresh_from_db()
    assert users.member.site_roles == []


def test_new_password_revokes_sessions(users):
    tokens.issue(user=users.member)
    answer = run_json("users", "password", "member")
    assert authenticate(username=users.member.email, password=answer["password"]) == users.member
    assert not ApiKey.objects.filter(user=users.member).exists()


def test_owner_can_replace_a_forgotten_password(users, typed):
    typed("battery horse staple\n")
    run("users", "password", "owner", "--password-from-stdin")
    assert authenticate(username=users.owner.email, password="battery horse staple") == users.owner


def test_first_owner_is_the_default_actor(users):
    make_user("second", site_roles=("owner",))
    run("users", "suspend", "member")
    assert AuditLog.objects.get(resource_target="member").username == "owner"
    run("users", "--as", "SECOND", "activate", "member")
    assert AuditLog.objects.filter(username="second").count() == 1
