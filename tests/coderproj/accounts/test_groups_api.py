"""Groups over the API."""

import uuid

import pytest

from coderproj.identity.models import AuditLog, Group, GroupMembership
from tests.api import fields_of
from tests.factories import make_organization, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def path(org):
    return f"organizations/{org.pk}/groups"


@pytest.fixture
def group(org):
    return Group.objects.create(organization=org, name="hi")


def members(answer):
    assert answer.status_code == 200, answer.body
    return [user["username"] for user in answer.body["members"]]


def test_create_group(api, org, path):
    answer = api.admin.post(path, {"name": "hi", "avatar_url": "https://example.test/a.png", "quota_allowance": 3})
    assert answer.status_code == 201
    documented = ["id", "name", "organization_id", "members", "avatar_url", "quota_allowance"]
    later = ["display_name", "source", "total_member_count", "organization_name", "organization_display_name"]
    assert list(answer.body) == [*documented, *later]
    assert b'"members":[],"avatar_url":"https://example.test/a.png","quota_allowance":3,' in answer.raw
    row = AuditLog.objects.get(resource_type="group")
    assert (row.action, row.resource_id, row.status_code) == ("create", answer.body["id"], 201)
    assert row.organization_id == org.pk


def test_roles_that_may_create_groups(statuses, path):
    number = iter(range(100))
    assert statuses(lambda client: client.post(path, {"name": f"g{next(number)}"})) == {
        "owner": 201,
        "user_admin": 201,
        "template_admin": 404,
        "auditor": 404,
        "admin": 201,
        "member": 403,
        "stranger": 404,
    }


@pytest.mark.parametrize(
    ("body", "status", "fields"),
    [
        ({"name": "Everyone"}, 400, ["name"]),
        ({"name": "x" * 65}, 400, ["name"]),
        ({"name": 5}, 400, ["name"]),
        (None, 400, ["name"]),
        ({}, 400, ["name"]),
        ({"name": None}, 400, ["name"]),
        ({"name": ""}, 400, ["name"]),
        ({"name": " \t"}, 400, ["name"]),
        ({"name": "a\u0000b"}, 400, ["name"]),
        ({"name": "x", "avatar_url": "x" * 1025}, 400, ["avatar_url"]),
        ({"name": "x", "quota_allowance": 2**31}, 400, ["quota_allowance"]),
        ({"name": "x", "quota_allowance": -1}, 400, ["quota_allowance"]),
        ({"name": "x", "quota_allowance": "1"}, 400, ["quota_allowance"]),
        ({"name": "x", "quota_allowance": 1.5}, 400, ["quota_allowance"]),
        ({"name": "hi"}, 409, ["name"]),
    ],
)
def test_invalid_group_reports_the_field(api, path, group, body, status, fields):
    answer = api.admin.post(path, body)
    assert (answer.status_code, fields_of(answer)) == (status, fields)
    assert Group.objects.filter(organization=group.organization_id).count() == 2


def test_any_name_is_valid(api, path, other_org):
    for name in ("everyone", "two words", "HI", "hi", "é"):
        assert api.admin.post(path, {"name": name}).status_code == 201
    assert api.owner.post(f"organizations/{other_org.pk}/groups", {"name": "hi"}).status_code == 201
    assert api.member.get(f"{path}/two words").status_code == 200


def test_read_groups(api, path, group, org, statuses):
    by_id = api.member.get(f"groups/{group.pk}")
    assert by_id.body == api.member.get(f"{path}/hi").body == api.member.get(f"{path}/{group.pk}").body
    assert [row["name"] for row in api.member.get(path).body] == ["hi"]  # without Everyone
    expected = {
        "owner": 200,
        "user_admin": 200,
        "template_admin": 404,
        "auditor": 404,
        "admin": 200,
        "member": 200,
        "stranger": 404,
    }
    assert statuses(lambda client: client.get(f"groups/{group.pk}")) == expected
    assert statuses(lambda client: client.get(f"{path}/hi")) == expected
    assert api.template_admin.get(path).body == []
    assert api.stranger.get(path).status_code == 404
    hidden, unknown = (api.stranger.get(f"groups/{id_}") for id_ in (group.pk, uuid.uuid4()))
    assert (hidden.status_code, hidden.raw) == (unknown.status_code, unknown.raw)
    assert api.member.get("groups/nonsense").status_code == 400


def test_group_can_be_referenced_by_unique_name(api, group, org):
    assert api.member.get("groups/hi").body == api.member.get(f"groups/{group.pk}").body
    hidden, unknown = (api.stranger.get(f"groups/{name}") for name in ("hi", "zz"))
    assert (hidden.status_code, hidden.raw.replace(b"hi", b"")) == (400, unknown.raw.replace(b"zz", b""))
    Group.objects.create(organization=make_organization(), name="hi")
    assert api.member.get("groups/hi").status_code == 200  # the second group is not visible to the member
    several = api.owner.get("groups/hi")
    assert (several.status_code, "Several groups" in several.body["message"]) == (400, True)
    assert api.admin.patch("groups/hi", {"name": "ho"}).status_code == 200
    assert api.admin.delete("groups/ho").status_code == 200


def test_everyone_contains_all_active_members(api, org, path):
    make_user("gone", organizations=(org,), deleted=True)
    make_user("locked", organizations=(org,), status="suspended")
    assert members(api.member.get(f"groups/{org.pk}")) == ["admin", "member", "owner"]
    assert members(api.member.get(f"{path}/Everyone")) == ["admin", "member", "owner"]


def test_update_group(api, group, org, users):
    everything = {"name": "new", "avatar_url": "/a.png", "quota_allowance": 20}
    answer = api.admin.patch(f"groups/{group.pk}", everything)
    assert {name: answer.body[name] for name in everything} == everything
    keep = {"name": "", "avatar_url": None, "quota_allowance": None, "add_users": [], "remove_users": None}
    assert api.admin.patch(f"groups/{group.pk}", keep).body == answer.body
    assert api.admin.patch(f"groups/{group.pk}", {"name": "new"}).status_code == 200
    assert api.admin.patch(f"groups/{group.pk}", {"avatar_url": ""}).body["avatar_url"] == ""
    diff = AuditLog.objects.filter(resource_type="group").earliest("time").diff
    assert diff["name"] == {"old": "hi", "new": "new", "secret": False}


def test_member_changes_affect_only_this_group(api, group, org, users):
    other = Group.objects.create(organization=org, name="other")
    ids = [str(user.pk) for user in (users.owner, users.admin, users.member)]
    assert members(api.admin.patch(f"groups/{group.pk}", {"add_users": ids})) == ["admin", "member", "owner"]
    assert members(api.admin.patch(f"groups/{other.pk}", {"add_users": ids[:1]})) == ["owner"]
    answer = api.admin.patch(f"groups/{group.pk}", {"remove_users": ids[:2]})
    assert members(answer) == ["member"]
    assert answer.body["members"][0]["organization_ids"] == [str(org.pk)]
    assert members(api.admin.get(f"groups/{other.pk}")) == ["owner"]
    row = AuditLog.objects.filter(resource_type="group").latest("time")
    assert row.diff["members"] == {"old": sorted(ids), "new": ids[2:], "secret": False}
    # Suspended members are hidden and can be removed.
    users.member.status = "suspended"
    users.member.save()
    assert members(api.admin.get(f"groups/{group.pk}")) == []
    assert api.admin.patch(f"groups/{group.pk}", {"remove_users": ids[2:]}).status_code == 200
    assert not GroupMembership.objects.filter(group=group).exists()


@pytest.mark.parametrize(
    ("body", "status", "fields"),
    [
        ({"name": "Everyone"}, 400, ["name"]),
        ({"name": "taken"}, 409, ["name"]),
        ({"name": "x" * 65}, 400, ["name"]),
        ({"quota_allowance": 2**40}, 400, ["quota_allowance"]),
        ({"quota_allowance": -1}, 400, ["quota_allowance"]),
        ({"quota_allowance": "many"}, 400, ["quota_allowance"]),
        ({"add_users": ["yeet"]}, 400, ["add_users"]),
        ({"add_users": [7]}, 400, ["add_users[0]"]),
        ({"add_users": "x"}, 400, ["add_users"]),
        ({"add_users": [str(uuid.uuid4())]}, 400, ["add_users"]),
        ({"add_users": ["stranger"]}, 400, ["add_users"]),
        ({"add_users": ["member", "member"]}, 400, ["add_users"]),
        ({"add_users": ["admin"]}, 400, ["add_users"]),
        ({"remove_users": ["nonsense"]}, 400, ["remove_users"]),
        ({"remove_users": ["stranger"]}, 400, ["remove_users"]),
    ],
)
def test_invalid_update_changes_nothing(api, group, users, body, status, fields):
    Group.objects.create(organization=group.organization, name="taken")
    GroupMembership.objects.create(group=group, user=users.admin)
    for name in ("add_users", "remove_users"):
        if isinstance(body.get(name), list):
            ids = [str(vars(users)[text].pk) if text in vars(users) else text for text in body[name]]
            body = {**body, name: ids}
    before = api.admin.get(f"groups/{group.pk}").raw
    answer = api.admin.patch(f"groups/{group.pk}", {"avatar_url": "/changed", **body})
    assert (answer.status_code, fields_of(answer)) == (status, fields)
    assert api.admin.get(f"groups/{group.pk}").raw == before


def test_roles_that_may_change_and_delete_groups(statuses, org):
    expected = {"template_admin": 404, "auditor": 404, "member": 403, "stranger": 404}

    def delete(client):
        group = Group.objects.create(organization=org, name=str(uuid.uuid4()))
        changed = client.patch(f"groups/{group.pk}", {"quota_allowance": 1})
        deleted = client.delete(f"groups/{group.pk}")
        assert changed.status_code == deleted.status_code
        return deleted

    assert statuses(delete) == {"owner": 200, "user_admin": 200, "admin": 200, **expected}


def test_delete_group(api, group):
    answer = api.admin.delete(f"groups/{group.pk}")
    assert (answer.status_code, list(answer.body)) == (200, ["message"])
    assert api.admin.get(f"groups/{group.pk}").status_code == 404
    assert api.admin.delete(f"groups/{group.pk}").status_code == 404
    assert AuditLog.objects.get(resource_type="group").action == "delete"


def test_everyone_cannot_be_renamed_changed_or_deleted(api, org, users):
    path = f"groups/{org.pk}"
    for body in ({"name": "x"}, {"add_users": [str(users.member.pk)]}, {"remove_users": [str(users.member.pk)]}):
        assert api.admin.patch(path, body).status_code == 400
    assert api.admin.patch(path, {"name": "Everyone", "quota_allowance": 5}).body["quota_allowance"] == 5
    assert api.admin.delete(path).status_code == 400
    assert Group.objects.filter(pk=org.pk).exists()


@pytest.mark.parametrize("rows", [1, 3])
def test_query_count_does_not_depend_on_rows(api, org, path, users, django_assert_num_queries, rows):
    for number in range(rows):
        group = Group.objects.create(organization=org, name=f"g{number}")
        for user in (users.owner, users.admin, users.member)[:rows]:
            GroupMembership.objects.create(group=group, user=user)
    with django_assert_num_queries(4):  # actor, organization, groups, members
        assert [len(row["members"]) for row in api.member.get(path).body] == [rows] * rows
