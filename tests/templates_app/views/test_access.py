"""Access lists, permission checks, and the endpoints of later clients."""

import uuid

import pytest

from coderproj.identity.models import AuditLog, Group, GroupMembership
from templates_app.models import AccessRole, Template, TemplateAccess, TemplateVersion
from tests.api import ApiClient, fields_of
from tests.factories import make_organization, make_template, make_user, make_version

pytestmark = pytest.mark.django_db


@pytest.fixture
def org():
    return make_organization("acme", is_default=True)


@pytest.fixture
def admin(org):
    return make_user("ada", organizations=(org,), organization_roles=("organization-admin",))


@pytest.fixture
def mel(org):
    return make_user("mel", organizations=(org,))


@pytest.fixture
def template(admin, org):
    return make_template(user=admin, organization=org, name="web")


@pytest.fixture
def path(template):
    return f"templates/{template.pk}/acl"


@pytest.fixture
def api(admin):
    return ApiClient(admin)


def listed(answer):
    """Return the roles by name, for users and for groups."""
    assert answer.status_code == 200
    users = {user["username"]: user["role"] for user in answer.body["users"]}
    return users, {group["name"]: group["role"] for group in answer.body["group"]}


# ---------------------------------------------------------------------- access lists
def test_a_new_template_is_visible_to_everyone_in_the_organization(api, mel, path):
    answer = api.get(path)
    assert listed(answer) == ({}, {"Everyone": "use"})
    assert [user["username"] for user in answer.body["group"][0]["members"]] == ["ada", "mel"]
    assert ApiClient(mel).get(path).body == answer.body


def test_granting_and_removing_roles(api, org, mel, template, path):
    group = Group.objects.create(organization=org, name="team")
    updated = Template.objects.get().updated_at
    other = make_user("otto", organizations=(org,))
    body = {"user_perms": {str(mel.pk): "use", str(other.pk): "admin"}, "group_perms": {str(group.pk): "admin"}}
    answer = api.patch(path, body)
    assert (answer.status_code, list(answer.body)) == (200, ["message"])
    assert listed(api.get(path)) == ({"mel": "use", "otto": "admin"}, {"Everyone": "use", "team": "admin"})
    row = AuditLog.objects.get(resource_type="template")
    assert (row.action, row.diff["user_acl"]["new"][str(mel.pk)]) == ("write", "use")
    body = {"user_perms": {str(mel.pk): "admin", str(other.pk): ""}, "group_perms": {str(org.pk): ""}}
    assert api.patch(path, body).status_code == 200
    assert listed(api.get(path)) == ({"mel": "admin"}, {"team": "admin"})
    assert Template.objects.get().updated_at == updated
    assert api.patch(path, {}).status_code == 200


def test_without_everyone_the_template_is_hidden(api, org, mel, template, path):
    reader = ApiClient(mel)
    assert reader.get(f"templates/{template.pk}").status_code == 200
    assert api.patch(path, {"group_perms": {str(org.pk): ""}}).status_code == 200
    assert listed(api.get(path)) == ({}, {})
    assert reader.get(f"templates/{template.pk}").status_code == reader.get(path).status_code == 404
    group = Group.objects.create(organization=org, name="team")
    assert api.patch(path, {"group_perms": {str(group.pk): "use"}}).status_code == 200
    assert reader.get(f"templates/{template.pk}").status_code == 404
    GroupMembership.objects.create(group=group, user=mel)
    assert reader.get(f"templates/{template.pk}").status_code == 200
    group.delete()
    assert reader.get(f"templates/{template.pk}").status_code == 404


def test_suspended_and_deleted_users_are_not_listed(api, org, template, path):
    for username, fields in (("gone", {"deleted": True}), ("locked", {"status": "suspended"}), ("here", {})):
        user = make_user(username, organizations=(org,), **fields)
        TemplateAccess.objects.create(template=template, user=user, role=AccessRole.USE)
    assert listed(api.get(path))[0] == {"here": "use"}
    gone = TemplateAccess.objects.get(user__username="gone").user_id
    assert api.patch(path, {"user_perms": {str(gone): ""}}).status_code == 200
    assert not TemplateAccess.objects.filter(user=gone).exists()


def test_only_administrators_of_the_template_change_its_access_list(api, org, mel, template, path):
    grant = {"user_perms": {str(mel.pk): "admin"}}
    assert ApiClient(mel).patch(path, grant).status_code == 403
    assert api.patch(path, grant).status_code == 200
    other = make_user("otto", organizations=(org,))
    assert ApiClient(mel).patch(path, {"user_perms": {str(other.pk): "use"}}).status_code == 200
    stranger = make_user(organizations=(make_organization(),), organization_roles=("organization-admin",))
    statuses = {
        role: ApiClient(make_user(site_roles=(role,))).patch(path, {}).status_code
        for role in ("owner", "template-admin", "auditor", "user-admin")
    }
    assert statuses == {"owner": 200, "template-admin": 200, "auditor": 403, "user-admin": 404}
    hidden = ApiClient(stranger).patch(path, grant)
    ghost = ApiClient(stranger).patch(f"templates/{uuid.uuid4()}/acl", grant)
    assert (hidden.status_code, hidden.raw) == (ghost.status_code, ghost.raw) == (404, hidden.raw)
    assert ApiClient(stranger).get(path).status_code == 404


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"user_perms": {"hi": "use"}}, ["user_perms"]),
        ({"user_perms": {str(uuid.uuid4()): "use"}}, ["user_perms"]),
        ({"user_perms": {"mel": "updater"}}, ["user_perms"]),
        ({"user_perms": {"mel": 7}}, ["user_perms.mel"]),
        ({"user_perms": ["mel"]}, ["user_perms"]),
        ({"user_perms": {"stranger": "use"}}, ["user_perms"]),
        ({"user_perms": {str(uuid.uuid4()): ""}}, ["user_perms"]),
        ({"group_perms": {"hi": "use", str(uuid.uuid4()): "use"}}, ["group_perms", "group_perms"]),
        ({"group_perms": {"elsewhere": "use"}}, ["group_perms"]),
        ({"user_perms": {"x": "use"}, "group_perms": {"y": "use"}}, ["user_perms", "group_perms"]),
    ],
)
def test_invalid_changes_change_nothing(api, mel, path, body, fields):
    elsewhere = make_organization()
    ids = {
        "mel": str(mel.pk),
        "stranger": str(make_user(organizations=(elsewhere,)).pk),
        "elsewhere": str(Group.objects.create(organization=elsewhere, name="g").pk),
    }
    body = {
        name: {ids.get(key, key): role for key, role in roles.items()} if isinstance(roles, dict) else roles
        for name, roles in body.items()
    }
    answer = api.patch(path, body)
    assert answer.status_code == 400
    assert [field.replace(ids["mel"], "mel") for field in fields_of(answer)] == fields
    assert listed(api.get(path)) == ({}, {"Everyone": "use"})


def test_a_listed_user_of_another_organization_sees_no_groups(template, path):
    guest = make_user(organizations=(make_organization(),))
    TemplateAccess.objects.create(template=template, user=guest, role=AccessRole.USE)
    assert listed(ApiClient(guest).get(path))[1] == {}


def test_a_user_without_an_organization_may_be_granted_a_role(api, template, path):
    guest = make_user("guest", site_roles=("user-admin",))
    owner = ApiClient(make_user(site_roles=("owner",)))
    assert owner.patch(path, {"user_perms": {str(guest.pk): "use"}}).status_code == 200
    assert ApiClient(guest).get(f"templates/{template.pk}").status_code == 200
    # Administrators can remove listed users whom they could not see otherwise.
    assert api.patch(path, {"user_perms": {str(guest.pk): ""}}).status_code == 200


@pytest.mark.parametrize("rows", [1, 3])
def test_the_queries_of_an_access_list_are_independent_of_its_length(
    api, org, template, path, django_assert_num_queries, rows
):
    for number in range(rows):
        user = make_user(organizations=(org,))
        group = Group.objects.create(organization=org, name=f"g{number}")
        GroupMembership.objects.create(group=group, user=user)
        TemplateAccess.objects.create(template=template, user=user, role=AccessRole.USE)
        TemplateAccess.objects.create(template=template, group=group, role=AccessRole.USE)
    # actor, template, entries, users, their memberships, groups, members, everyone's members
    with django_assert_num_queries(8):
        assert len(api.get(path).body["users"]) == rows


# ---------------------------------------------------------------------- all templates
def test_templates_of_all_organizations(api, admin, org, template, mel):
    elsewhere = make_organization("elsewhere")
    make_template(user=admin, organization=elsewhere, name="web-2", display_name="The Web")
    make_template(user=admin, organization=elsewhere, name="data", everyone=False)
    owner = ApiClient(make_user(site_roles=("owner",)))

    def names(client, query=""):
        answer = client.get("templates", QUERY_STRING=f"q={query}")
        assert answer.status_code == 200
        return [row["name"] for row in answer.body]

    assert names(owner) == ["data", "web", "web-2"]
    assert names(ApiClient(mel)) == ["web"]
    assert owner.get("templates").body == owner.get("templates/").body
    assert names(owner, "exact_name:WEB") == ["web"]
    assert names(owner, "exact_name:we") == []
    assert names(owner, "web") == names(owner, "name:web") == ["web", "web-2"]
    assert names(owner, '"the web"') == ["web-2"]
    assert names(owner, "organization:elsewhere") == ["data", "web-2"]
    assert ApiClient(mel).get("templates", QUERY_STRING="q=organization:elsewhere").status_code == 404
    bad = owner.get("templates", QUERY_STRING="q=colour:red")
    assert (bad.status_code, fields_of(bad)) == (400, ["q"])
    assert owner.get("templates").body[1] == api.get(f"templates/{template.pk}").body


@pytest.mark.parametrize("rows", [1, 3])
def test_the_queries_of_all_templates_are_independent_of_their_number(api, admin, org, django_assert_num_queries, rows):
    for _ in range(rows):
        make_template(user=admin, organization=org)
    with django_assert_num_queries(2):  # actor, templates
        assert len(api.get("templates").body) == rows


# ---------------------------------------------------------------------- permission checks
def check(resource_type, action, **narrowed):
    return {"object": {"resource_type": resource_type, **narrowed}, "action": action}


def test_permission_checks_of_the_dashboard(api, mel):
    checks = {
        "readAllUsers": check("user", "read"),
        "updateUsers": check("user", "update"),
        "createUser": check("user", "create"),
        "updateTemplates": check("template", "update"),
        "deleteTemplates": check("template", "delete"),
        "viewAuditLog": check("audit_log", "read"),
        "viewDeploymentFlags": check("deployment_flags", "read"),
        "createGroup": check("group", "create"),
        "viewUpdateCheck": check("update_check", "read"),
    }
    answer = ApiClient(make_user(site_roles=("owner",))).post("authcheck", {"checks": checks})
    assert answer.body == dict.fromkeys(checks, True)
    answer = ApiClient(mel).post("authcheck", {"checks": checks})
    assert answer.body == {**dict.fromkeys(checks, False), "readAllUsers": True}


def test_checks_of_objects(org, admin, mel, template):
    group = Group.objects.create(organization=org, name="g")
    ids = {"organization_id": str(org.pk)}
    expected = {
        "own key": (check("api_key", "delete", owner_id="me"), True),
        "another's key": (check("api_key", "read", owner_id=str(admin.pk)), False),
        "read template": (check("template", "read", resource_id=str(template.pk)), True),
        "change template": (check("template", "update", resource_id=str(template.pk), **ids), False),
        "ghost": (check("template", "read", resource_id=str(uuid.uuid4())), False),
        "group": (check("group", "read", resource_id=str(group.pk)), True),
        "change group": (check("group", "update", resource_id=str(group.pk)), False),
        "ghost group": (check("group", "read", resource_id=str(uuid.uuid4())), False),
        "self": (check("user", "update", resource_id=str(mel.pk)), True),
        "fellow": (check("user", "update", resource_id=str(admin.pk)), False),
        "organization": (check("organization", "read", resource_id=str(org.pk)), True),
        "all of it": (check("organization", "*", resource_id=str(org.pk)), False),
        "own workspace": (check("workspace", "create", owner_id="me", **ids), True),
        "unknown type": (check("spaceship", "read"), False),
        "nil ids": (check("user", "read", owner_id=str(uuid.UUID(int=0)), organization_id=""), True),
    }
    answer = ApiClient(mel).post("authcheck", {"checks": {name: body for name, (body, _) in expected.items()}})
    assert answer.body == {name: wanted for name, (_, wanted) in expected.items()}
    TemplateAccess.objects.create(template=template, user=mel, role=AccessRole.ADMIN)
    change = {"checks": {"x": check("template", "update", resource_id=str(template.pk))}}
    assert ApiClient(mel).post("authcheck", change).body == {"x": True}


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["checks"]),
        ({"checks": []}, ["checks"]),
        ({"checks": {"x": {}}}, ["checks.x.object", "checks.x.action"]),
        ({"checks": {"x": check("user", "dance")}}, ["checks.x.action"]),
        ({"checks": {"x": {"object": {}, "action": "read"}}}, ["checks.x.object.resource_type"]),
        ({"checks": {"x": check("user", "read", owner_id="nonsense")}}, ["checks.x.object.owner_id"]),
        ({"checks": {str(n): check("user", "read") for n in range(201)}}, ["checks"]),
    ],
)
def test_invalid_checks_are_rejected_by_field(api, body, fields):
    answer = api.post("authcheck", body)
    assert (answer.status_code, fields_of(answer)) == (400, fields)


def test_no_checks_give_an_empty_answer(api):
    assert api.post("authcheck", {"checks": {}}).body == {}


# ---------------------------------------------------------------------- later clients
def test_versions_are_found_by_organization_template_and_name(api, admin, org, template):
    second = make_version(user=admin, organization=org, template=template, name="second")
    base = "organizations/acme/templates/WEB/versions"
    assert api.get(f"{base}/second").body == api.get(f"templateversions/{second.pk}").body
    previous = api.get("organizations/acme/templates/web/versions/second/previous")
    assert previous.body["id"] == str(template.active_version_id)
    assert api.get(f"{base}/{template.active_version.name}/previous").status_code == 404
    for wrong in (
        "organizations/acme/templates/x/versions/second",
        f"{base}/x",
        "organizations/x/templates/web/versions/second",
    ):
        assert api.get(wrong).status_code == 404
    stranger = ApiClient(make_user(organizations=(make_organization(),)))
    assert stranger.get(f"{base}/second").status_code == 404


def test_archiving_and_unarchiving_a_version(api, admin, mel, org, template):
    version = make_version(user=admin, organization=org, template=template)
    archive, unarchive = f"templateversions/{version.pk}/archive", f"templateversions/{version.pk}/unarchive"
    for path, archived in ((archive, True), (archive, True), (unarchive, False)):
        answer = api.post(path)
        assert (answer.status_code, list(answer.body)) == (200, ["message"])
        assert TemplateVersion.objects.get(pk=version.pk).archived is archived
    assert api.post(f"templateversions/{template.active_version_id}/archive").status_code == 400
    assert ApiClient(mel).post(f"templateversions/{version.pk}/archive").status_code == 403
    assert api.post(f"templateversions/{uuid.uuid4()}/archive").status_code == 404
    assert api.get(f"templateversions/{version.pk}/archive").status_code == 405
    row = AuditLog.objects.filter(resource_type="template_version", status_code=200).earliest("time")
    assert row.diff["archived"] == {"old": False, "new": True, "secret": False}


def test_versions_have_no_presets(api, template):
    assert api.get(f"templateversions/{template.active_version_id}/presets").body == []
    assert api.get(f"templateversions/{uuid.uuid4()}/presets").status_code == 404
