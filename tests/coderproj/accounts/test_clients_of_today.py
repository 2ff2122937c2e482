"""Users, groups, tokens and organizations, as the command line and the Terraform provider of 2025 use them."""

import pytest
from django.conf import settings
from django.core.management import CommandError

from coderproj.identity.models import AuditLog, Group, GroupMembership, Membership, Organization, User
from provisioning.models import ProvisionerKey
from tests.api import ApiClient, fields_of
from tests.commands import run, run_json
from tests.factories import finish, make_job, make_provisioner_key, make_template, make_user, make_workspace
from tests.pages import browser, text_of

pytestmark = pytest.mark.django_db

NEW = {"email": "neo@example.test", "username": "neo"}
PASSWORD = "correct horse battery"


# ---------------------------------------------------------------------- users
def test_login_type_none_cannot_sign_in(api, org):
    created = api.owner.post("users", {**NEW, "login_type": "none", "name": "Neo N", "password": ""})
    assert (created.status_code, created.body["login_type"], created.body["name"]) == (201, "none", "Neo N")
    assert not User.objects.get(username="neo").has_usable_password()
    signed_in = ApiClient(None).post("users/login", {"email": NEW["email"], "password": ""})
    assert signed_in.status_code in {400, 401}
    assert api.owner.get("users/neo").body["updated_at"] == created.body["updated_at"]


def test_profile_and_roles_return_the_name(api, users):
    body = api.owner.put("users/member/profile", {"username": "member", "name": "Mem B"}).body
    assert (body["name"], body["login_type"]) == ("Mem B", "password")
    assert api.owner.put("users/member/roles", {"roles": ["auditor"]}).body["name"] == "Mem B"


def test_a_service_account_has_no_password(api, users):
    created = api.owner.post("users", {**NEW, "service_account": True})
    assert (created.status_code, created.body["is_service_account"], created.body["login_type"]) == (201, True, "none")
    answer = api.owner.put("users/neo/password", {"password": PASSWORD})
    assert (answer.status_code, fields_of(answer)) == (400, ["password"])
    assert api.owner.get("users/me").body["is_service_account"] is False


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"login_type": "oidc", "password": PASSWORD}, "login_type"),
        ({"login_type": 5}, "login_type"),
        ({"service_account": "yes"}, "service_account"),
        ({"service_account": True, "password": PASSWORD}, "password"),
        ({"service_account": True, "login_type": "password"}, "login_type"),
        ({"login_type": "password"}, "password"),
    ],
)
def test_bad_users_are_refused(api, users, body, field):
    answer = api.owner.post("users", {**NEW, **body})
    assert (answer.status_code, fields_of(answer)) == (400, [field])
    assert not User.objects.filter(username="neo").exists()


def test_a_search_by_an_account_at_github_finds_no_user(api, users):
    assert api.owner.get("users?q=github_com_user_id:5").body == {"users": [], "count": 0}
    answer = api.owner.get("users?q=github_com_user_id:x")
    assert (answer.status_code, fields_of(answer)) == (400, ["q"])


def test_the_command_creates_users_who_cannot_sign_in(users, org):
    answer = run_json("users", "create", "neo", "--email", NEW["email"], "--login-type", "none")
    assert (answer["login_type"], "password" in answer) == ("none", False)
    assert "none" in run("users", "show", "neo")
    with pytest.raises(CommandError, match="password"):
        run("users", "create", "trinity", "--email", "t@x.test", "--login-type", "none", "--password-from-stdin")
    assert not User.objects.filter(username="trinity").exists()


def test_the_page_creates_users_who_cannot_sign_in(users, org):
    form = {"username": "neo", "email": NEW["email"], "organizations": str(org.pk)}
    client = browser(users.owner)
    assert "This field is required." in text_of(client.post("/users/new", form))
    assert "has no password" in text_of(client.post("/users/new", {**form, "no_sign_in": "on", "password": PASSWORD}))
    assert client.post("/users/new", {**form, "no_sign_in": "on"}).status_code == 302
    assert User.objects.get(username="neo").login_type == "none"


# ---------------------------------------------------------------------- tokens
def test_limit_of_tokens(api, users):
    limit = settings.TOKEN_MAX_LIFETIME_SECONDS * 10**9
    for client, user in ((api.member, "me"), (api.owner, "member")):
        assert client.get(f"users/{user}/keys/tokens/tokenconfig").body == {"max_token_lifetime": limit}
    assert api.stranger.get("users/member/keys/tokens/tokenconfig").status_code == 400
    assert api.member.post("users/me/keys/tokens", {"lifetime": limit}).status_code == 201
    assert api.member.post("users/me/keys/tokens", {"lifetime": limit + 10**9}).status_code == 400


def test_owners_list_the_tokens_of_all_users(api, users):
    for name in ("owner", "member"):
        getattr(api, name).post("users/me/keys/tokens", {"token_name": name})
    path = "users/me/keys/tokens?include_all="
    assert [row["username"] for row in api.owner.get(f"{path}true").body] == ["owner", "member"]
    assert [row["username"] for row in api.owner.get(f"{path}false").body] == ["owner"]
    assert [row["username"] for row in api.member.get(f"{path}true").body] == ["member"]
    assert [row["username"] for row in api.user_admin.get(f"{path}true").body] == []
    answer = api.owner.get(f"{path}some")
    assert (answer.status_code, fields_of(answer)) == (400, ["include_all"])


# ---------------------------------------------------------------------- groups
def test_display_names_of_groups(api, org):
    path = f"organizations/{org.pk}/groups"
    group = api.admin.post(path, {"name": "devs", "display_name": "Devs", "quota_allowance": 0}).body
    found = (group["display_name"], group["source"], group["total_member_count"], group["organization_name"])
    assert found == ("Devs", "user", 0, "acme")
    kept = api.admin.patch(f"groups/{group['id']}", {"name": "", "display_name": None, "quota_allowance": None})
    assert kept.body["display_name"] == "Devs"
    assert api.admin.patch(f"groups/{group['id']}", {"display_name": ""}).body["display_name"] == ""
    answer = api.admin.patch(f"groups/{group['id']}", {"display_name": "x" * 65})
    assert (answer.status_code, fields_of(answer)) == (400, ["display_name"])
    row = AuditLog.objects.filter(resource_type="group", action="write").latest("time")
    assert row.diff["display_name"] == {"old": "Devs", "new": "", "secret": False}


def test_groups_of_all_organizations(api, users, org, other_org):
    devs = Group.objects.create(organization=org, name="devs")
    Group.objects.create(organization=other_org, name="others")
    GroupMembership.objects.create(group=devs, user=users.member)

    def names(query, client=api.owner):
        answer = client.get(f"groups?{query}")
        assert answer.status_code == 200, answer.body
        return [row["name"] for row in answer.body]

    assert names("") == ["devs", "others"]
    assert names("", api.stranger) == ["others"]
    assert names(f"organization={org.pk}") == names("organization=default") == names("has_member=member") == ["devs"]
    assert names("has_member=stranger") == []
    assert names(f"group_ids={devs.pk},{org.pk}") == ["Everyone", "devs"]
    assert api.owner.get("groups?organization=nothing").status_code == 404
    for query in ("has_member=nobody", "group_ids=5"):
        answer = api.owner.get(f"groups?{query}")
        assert (answer.status_code, fields_of(answer)) == (400, [query.partition("=")[0]])


def test_the_command_sets_display_names(users, org):
    Group.objects.create(organization=org, name="devs")
    assert run_json("groups", "display-name", "devs", "The devs")["display_name"] == "The devs"
    assert "The devs" in run("groups", "list")
    with pytest.raises(CommandError, match="display_name"):
        run("groups", "display-name", "devs", "x" * 65)
    assert Group.objects.get(name="devs").display_name == "The devs"


def test_pages_show_and_change_display_names(users, org):
    group = Group.objects.create(organization=org, name="devs", display_name="The devs")
    client = browser(users.owner)
    assert "The devs" in text_of(client.get("/groups?q=the"))
    form = {"name": "devs", "display_name": "All devs", "quota_allowance": 0, "avatar_url": ""}
    client.post(f"/groups/{group.pk}/settings", form)
    assert "All devs" in text_of(client.get(f"/groups/{group.pk}"))


# ---------------------------------------------------------------------- organizations
def test_members_have_statuses(api, users, org):
    rows = api.owner.get(f"organizations/{org.pk}/members").body
    assert {(row["username"], row["status"], row["login_type"]) for row in rows} == {
        (name, "active", "password") for name in ("admin", "member", "owner")
    }
    User.objects.filter(pk=users.member.pk).update(status="suspended")
    assert api.owner.get(f"organizations/{org.pk}/members/{users.member.pk}").body["status"] == "suspended"


def test_organizations_are_changed(api, users, org, other_org):
    changes = {"display_name": "The Acme", "description": "d", "icon": "/icon/a.svg"}
    answer = api.admin.patch(f"organizations/{org.pk}", changes)
    assert answer.status_code == 200
    assert {name: answer.body[name] for name in changes} == changes
    assert api.admin.patch(f"organizations/{org.pk}", {"name": ""}).body["name"] == "acme"
    assert api.owner.patch("organizations/default", {"name": "new"}).body["display_name"] == "The Acme"
    assert api.member.patch(f"organizations/{org.pk}", changes).status_code == 403
    assert api.stranger.patch(f"organizations/{org.pk}", changes).status_code == 404


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"name": "OTHER"}, 409, "name"),
        ({"name": "default"}, 400, "name"),
        ({"name": "a b"}, 400, "name"),
        ({"display_name": "x" * 65}, 400, "display_name"),
        ({"icon": 5}, 400, "icon"),
    ],
)
def test_bad_changes_of_organizations_are_refused(api, org, other_org, body, status, field):
    answer = api.admin.patch(f"organizations/{org.pk}", body)
    assert (answer.status_code, fields_of(answer)) == (status, [field])
    assert Organization.objects.get(pk=org.pk).name == "acme"


def test_a_deleted_organization_is_gone_for_everyone(api, users, org, other_org):
    Group.objects.create(organization=other_org, name="others")
    assert api.stranger.delete(f"organizations/{other_org.pk}").status_code == 403
    answer = api.owner.delete(f"organizations/{other_org.pk}")
    assert (answer.status_code, list(answer.body)) == (200, ["message"])
    for client in (api.owner, api.stranger):
        assert client.get(f"organizations/{other_org.pk}").status_code == 404
        assert client.delete(f"organizations/{other_org.pk}").status_code == 404
    assert api.stranger.get("users/me").body["organization_ids"] == []
    assert not Membership.objects.filter(organization=other_org).exists()
    assert [row["name"] for row in api.owner.get("organizations").body] == ["acme"]
    assert api.owner.get("groups").body == []
    assert AuditLog.objects.filter(resource_id=str(other_org.pk), action="delete", status_code=200).exists()
    assert api.owner.post("organizations", {"name": "other"}).status_code == 201


def test_organizations_with_things_in_them_stay(api, users, org, other_org):
    answer = api.owner.delete(f"organizations/{org.pk}")
    assert (answer.status_code, "default" in answer.body["message"]) == (400, True)
    template = make_template(user=users.stranger, organization=other_org, name="web")
    workspace = make_workspace(user=users.stranger, template=template)
    answer = api.owner.delete(f"organizations/{other_org.pk}")
    assert (answer.status_code, "1 template: web" in answer.body["detail"]) == (400, True)
    type(template).objects.update(deleted=True)
    assert workspace.name in api.owner.delete(f"organizations/{other_org.pk}").body["detail"]
    type(workspace).objects.update(deleted=True)
    make_provisioner_key(other_org, name="builders")
    assert "builders" in api.owner.delete(f"organizations/{other_org.pk}").body["detail"]
    ProvisionerKey.objects.all().delete()
    job = make_job(user=users.stranger, organization=other_org)
    assert "jobs that wait or run" in api.owner.delete(f"organizations/{other_org.pk}").body["detail"]
    finish(job)
    assert api.stranger.get(f"organizations/{other_org.pk}").status_code == 200
    assert api.owner.delete(f"organizations/{other_org.pk}").status_code == 200


def test_the_command_changes_and_deletes_organizations(users, org, other_org):
    assert run_json("organizations", "edit", "other", "--display-name", "The Others")["display_name"] == "The Others"
    with pytest.raises(CommandError, match="name"):
        run("organizations", "edit", "other", "--name", "a b")
    assert run_json("organizations", "delete", "other")["name"] == "other"
    with pytest.raises(CommandError, match="default"):
        run("organizations", "delete", "acme")
    assert [row["name"] for row in run_json("organizations", "list")] == ["acme"]


def test_the_page_deletes_an_organization_after_a_question(users, org, other_org):
    client = browser(users.owner)
    path = f"/organizations/{other_org.pk}/delete"
    assert "Delete the organization" in text_of(client.get(f"/organizations/{other_org.pk}/settings"))
    assert "Delete other?" in text_of(client.get(path))
    assert client.post(path).status_code == 302
    assert Organization.objects.get(pk=other_org.pk).deleted
    assert browser(users.owner).get(f"/organizations/{org.pk}/delete")["Location"] == f"/organizations/{org.pk}"


def test_a_deleted_user_has_no_token_in_the_list(api, users):
    leaving = make_user("leaving")
    ApiClient(leaving).post("users/me/keys/tokens", {"token_name": "x"})
    User.objects.filter(pk=leaving.pk).update(deleted=True)
    assert api.owner.get("users/me/keys/tokens?include_all=true").body == []
