"""Changes of users over the API: access, passwords, profiles and roles."""

import pytest

from coderproj.identity.models import ApiKey, AuditLog, GitSSHKey, User
from tests.api import ApiClient, fields_of
from tests.factories import make_user

pytestmark = pytest.mark.django_db


# ---------------------------------------------------------------------- suspending and deleting
@pytest.mark.promise("S7")
def test_suspension_revokes_all_tokens_permanently(api, users):
    answer = api.user_admin.put("users/member/status/suspend")
    assert (answer.status_code, answer.body["status"]) == (200, "suspended")
    assert api.member.get("users/me").status_code == 401
    assert not ApiKey.objects.filter(user=users.member).exists()
    answer = api.user_admin.put(f"users/{users.member.pk}/status/activate")
    assert (answer.status_code, answer.body["status"]) == (200, "active")
    assert api.member.get("users/me").status_code == 401
    rows = AuditLog.objects.filter(resource_target="member").order_by("time")
    assert [(row.action, row.diff["status"]["new"]) for row in rows] == [("write", "suspended"), ("write", "active")]


def test_own_account_and_owners_cannot_be_suspended(api, users):
    assert api.user_admin.put("users/me/status/suspend").status_code == 400
    assert api.user_admin.put("users/owner/status/suspend").status_code == 400
    assert api.owner.put("users/owner/status/suspend").status_code == 400
    assert User.objects.filter(status="suspended").count() == 0
    assert api.owner.get("users/me").status_code == 200


def test_deleting_a_user_keeps_the_row_and_releases_the_name(api, users):
    answer = api.owner.delete("users/member")
    assert (answer.status_code, list(answer.body)) == (200, ["message"])
    assert api.member.get("users/me").status_code == 401
    assert api.owner.get("users/member").status_code == 400
    assert api.owner.delete(f"users/{users.member.pk}").status_code == 400
    assert User.objects.get(pk=users.member.pk).deleted
    again = {"username": "member", "email": "member@example.test", "password": "correct horse battery"}
    assert api.owner.post("users", again).status_code == 201
    assert AuditLog.objects.get(action="delete").resource_target == "member"


@pytest.mark.parametrize(("method", "path"), [("PUT", "/status/suspend"), ("PUT", "/status/activate"), ("DELETE", "")])
def test_roles_that_may_suspend_activate_and_delete_users(statuses, org, method, path):
    def end(client):
        victim = make_user(organizations=(org,))
        return client.call(method, f"users/{victim.username}{path}")

    assert statuses(end) == {
        "owner": 200,
        "user_admin": 200,
        "template_admin": 403,
        "auditor": 403,
        "admin": 403,
        "member": 403,
        "stranger": 400,
    }


def test_last_owner_cannot_be_removed(api, users):
    assert api.owner.delete("users/me").status_code == 400
    assert api.user_admin.delete("users/owner").status_code == 403
    second = make_user("second", site_roles=("owner",))
    assert ApiClient(second).delete("users/owner").status_code == 200
    assert ApiClient(second).delete("users/second").status_code == 400
    assert ApiClient(second).put("users/second/roles", {"roles": []}).status_code == 400
    assert User.objects.get(pk=second.pk).site_roles == ["owner"]


# ---------------------------------------------------------------------- changing
@pytest.mark.promise("S7")
def test_own_password_change_requires_the_old_one_and_revokes_tokens(users):
    api, other = ApiClient(users.member), ApiClient(users.member)
    wrong = api.put("users/me/password", {"old_password": "wrong", "password": "a new long password"})
    assert (wrong.status_code, fields_of(wrong)) == (400, ["old_password"])
    weak = api.put("users/me/password", {"old_password": "correct horse battery", "password": "password"})
    assert (weak.status_code, fields_of(weak)) == (400, ["password"])
    assert other.get("users/me").status_code == 200
    right = api.put("users/me/password", {"old_password": "correct horse battery", "password": "a new long password"})
    assert (right.status_code, right.raw) == (204, b"")
    assert {client.get("users/me").status_code for client in (api, other)} == {401}
    assert (
        ApiClient().post("users/login", {"email": "member@example.test", "password": "a new long password"}).status_code
        == 201
    )
    assert "a new long password" not in str(list(AuditLog.objects.values()))


def test_administrators_set_passwords_without_the_old_one(api, statuses):
    def change(client):
        return client.put("users/member/password", {"password": "a new long password"})

    assert change(api.member).status_code == 400  # users need the old password to change their own
    assert statuses(change) == {
        "owner": 204,
        "user_admin": 204,
        "template_admin": 403,
        "auditor": 403,
        "admin": 403,
        "member": 400,
        "stranger": 400,
    }
    assert api.user_admin.put("users/owner/password", {"password": "a new long password"}).status_code == 403


def test_update_profile(api, users):
    answer = api.member.put("users/me/profile", {"username": "renamed", "name": "New Name"})
    assert (answer.status_code, answer.body["username"]) == (200, "renamed")
    assert User.objects.get(pk=users.member.pk).name == "New Name"
    assert api.member.put("users/me/profile", {"username": "RENAMED"}).status_code == 200
    taken = api.member.put("users/me/profile", {"username": "Owner"})
    assert (taken.status_code, fields_of(taken)) == (409, ["username"])
    bad = api.member.put("users/me/profile", {"username": "", "avatar_url": "x" * 1025})
    assert (bad.status_code, fields_of(bad)) == (400, ["username", "avatar_url"])
    assert api.admin.put("users/renamed/profile", {"username": "x"}).status_code == 403
    assert api.user_admin.put("users/renamed/profile", {"username": "member"}).status_code == 200
    forged = {"username": "member", "status": "suspended", "deleted": True, "site_roles": ["owner"], "id": "x"}
    assert api.member.put("users/me/profile", forged).status_code == 200
    member = User.objects.get(pk=users.member.pk)
    assert (member.status, member.deleted, member.site_roles) == ("active", False, [])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "organizations"),
        ("PUT", "users/admin/roles"),
        ("PUT", "users/admin/profile"),
        ("PUT", "users/admin/password"),
        ("PUT", "organizations/acme/members/admin/roles"),
        ("POST", "organizations/acme/groups"),
    ],
)
def test_permission_is_checked_before_the_body(api, method, path):
    for body in ({}, {"roles": ["nonsense"]}, {"name": 1}):
        assert api.member.call(method, path, body).status_code == 403


def test_only_owners_assign_site_roles(api, statuses):
    def give(client):
        return client.put("users/member/roles", {"roles": ["template-admin"]})

    assert statuses(give) == {
        "owner": 200,
        "user_admin": 200,  # the user already has the role
        "template_admin": 403,
        "auditor": 403,
        "admin": 403,
        "member": 403,
        "stranger": 400,
    }
    assert api.user_admin.put("users/member/roles", {"roles": ["owner"]}).status_code == 403
    assert api.user_admin.put("users/me/roles", {"roles": ["owner"]}).status_code == 403
    assert api.user_admin.put("users/member/roles", {"roles": []}).status_code == 403
    unknown = api.owner.put("users/member/roles", {"roles": ["king"]})
    assert (unknown.status_code, fields_of(unknown)) == (400, ["roles"])
    answer = api.owner.put("users/member/roles", {"roles": ["auditor", "member", "auditor"]})
    assert answer.body["roles"] == [{"name": "auditor", "display_name": "Auditor"}]
    assert api.member.get("users/me/roles").body["roles"] == ["auditor"]
    row = AuditLog.objects.filter(status_code=200, resource_target="member").first()
    assert row.diff["site_roles"] == {"old": ["template-admin"], "new": ["auditor"], "secret": False}


def test_ssh_key_is_created_once_and_its_private_key_is_never_returned(api, users):
    first = api.member.get("users/me/gitsshkey").body
    assert first["public_key"].startswith("ssh-ed25519 ")
    assert list(first) == ["user_id", "created_at", "updated_at", "public_key"]
    assert api.member.get("users/me/gitsshkey").body == first
    second = api.member.put("users/me/gitsshkey").body
    assert second["public_key"] != first["public_key"]
    assert api.member.get("users/owner/gitsshkey").status_code == 403
    assert api.owner.get(f"users/{users.member.username}/gitsshkey").body == second
    stored = bytes(GitSSHKey.objects.get(user=users.member).encrypted_private_key)
    assert b"PRIVATE KEY" not in stored
    row = AuditLog.objects.filter(resource_type="git_ssh_key").get()
    assert row.diff["encrypted_private_key"]["secret"] is True
    assert stored.hex() not in str(row.diff)
