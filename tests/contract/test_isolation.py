"""S3: hidden and missing objects give callers the same response, and nothing changes."""

import re
import uuid
from typing import Any

import pytest
from django.http import HttpResponse

from coderproj.identity.models import Group, User
from provisioning.models import File, ParameterValue, ProvisionerJob
from templates_app.models import Template, TemplateAccess, TemplateVersion
from tests.api import ApiClient
from tests.contract.document import endpoint, endpoints
from tests.contract.inhabited import Inhabited, ghosts, inhabit, request
from tests.factories import make_template, make_user

pytestmark = pytest.mark.django_db

ENDPOINTS = endpoints()
OUTSIDERS = ("outsider", "other organization's admin")
# Objects that are visible to every member of an organization, without access to the template.
OF_ORGANIZATION = {
    "POST /organizations/{organization}/groups": 403,
    "GET /organizations/{organization}/templates": 200,
    "POST /organizations/{organization}/templates": 403,
    "GET /organizations/{organization}/templates/examples": 200,
}
# The list of a hidden organization is empty, like that of a missing one.
EMPTY = "GET /organizations/{organization}/templates"
# Rejected changes are recorded in the audit log.
TABLES = (File, Group, ParameterValue, ProvisionerJob, Template, TemplateAccess, TemplateVersion, User)
ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@pytest.fixture
def world() -> Inhabited:
    return inhabit("acme")


@pytest.fixture
def people(world) -> dict[str, User]:
    other = inhabit("other")
    return {
        "outsider": make_user("outsider"),
        "other organization's admin": other.admin,
        "plain member": make_user("member", organizations=(world.organization,)),
    }


def rows() -> dict[str, list[Any]]:
    """Return all stored rows except the times when users were last seen."""
    return {
        model.__name__: sorted(
            (sorted((name, str(value)) for name, value in row.items() if name != "last_seen_at"))
            for row in model.objects.values()
        )
        for model in TABLES
    }


def answer(response: HttpResponse, world: Inhabited) -> tuple[int, Any]:
    """Return status and body, with every requested id and name replaced."""
    text = ID.sub("ID", response.raw.decode())
    for name in (world.template.name, world.version.name, world.loose.name, "no-such-name"):
        text = text.replace(name, "NAME")
    return response.status_code, text


def leaks(response: HttpResponse, world: Inhabited, asked: dict[str, str]) -> list[str]:
    """Return facts about the organization in a response that the caller did not send."""
    secrets = {
        world.admin.username,
        world.template.name,
        world.version.name,
        world.loose.name,
        *map(str, (world.admin.pk, world.template.pk, world.version.pk, world.loose.pk, world.job.pk, world.group.pk)),
        *map(str, (world.version.job_id, world.version.job.file_id, world.template.active_version_id)),
    }
    text = response.raw.decode()
    return [secret for secret in secrets - set(asked.values()) if secret in text]


def compare(
    user: User, world: Inhabited, known: dict[str, str], statuses: dict[str, int]
) -> list[tuple[str, object, object]]:
    """Call each documented endpoint as the user, for hidden and for missing objects. ``known`` are path parameters of
    both. Return the differences, and responses with other statuses than the given ones and 404."""
    api = ApiClient(user)
    values = world.path_values()
    wrong: list[tuple[str, object, object]] = []
    before = rows()
    for row in ENDPOINTS:
        hidden = request(api, row, values, world.body(row))
        ghost = request(api, row, ghosts() | known, world.body(row))
        expected = statuses.get(str(row), 404)
        for wanted, got in (
            (answer(ghost, world), answer(hidden, world)),
            (expected, hidden.status_code),
            ([], leaks(hidden, world, values)),
            (before, rows()),
        ):
            if wanted != got:
                wrong.append((str(row), wanted, got))
    return wrong


@pytest.mark.parametrize("who", OUTSIDERS)
def test_outsiders_see_nothing(world, people, who):
    assert compare(people[who], world, {}, {EMPTY: 200}) == []
    hidden = request(ApiClient(people[who]), endpoint(EMPTY), world.path_values())
    assert hidden.body == []


def test_members_see_nothing_of_unshared_templates(world, people):
    """Creating a version of a hidden template also gives the response for a missing one."""
    known = {"organization": str(world.organization.pk)}
    assert compare(people["plain member"], world, known, OF_ORGANIZATION) == []


def test_readable_template_cannot_be_changed(world, people):
    """Changes of a visible template give 403. Users own their dry runs."""
    TemplateAccess.objects.create(template=world.template, user=people["plain member"], role="use")
    own = "POST /templateversions/{templateversion}/dry-run"
    api = ApiClient(people["plain member"])
    before = rows()
    statuses = {}
    for row in ENDPOINTS:
        if str(row) != own:
            statuses[str(row)] = request(api, row, world.path_values(), world.body(row)).status_code
    for name, status in statuses.items():
        of_another_user = "{jobID}" in name
        assert status == (404 if of_another_user else 200 if name.startswith("GET") else 403), name
    assert rows() == before
    assert request(api, endpoint(own), world.path_values(), {}).status_code == 201


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("POST /organizations/{organization}/templates", "template_version_id"),
        ("POST /organizations/{organization}/templateversions", "template_id"),
        ("POST /organizations/{organization}/templateversions", "file_id"),
        ("PATCH /templates/{template}/versions", "id"),
    ],
)
def test_ids_in_a_body_reveal_nothing(world, people, name, field):
    """An administrator sends ids of another organization in requests about their own."""
    admin = people["other organization's admin"]
    organization = admin.memberships.get().organization
    own = make_template(user=admin, organization=organization) if "{template}/" in name else None
    values = {"organization": str(organization.pk), "template": str(own.pk) if own else ""}
    body = world.body(endpoint(name))
    if field == "file_id":
        body.pop("template_id")
    before = rows()
    hidden = request(ApiClient(admin), endpoint(name), values, body)
    ghost = request(ApiClient(admin), endpoint(name), values, body | {field: str(uuid.uuid4())})
    assert answer(hidden, world) == answer(ghost, world)
    assert hidden.status_code == 404
    assert leaks(hidden, world, {key: value for key, value in body.items() if isinstance(value, str)}) == []
    assert rows() == before


def test_nested_ids_must_belong_together(world):
    """Nested ids are checked together, even if each object is visible to the caller."""
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
