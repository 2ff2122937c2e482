"""Invalid values in every body, path and query of identity and access give a 4xx with the envelope, never a 500."""

import json

import pytest

from coderproj.identity.models import Group, User
from tests.api import ApiClient
from tests.factories import make_organization, make_template, make_user

pytestmark = pytest.mark.django_db

VALUES = [
    None,
    True,
    0,
    -1,
    2**70,
    1.5,
    "",
    " ",
    "\u0000",
    "\ud800",
    "x" * 70_000,
    "😀",
    [],
    [None],
    [[]],
    {},
    {"x": None},
    {"\u0000": "use"},
    {"\ud800": {"object": {"resource_type": "user"}, "action": "read"}},
]
FIELDS = {
    "POST users": ["email", "username", "password", "name", "organization_id", "organization_ids", "login_type"],
    "POST users/login": ["email", "password"],
    "POST users/first": ["email", "username", "password", "name"],
    "PUT users/ada/profile": ["username", "name", "avatar_url"],
    "PUT users/ada/password": ["old_password", "password"],
    "PUT users/ada/roles": ["roles"],
    "POST users/me/keys/tokens": ["lifetime", "lifetime_seconds", "scope", "token_name"],
    "POST organizations": ["name", "display_name", "description", "icon"],
    "POST organizations/acme/groups": ["name", "avatar_url", "quota_allowance"],
    "PATCH groups/{group}": ["name", "avatar_url", "quota_allowance", "add_users", "remove_users"],
    "PUT organizations/acme/members/ada/roles": ["roles"],
    "PATCH templates/{template}/acl": ["user_perms", "group_perms"],
    "POST authcheck": ["checks"],
    "POST parameters/template/{template}": ["name", "source_value", "source_scheme", "destination_scheme"],
}
VALID = {
    "email": "new@example.test",
    "username": "new",
    "password": "correct horse battery",
    "name": "new",
    "source_value": "x",
    "source_scheme": "data",
    "destination_scheme": "provisioner_variable",
}


@pytest.fixture
def world():
    org = make_organization("acme", is_default=True)
    owner = make_user("owner", organizations=(org,), site_roles=("owner",))
    make_user("ada", organizations=(org,))
    group = Group.objects.create(organization=org, name="g")
    template = make_template(user=owner, organization=org)
    return ApiClient(owner), {"group": group.pk, "template": template.pk}


@pytest.mark.parametrize("call", FIELDS)
def test_invalid_field_value(world, call):
    api, ids = world
    method, path = call.format(**ids).split(" ")
    for field in FIELDS[call]:
        for value in VALUES:
            body = {name: VALID[name] for name in FIELDS[call] if name in VALID} | {field: value}
            answer = api.call(method, path, raw=json.dumps(body).encode())
            assert answer.status_code < 500, (field, value)
            if answer.status_code >= 400:
                assert answer.body["message"], (field, value)
                assert b"Traceback" not in answer.raw
    assert User.objects.get(username="owner").site_roles == ["owner"]


@pytest.mark.parametrize(
    "path",
    [
        "users/{}",
        "users/{}/organizations",
        "users/me/organizations/{}",
        "users/me/keys/{}",
        "users/me/keys/tokens/{}",
        "organizations/{}",
        "organizations/acme/members/{}",
        "organizations/acme/groups/{}",
        "groups/{}",
        "templates/{}/acl",
        "parameters/{}/x",
        "parameters/template/{}",
        "workspace-quota/{}",
        "organizations/acme/templates/{}/versions/x",
    ],
)
def test_invalid_path_segment(world, path):
    api, _ = world
    for value in (
        "%00",
        "%ff",
        "%ed%a0%80",
        "x" * 3000,
        "%2e%2e",
        "%27;--",
        "%0a",
        "00000000-0000-0000-0000-000000000000",
    ):
        answer = api.get(path.format(value))
        assert answer.status_code in {400, 404}, value
        assert answer.body["message"]


@pytest.mark.parametrize("path", ["users", "audit", "templates"])
def test_invalid_query_parameter(world, path):
    api, _ = world
    for name in ("q", "limit", "offset", "after_id", "date_from", "action"):
        for value in ("%00", "%ff", "9" * 400, "-1", "1e3", "%d9%a1", "x" * 3000, "'", "%22", "name:%22%00%22"):
            answer = api.get(path, QUERY_STRING=f"{name}={value}")
            assert answer.status_code < 500, (name, value)
