"""Actors neither take over the account of a user with a right that they may not give, nor take that right."""

import pytest

from coderproj.identity.models import AuditLog, Group, GroupMembership, Membership, User
from templates_app.models import AccessRole, TemplateAccess
from tests.api import ApiClient
from tests.factories import make_template, make_user
from tests.pages import browser, text_of

pytestmark = pytest.mark.django_db

PASSWORD = {"password": "a new long password"}


@pytest.fixture
def web(users, org):
    return make_template(user=users.owner, organization=org, name="web")


def holder_of(right, org, template) -> User:
    """Return a user with this right, which a user admin may not give."""
    match right:
        case "owner" | "template-admin" | "user-admin" | "auditor":
            return make_user(site_roles=(right,))
        case "organization admin":
            return make_user(organizations=(org,), organization_roles=("organization-admin",))
    user = make_user(organizations=(org,))
    if right == "template's administration":
        TemplateAccess.objects.create(template=template, user=user, role=AccessRole.ADMIN)
    else:
        group = Group.objects.create(organization=org, name="maintainers")
        GroupMembership.objects.create(group=group, user=user)
        TemplateAccess.objects.create(template=template, group=group, role=AccessRole.ADMIN)
    return user


RIGHTS = [
    "owner",
    "template-admin",
    "user-admin",
    "auditor",
    "organization admin",
    "template's administration",
    "template's administration through a group",
]


@pytest.mark.promise("A9")
@pytest.mark.parametrize("right", RIGHTS)
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/password", PASSWORD),
        ("PUT", "/profile", {"username": "renamed"}),
        ("PUT", "/status/activate", None),
        ("DELETE", "", None),
    ],
)
def test_user_admins_do_not_change_accounts_with_rights_that_they_may_not_give(
    api, org, web, right, method, path, body
):
    user = holder_of(right, org, web)
    before = User.objects.get(pk=user.pk)
    answer = api.user_admin.call(method, f"users/{user.pk}{path}", body)
    assert (answer.status_code, "owner" in answer.body["message"]) == (403, True)
    after = User.objects.get(pk=user.pk)
    assert (after.password, after.username, after.deleted) == (before.password, before.username, False)
    assert api.owner.call(method, f"users/{user.pk}{path}", body).status_code in {200, 204}


def test_user_admins_change_accounts_without_such_rights(api, org, web):
    user = make_user(organizations=(org,))
    TemplateAccess.objects.create(template=web, user=user, role=AccessRole.USE)
    assert api.user_admin.put(f"users/{user.pk}/password", PASSWORD).status_code == 204
    assert (
        api.user_admin.put("users/me/password", {**PASSWORD, "old_password": "correct horse battery"}).status_code
        == 204
    )


def test_user_admins_suspend_users_with_more_rights(api, users, org):
    """That takes rights away. Activating gives them back, so it needs the permission to give them."""
    assert api.user_admin.put(f"users/{users.admin.pk}/status/suspend").status_code == 200
    assert api.user_admin.put(f"users/{users.admin.pk}/status/activate").status_code == 403
    assert api.owner.put(f"users/{users.admin.pk}/status/activate").status_code == 200


def test_an_administrator_of_one_organization_is_protected_from_that_of_another(api, users, org, other_org):
    both = make_user("both", site_roles=("user-admin",))
    Membership.objects.create(user=both, organization=org, roles=["organization-admin"])
    client = ApiClient(both)
    assert client.put(f"users/{users.admin.pk}/password", PASSWORD).status_code == 204  # may give this role
    assert client.put(f"users/{users.stranger.pk}/password", PASSWORD).status_code == 403


def test_pages_do_not_offer_what_is_refused(users, org, web):
    client = browser(users.user_admin)
    assert "Set the password" in text_of(client.get(f"/users/{users.member.pk}"))
    for right in RIGHTS:
        user = holder_of(right, org, web)
        page = text_of(client.get(f"/users/{user.pk}"))
        assert "Set the password" not in page, right
        assert client.post(f"/users/{user.pk}/password", PASSWORD).status_code == 403, right
        assert client.post(f"/users/{user.pk}/delete").status_code == 403, right


# ---------------------------------------------------------------------- giving rights by membership
@pytest.mark.promise("A9")
def test_user_admins_do_not_add_members_to_groups_that_administer_templates(api, users, org, web):
    group = Group.objects.create(organization=org, name="maintainers")
    body = {"add_users": [str(users.member.pk)]}
    TemplateAccess.objects.create(template=web, group=group, role=AccessRole.ADMIN)
    answer = api.user_admin.patch(f"groups/{group.pk}", body)
    assert (answer.status_code, "rights" in answer.body["message"]) == (403, True)
    assert not GroupMembership.objects.filter(group=group).exists()
    assert AuditLog.objects.filter(resource_type="group", status_code=403).exists()
    assert api.user_admin.patch(f"groups/{group.pk}", {"name": "renamed"}).status_code == 200
    assert api.admin.patch(f"groups/{group.pk}", body).status_code == 200
    assert api.user_admin.patch(f"groups/{group.pk}", {"remove_users": [str(users.member.pk)]}).status_code == 200
    TemplateAccess.objects.filter(group=group).update(role=AccessRole.USE)
    assert api.user_admin.patch(f"groups/{group.pk}", body).status_code == 200


def test_user_admins_do_not_add_members_where_everyone_administers_a_template(api, users, org, web):
    TemplateAccess.objects.filter(template=web, group=org.pk).update(role=AccessRole.ADMIN)
    path = f"organizations/{org.pk}/members/{users.user_admin.username}"
    assert api.user_admin.post(path).status_code == 403
    new = {"username": "eve", "email": "eve@example.test", "password": "a new long password"}
    assert api.user_admin.post("users", {**new, "organization_id": str(org.pk)}).status_code == 403
    assert not Membership.objects.filter(user__username__in=["eve", "useradmin"]).exists()
    TemplateAccess.objects.filter(template=web, group=org.pk).update(role=AccessRole.USE)
    assert api.user_admin.post(path).status_code == 200


@pytest.mark.promise("A9")
def test_user_admins_do_not_remove_the_role_of_an_organizations_administrator(api, users, org):
    path = f"organizations/{org.pk}/members"
    assert api.user_admin.delete(f"{path}/{users.admin.username}").status_code == 403
    assert Membership.objects.filter(user=users.admin).exists()
    assert api.user_admin.delete(f"{path}/{users.member.username}").status_code == 204
    assert api.owner.delete(f"{path}/{users.admin.username}").status_code == 204


@pytest.mark.promise("A9")
@pytest.mark.parametrize("name", ["user_admin", "template_admin", "auditor", "admin", "member"])
def test_only_owners_create_keys_of_others(api, users, name):
    for path in (f"users/{users.member.pk}/keys", f"users/{users.owner.pk}/keys/tokens"):
        own = name == "member" and str(users.member.pk) in path
        assert getattr(api, name).post(path).status_code in ({201} if own else {400, 404}), path
