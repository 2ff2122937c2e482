"""Stored parameter values over the API."""

import uuid

import pytest

from coderproj.identity.models import AuditLog
from provisioning.models import ParameterValue
from tests.api import ApiClient, fields_of
from tests.factories import make_organization, make_template, make_user

pytestmark = pytest.mark.django_db

VALUE = {
    "name": "region",
    "source_value": "top secret",
    "source_scheme": "data",
    "destination_scheme": "provisioner_variable",
}


@pytest.fixture
def org():
    return make_organization()


@pytest.fixture
def admin(org):
    return make_user("ada", organizations=(org,), organization_roles=("organization-admin",))


@pytest.fixture
def api(admin):
    return ApiClient(admin)


@pytest.fixture
def template(admin, org):
    return make_template(user=admin, organization=org)


@pytest.fixture(params=["template", "import_job"])
def path(request, template):
    scope_id = template.pk if request.param == "template" else template.active_version.job_id
    return f"parameters/{request.param}/{scope_id}"


@pytest.mark.promise("S11")
def test_values_are_stored_and_never_shown(api, path):
    assert api.get(path).body == []
    made = api.post(path, VALUE)
    assert made.status_code == 201
    assert set(made.body) == {
        "id",
        "scope",
        "scope_id",
        "name",
        "source_scheme",
        "destination_scheme",
        "created_at",
        "updated_at",
    }
    assert api.get(path).body == [made.body]
    again = api.post(path, VALUE)
    assert (again.status_code, fields_of(again)) == (409, ["name"])
    assert ParameterValue.objects.get().source_value == "top secret"
    assert api.delete(f"{path}/region").status_code == 200
    assert api.delete(f"{path}/region").status_code == 404
    rows = AuditLog.objects.filter(resource_type="parameter_value").order_by("time")
    assert [row.action for row in rows] == ["create", "delete"]
    assert "top secret" not in str(list(AuditLog.objects.values()))


def test_which_users_may_read_and_write(path, org):
    elsewhere = make_organization()
    people = {
        "member": (make_user(organizations=(org,)), 200, 403, 403),
        "stranger": (make_user(organizations=(elsewhere,), organization_roles=("organization-admin",)), 404, 404, 404),
        "auditor": (make_user(site_roles=("auditor",)), 200, 403, 403),
        "user admin": (make_user(site_roles=("user-admin",)), 404, 404, 404),
        "template admin": (make_user(site_roles=("template-admin",)), 200, 201, 200),
    }
    for name, (user, *expected) in people.items():
        api = ApiClient(user)
        statuses = [api.get(path), api.post(path, VALUE), api.delete(f"{path}/region")]
        assert [answer.status_code for answer in statuses] == expected, name


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"name": ""}, ["name"]),
        ({"name": "x" * 65_537}, ["name"]),
        ({"name": "a\u0000"}, ["name"]),
        ({"source_value": ""}, ["source_value"]),
        ({"source_value": 7}, ["source_value"]),
        ({"source_scheme": "none"}, ["source_scheme"]),
        ({"destination_scheme": "none"}, ["destination_scheme"]),
        ({"name": None, "source_scheme": None}, ["name", "source_scheme"]),
    ],
)
def test_invalid_values_are_rejected_by_field(api, template, change, fields):
    answer = api.post(f"parameters/template/{template.pk}", {**VALUE, **change})
    assert (answer.status_code, fields_of(answer)) == (400, fields)
    assert not ParameterValue.objects.exists()


def test_invalid_scopes_and_ids_are_rejected(api, template):
    for path, field in ((f"parameters/user/{template.pk}", "scope"), ("parameters/template/nonsense", "id")):
        for answer in (api.get(path), api.post(path, VALUE), api.delete(f"{path}/x")):
            assert (answer.status_code, fields_of(answer)) == (400, [field])
    for path in (
        f"parameters/template/{uuid.uuid4()}",
        f"parameters/workspace/{uuid.uuid4()}",
        f"parameters/import_job/{template.pk}",
        f"parameters/template/{template.active_version.job_id}",
    ):
        for answer in (api.get(path), api.post(path, VALUE), api.delete(f"{path}/x")):
            assert answer.status_code == 404
    assert api.delete(f"parameters/template/{template.pk}/%00").status_code == 404


@pytest.mark.parametrize("rows", [1, 3])
def test_the_queries_of_a_list_are_independent_of_its_length(api, template, django_assert_num_queries, rows):
    for number in range(rows):
        api.post(f"parameters/template/{template.pk}", {**VALUE, "name": f"v{number}"})
    with django_assert_num_queries(3):  # actor, template, values
        assert len(api.get(f"parameters/template/{template.pk}").body) == rows
