"""Values that every endpoint reads alike: null for a list in a body, large numbers in a query."""

import pytest
from rest_framework import serializers

from coderproj.api.serializers import BodySerializer
from coderproj.identity.models import Membership, User
from tests.api import ApiClient, fields_of
from tests.factories import make_organization, make_template, make_user
from tests.routes import api_routes

pytestmark = pytest.mark.django_db

LISTS = (serializers.ListField, serializers.ListSerializer, serializers.DictField)


def bodies(cls: type = BodySerializer) -> set[type]:
    """Return all classes of bodies that are used by the API, and the bodies in them."""
    return {cls} | {found for child in cls.__subclasses__() for found in bodies(child)}


def test_null_is_an_empty_list_in_every_body():
    api_routes()  # loads all views
    checked = 0
    for body in bodies() - {BodySerializer}:
        for name, field in body().fields.items():
            if not isinstance(field, LISTS):
                continue
            checked += 1
            for spelling in (name, name.upper()):
                empty: object = {} if isinstance(field, serializers.DictField) else []
                assert body().normalised({spelling: None}) == {name: empty}, (body, name)
    assert checked > 8


@pytest.fixture
def org():
    return make_organization("acme", is_default=True)


@pytest.fixture
def owner(org):
    return make_user("ada", organizations=(org,), site_roles=("owner",))


def test_null_replaces_roles_by_none(org, owner):
    api = ApiClient(owner)
    user = make_user(organizations=(org,), site_roles=("auditor",), organization_roles=("organization-admin",))
    assert api.put(f"users/{user.pk}/roles", {"roles": None}).status_code == 200
    assert api.put(f"organizations/acme/members/{user.pk}/roles", {"roles": None}).status_code == 200
    assert User.objects.get(pk=user.pk).site_roles == []
    assert Membership.objects.get(user=user).roles == []
    assert fields_of(api.put(f"users/{user.pk}/roles", {})) == ["roles"]


def test_null_lists_of_go_clients_are_accepted(org, owner):
    api, template = ApiClient(owner), make_template(user=owner, organization=org)
    version = template.active_version_id
    new = {"username": "eve", "email": "eve@example.test", "password": "correct horse battery"}
    assert api.post("users", {**new, "organization_ids": None}).status_code == 201
    values = {"parameter_values": None, "rich_parameter_values": None}
    assert api.post(f"templateversions/{version}/dry-run", values).status_code == 201
    assert api.patch(f"templates/{template.pk}/acl", {"user_perms": None, "group_perms": None}).status_code == 200
    assert api.post("authcheck", {"checks": None}).body == {}


BEYOND = [str(2**63), str(-(2**63) - 1), "9" * 30, "9" * 5000]


@pytest.mark.parametrize("value", BEYOND, ids=range(len(BEYOND)))
def test_integers_beyond_64_bits_report_the_parameter(org, owner, value):
    api, template = ApiClient(owner), make_template(user=owner, organization=org)
    logs = f"templateversions/{template.active_version_id}/logs"
    for path, name in (
        ("users", "limit"),
        ("users", "offset"),
        ("audit", "limit"),
        ("audit", "status_code"),
        (f"templates/{template.pk}/versions", "offset"),
        ("organizations/acme/provisionerjobs", "limit"),
        (logs, "after"),
        (logs, "before"),
    ):
        answer = api.get(f"{path}?{name}={value}")
        assert (answer.status_code, fields_of(answer)) == (400, [name]), (path, name)


@pytest.mark.parametrize("value", [str(2**63 - 1), str(-(2**63)), "-1", "0"])
def test_integers_of_64_bits_are_read(org, owner, value):
    api, template = ApiClient(owner), make_template(user=owner, organization=org)
    assert api.get(f"templateversions/{template.active_version_id}/logs?after={value}").status_code == 200
    assert api.get(f"audit?status_code={value}").status_code == 200


@pytest.mark.parametrize("value", ["1_0", "\u0663", "1.0", "+1", "0x1", "one"])
def test_other_notations_are_no_integers(owner, value):
    answer = ApiClient(owner).get(f"audit?status_code={value}")
    assert (answer.status_code, fields_of(answer)) == (400, ["status_code"])
