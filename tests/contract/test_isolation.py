"""S3: hidden and missing objects give the same response, and the call changes nothing."""

import re
import uuid
from typing import Any

import pytest
from django.http import HttpResponse

from coderproj.identity.models import Group, User
from provisioning.models import File, ParameterValue, ProvisionerJob
from templates_app.models import Template, TemplateAccess, TemplateVersion
from tests.contract.described import DescribedApiClient as ApiClient
from tests.contract.document import endpoint, endpoints
from tests.contract.sample_organization import (
    SampleOrganization,
    make_sample_organization,
    missing_path_values,
    request,
)
from tests.factories import make_template, make_user
from tests.security.recorder import Measured

pytestmark = pytest.mark.django_db

ENDPOINTS = endpoints()
OUTSIDERS = ("outsider", "other organization's admin")
# Statuses for a member of the organization with whom the template is not shared. All others are 404.
OF_ORGANIZATION = {
    "POST /organizations/{organization}/groups": 403,
    "GET /organizations/{organization}/templates": 200,
    "POST /organizations/{organization}/templates": 403,
    "GET /organizations/{organization}/templates/examples": 200,
}
# The template list of a hidden organization is empty, like that of a missing organization.
EMPTY = "GET /organizations/{organization}/templates"
# Without the audit log: rejected requests are recorded there.
TABLES = (File, Group, ParameterValue, ProvisionerJob, Template, TemplateAccess, TemplateVersion, User)
ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@pytest.fixture
def world() -> SampleOrganization:
    return make_sample_organization("acme")


@pytest.fixture
def users(world) -> dict[str, User]:
    other = make_sample_organization("other")
    return {
        "outsider": make_user("outsider"),
        "other organization's admin": other.admin,
        "plain member": make_user("member", organizations=(world.organization,)),
    }


def rows() -> dict[str, list[Any]]:
    """Return all stored rows, without the time when users were last seen."""
    return {
        model.__name__: sorted(
            (sorted((name, str(value)) for name, value in row.items() if name != "last_seen_at"))
            for row in model.objects.values()
        )
        for model in TABLES
    }


def comparable(response: HttpResponse, world: SampleOrganization) -> tuple[int, Any]:
    """Return the status and the body, with ids and requested names replaced by constants."""
    text = ID.sub("ID", response.raw.decode())
    for name in (world.template.name, world.version.name, world.loose.name, "no-such-name"):
        text = text.replace(name, "NAME")
    return response.status_code, text


def leaks(response: HttpResponse, world: SampleOrganization, sent: dict[str, str]) -> list[str]:
    """Return ids and names of the organization that are in a response but not in the request."""
    secrets = {
        world.admin.username,
        world.template.name,
        world.version.name,
        world.loose.name,
        *map(str, (world.admin.pk, world.template.pk, world.version.pk, world.loose.pk, world.job.pk, world.group.pk)),
        *map(str, (world.version.job_id, world.version.job.file_id, world.template.active_version_id)),
    }
    text = response.raw.decode()
    return [secret for secret in secrets - set(sent.values()) if secret in text]


def compare(
    user: User, world: SampleOrganization, known: dict[str, str], statuses: dict[str, int], measured: Measured
) -> list[tuple[str, object, object]]:
    """Call each documented endpoint as the user for hidden objects and for missing objects.

    ``known`` are path parameters that both calls have. ``statuses`` are the expected statuses; the default is 404.
    Return (endpoint, expected, actual) for each difference.
    """
    api = ApiClient(user)
    values = world.path_values()
    wrong: list[tuple[str, object, object]] = []
    before = rows()
    for row in ENDPOINTS:
        hidden = request(api, row, values, world.body(row))
        missing = request(api, row, missing_path_values() | known, world.body(row))
        for expected, actual in (
            (comparable(missing, world), comparable(hidden, world)),
            (statuses.get(str(row), 404), hidden.status_code),
            ([], leaks(hidden, world, values)),
            (before, rows()),
        ):
            if expected != actual:
                wrong.append((str(row), expected, actual))
    measured.add(probes=2 * len(ENDPOINTS), leaks_or_changes=len(wrong))
    return wrong


@pytest.mark.promise("S3")
@pytest.mark.parametrize("outsider", OUTSIDERS)
def test_outsiders_cannot_tell_hidden_from_missing_objects(world, users, outsider, measured):
    assert compare(users[outsider], world, {}, {EMPTY: 200}, measured) == []
    hidden = request(ApiClient(users[outsider]), endpoint(EMPTY), world.path_values())
    assert hidden.body == []


@pytest.mark.promise("S3")
def test_a_member_cannot_tell_unshared_from_missing_objects(world, users, measured):
    """This includes the creation of a version of a hidden template."""
    known = {"organization": str(world.organization.pk)}
    assert compare(users["plain member"], world, known, OF_ORGANIZATION, measured) == []


@pytest.mark.promise("S3")
def test_a_shared_template_can_be_read_but_not_changed(world, users):
    """Changes of a visible object return 403. Another user's dry run is not visible."""
    TemplateAccess.objects.create(template=world.template, user=users["plain member"], role="use")
    own = "POST /templateversions/{templateversion}/dry-run"
    api = ApiClient(users["plain member"])
    before = rows()
    statuses = {}
    for row in ENDPOINTS:
        if str(row) != own:
            statuses[str(row)] = request(api, row, world.path_values(), world.body(row)).status_code
    for name, status in statuses.items():
        is_dry_run_of_another_user = "{jobID}" in name
        assert status == (404 if is_dry_run_of_another_user else 200 if name.startswith("GET") else 403), name
    assert rows() == before
    assert request(api, endpoint(own), world.path_values(), {}).status_code == 201


@pytest.mark.promise("S3")
@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("POST /organizations/{organization}/templates", "template_version_id"),
        ("POST /organizations/{organization}/templateversions", "template_id"),
        ("POST /organizations/{organization}/templateversions", "file_id"),
        ("PATCH /templates/{template}/versions", "id"),
    ],
)
def test_ids_in_a_body_reveal_no_objects_of_other_organizations(world, users, name, field):
    """An administrator sends an id from another organization to an endpoint of their own organization."""
    admin = users["other organization's admin"]
    organization = admin.memberships.get().organization
    own = make_template(user=admin, organization=organization) if "{template}/" in name else None
    values = {"organization": str(organization.pk), "template": str(own.pk) if own else ""}
    body = world.body(endpoint(name))
    if field == "file_id":
        body.pop("template_id")
    before = rows()
    hidden = request(ApiClient(admin), endpoint(name), values, body)
    missing = request(ApiClient(admin), endpoint(name), values, body | {field: str(uuid.uuid4())})
    assert comparable(hidden, world) == comparable(missing, world)
    assert hidden.status_code == 404
    assert leaks(hidden, world, {key: value for key, value in body.items() if isinstance(value, str)}) == []
    assert rows() == before


@pytest.mark.promise("S3")
def test_versions_of_another_template_are_rejected(world):
    """Nested ids must belong together, also when the caller may read each of the objects."""
    api = ApiClient(world.admin)
    second = make_template(user=world.admin, organization=world.organization, name="second")
    values = world.path_values() | {"template": str(second.pk), "templateversion": str(second.active_version_id)}
    by_name = request(api, endpoint("GET /templates/{template}/versions/{templateversionname}"), values)
    assert by_name.status_code == 404
    promoted = request(api, endpoint("PATCH /templates/{template}/versions"), values, {"id": str(world.version.pk)})
    assert promoted.status_code == 400
    for row in ENDPOINTS:
        if "{jobID}" in row.path:
            assert request(api, row, values).status_code == 403
    assert ProvisionerJob.objects.get(pk=world.job.pk).canceled_at is None
