"""Organizations and members over the API."""

import uuid

import pytest

from coderproj.identity.models import AuditLog, Group, GroupMembership, Membership
from tests.api import ApiClient, fields_of
from tests.factories import make_organization, make_user

pytestmark = pytest.mark.django_db


def test_visible_organizations(api, org, other_org):
    assert [row["name"] for row in api.owner.get("organizations").body] == ["acme", "other"]
    assert [row["name"] for row in api.member.get("organizations").body] == ["acme"]
    body = api.member.get("organizations").body[0]
    assert list(body)[:4] == ["id", "name", "created_at", "updated_at"]
    assert body["is_default"] is True
    for reference in (org.pk, "ACME", "default"):
        assert api.member.get(f"organizations/{reference}").body == body
    for reference in (other_org.pk, "other", uuid.uuid4(), "nothing", "%00"):
        assert api.member.get(f"organizations/{reference}").status_code == 404


def test_only_owners_create_organizations(api, users, statuses):
    number = iter(range(100))
    assert statuses(lambda client: client.post("organizations", {"name": f"new-{next(number)}"})) == {
        "owner": 201,
        **dict.fromkeys(["user_admin", "template_admin", "auditor", "admin", "member", "stranger"], 403),
    }
    created = api.owner.post("organizations", {"name": "mine", "display_name": "Mine", "is_default": True})
    assert (created.status_code, created.body["display_name"], created.body["is_default"]) == (201, "Mine", False)
    assert Group.objects.get(pk=created.body["id"]).is_everyone
    assert Membership.objects.get(organization=created.body["id"]).roles == ["organization-admin"]
    assert AuditLog.objects.filter(resource_type="organization", resource_id=created.body["id"]).exists()


@pytest.mark.parametrize(
    ("body", "status", "fields"),
    [
        ({}, 400, ["name"]),
        ({"name": "a b"}, 400, ["name"]),
        ({"name": "Default"}, 400, ["name"]),
        ({"name": "0" * 32}, 400, ["name"]),
        ({"name": "x" * 33}, 400, ["name"]),
        ({"name": "fine", "description": "x" * 257}, 400, ["description"]),
        ({"name": "ACME"}, 409, ["name"]),
    ],
)
def test_invalid_organization_reports_the_field(api, org, body, status, fields):
    answer = api.owner.post("organizations", body)
    assert (answer.status_code, fields_of(answer)) == (status, fields)


# ---------------------------------------------------------------------- members
def test_member_list_excludes_suspended_and_deleted_users(api, org, statuses):
    make_user("gone", organizations=(org,), deleted=True)
    make_user("locked", organizations=(org,), status="suspended")
    path = f"organizations/{org.pk}/members"
    rows = api.member.get(path).body
    assert [row["username"] for row in rows] == ["admin", "member", "owner"]
    assert rows[0]["roles"] == [
        {"name": "organization-admin", "display_name": "Organization Admin", "organization_id": str(org.pk)}
    ]
    assert statuses(lambda client: client.get(path)) == {
        "owner": 200,
        "user_admin": 200,
        "template_admin": 404,
        "auditor": 404,
        "admin": 200,
        "member": 200,
        "stranger": 404,
    }


@pytest.mark.parametrize("rows", [1, 3])
def test_query_count_does_not_depend_on_rows(django_assert_num_queries, rows):
    organization = make_organization()
    users = [make_user(organizations=(organization,)) for _ in range(rows)]
    api = ApiClient(users[0])
    with django_assert_num_queries(3):  # actor, organization, members
        assert len(api.get(f"organizations/{organization.pk}/members").body) == rows


def test_add_and_remove_members(api, org, users):
    path = f"organizations/{org.pk}/members/stranger"
    assert api.admin.post(path).status_code == 400  # users of other organizations are not visible to the administrator
    assert api.member.post(f"organizations/{org.pk}/members/me").status_code == 403
    added = api.user_admin.post(path)
    assert (added.status_code, added.body["username"]) == (200, "stranger")
    assert api.user_admin.post(path).status_code == 409
    group = Group.objects.create(organization=org, name="g")
    GroupMembership.objects.create(group=group, user=users.stranger)
    assert api.member.delete(path).status_code == 403
    removed = api.admin.delete(path)
    assert (removed.status_code, removed.raw) == (204, b"")
    assert not GroupMembership.objects.exists()
    assert api.user_admin.get(path).status_code == 404
    actions = AuditLog.objects.filter(resource_type="organization_member", status_code__lt=400).order_by("time")
    assert [row.action for row in actions] == ["create", "delete"]


def test_organization_roles(api, org, statuses, users):
    path = f"organizations/{org.pk}/members/member/roles"
    assert statuses(lambda client: client.put(path, {"roles": ["organization-admin"]})) == {
        "owner": 200,
        "user_admin": 200,  # the member already has the role
        "template_admin": 404,
        "auditor": 404,
        "admin": 200,
        "member": 403,  # a member cannot change their own roles
        "stranger": 404,
    }
    assert api.user_admin.put(path, {"roles": []}).status_code == 403
    assert api.member.get(path).body["roles"][0]["name"] == "organization-admin"
    long_name = {"roles": [f"organization-admin:{org.pk}", "organization-member"]}
    assert api.admin.put(path, long_name).status_code == 200
    unknown = api.admin.put(path, {"roles": ["organization-king"]})
    assert (unknown.status_code, fields_of(unknown)) == (400, ["roles"])
    assert api.admin.put(path, {"roles": []}).body["roles"] == []
    not_visible = api.admin.put(f"organizations/{org.pk}/members/useradmin/roles", {"roles": []})
    assert not_visible.status_code == 400
    assert api.owner.put(f"organizations/{org.pk}/members/useradmin/roles", {"roles": []}).status_code == 404
    row = AuditLog.objects.filter(resource_type="organization_member", status_code=200).latest("time")
    assert (row.resource_target, row.organization_id) == ("member", org.pk)


def test_list_of_organization_roles(api, org):
    def listed(client):
        return [(row["name"], row["assignable"]) for row in client.get(f"organizations/{org.pk}/members/roles").body]

    assert listed(api.admin) == listed(api.owner) == [("organization-admin", True)]
    assert listed(api.member) == [("organization-admin", False)]
    assert api.stranger.get(f"organizations/{org.pk}/members/roles").status_code == 404
