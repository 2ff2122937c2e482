"""Compiled reads return the same JSON as the plain serializers, including the order of keys."""

import json
from typing import Any

import pytest

from coderproj.base.json_text import to_json
from coderproj.identity.models import User
from provisioning.engine import base
from provisioning.models import ParameterSchema, WorkspaceResource
from provisioning.serializers.jobs import ParameterSchemaSerializer, ResourceSerializer
from templates_app import reads
from templates_app.models import RichParameter, Template, TemplateVersion
from templates_app.serializers.templates import RichParameterSerializer, TemplateSerializer, TemplateVersionSerializer
from tests.api import ApiClient
from tests.factories import make_organization, make_template, make_user, make_version
from tests.templates_app.views.test_versions import FOUND

pytestmark = pytest.mark.django_db


@pytest.fixture
def world():
    """An organization with an administrator and two templates, one of which has versions in every state."""
    organization = make_organization(is_default=True)
    admin = make_user(
        "ada", organizations=(organization, make_organization()), organization_roles=("organization-admin",)
    )
    User.objects.filter(pk=admin.pk).update(site_roles=["auditor"], avatar_url="/ada.png")
    admin.refresh_from_db()
    make_template(user=admin, organization=organization, name="plain", description='<b>"quoted" é \\ </b>')
    template = make_template(user=admin, organization=organization, name="rich", result=FOUND)
    make_version(
        user=admin,
        organization=organization,
        template=template,
        result=FOUND,
        schemas=(
            base.ParameterSchema(
                name="region",
                description="a\nb",
                default_source_value="eu",
                validation_condition='contains(["eu"], var.region)',
                validation_error="no",
                validation_value_type="string",
            ),
            base.ParameterSchema(name="secret", default_source_value="x", sensitive=True),
            base.ParameterSchema(name="open"),
        ),
    )
    make_version(user=admin, organization=organization, template=template, error="it failed")
    make_version(user=admin, organization=organization, template=template, finished=False)
    return organization, admin, template


def plain(serializer: Any) -> Any:
    return ordered(to_json(serializer.data))


def ordered(raw: bytes) -> Any:
    """Decode every object as a list of pairs, so that the order of keys is compared."""
    return json.loads(raw, object_pairs_hook=lambda pairs: pairs)


def compact(raw: bytes) -> bool:
    """Return True if there are no spaces between tokens."""
    return raw == json.dumps(json.loads(raw), separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def rich_version(template: Template) -> TemplateVersion:
    return template.versions.order_by("created_at")[1]


READS = {
    "list": lambda organization, template: (
        f"organizations/{organization.pk}/templates",
        TemplateSerializer(Template.objects.filter(organization=organization).most_used_first(), many=True),
    ),
    "by name": lambda organization, template: (
        f"organizations/{organization.pk}/templates/RICH",
        TemplateSerializer(Template.objects.with_statistics().get(pk=template.pk)),
    ),
    "template": lambda organization, template: (
        f"templates/{template.pk}",
        TemplateSerializer(Template.objects.with_statistics().get(pk=template.pk)),
    ),
    "versions": lambda organization, template: (
        f"templates/{template.pk}/versions",
        TemplateVersionSerializer(template.versions.order_by("created_at", "id"), many=True),
    ),
    "page of versions": lambda organization, template: (
        f"templates/{template.pk}/versions?limit=2&offset=1",
        TemplateVersionSerializer(template.versions.order_by("created_at", "id")[1:3], many=True),
    ),
    "versions after one": lambda organization, template: (
        f"templates/{template.pk}/versions?after_id={rich_version(template).pk}",
        TemplateVersionSerializer(template.versions.order_by("created_at", "id")[2:], many=True),
    ),
    "version": lambda organization, template: (
        f"templateversions/{rich_version(template).pk}",
        TemplateVersionSerializer(rich_version(template)),
    ),
    "version of template": lambda organization, template: (
        f"templates/{template.pk}/versions/{rich_version(template).name}",
        TemplateVersionSerializer([rich_version(template)], many=True),
    ),
    "resources": lambda organization, template: (
        f"templateversions/{rich_version(template).pk}/resources",
        ResourceSerializer(
            WorkspaceResource.objects.filter(job=rich_version(template).job_id).order_by(
                *ResourceSerializer.Meta.list_order
            ),
            many=True,
        ),
    ),
    "rich parameters": lambda organization, template: (
        f"templateversions/{rich_version(template).pk}/rich-parameters",
        RichParameterSerializer(
            RichParameter.objects.filter(template_version=rich_version(template)).order_by("index"), many=True
        ),
    ),
    "schema": lambda organization, template: (
        f"templateversions/{rich_version(template).pk}/schema",
        ParameterSchemaSerializer(
            ParameterSchema.objects.filter(job=rich_version(template).job_id).order_by("index"), many=True
        ),
    ),
}


@pytest.mark.parametrize("name", READS)
def test_a_compiled_read_equals_its_serializer(world, name):
    organization, admin, template = world
    path, serializer = READS[name](organization, template)
    answer = ApiClient(admin).get(path)
    assert answer.status_code == 200
    assert ordered(answer.raw) == plain(serializer)
    assert answer.body
    assert compact(answer.raw)


@pytest.mark.parametrize("name", READS)
def test_a_compiled_read_takes_one_query(world, name, django_assert_num_queries):
    organization, admin, template = world
    path, serializer = READS[name](organization, template)
    api = ApiClient(admin)
    first = api.get(path)
    with django_assert_num_queries(1):
        again = api.get(path)
    assert again.raw == first.raw
    assert ordered(again.raw) == plain(serializer)


@pytest.mark.parametrize("name", READS)
def test_the_fast_path_answers_with_the_same_headers(world, name, settings):
    settings.RATELIMIT_API = 100
    organization, admin, template = world
    path, _ = READS[name](organization, template)
    api = ApiClient(admin)
    regular, fast = api.get(path), api.get(path)
    changing = {"X-Coder-Request-Id", "X-RateLimit-Remaining", "X-RateLimit-Reset"}
    assert {k: v for k, v in regular.headers.items() if k not in changing} == {
        k: v for k, v in fast.headers.items() if k not in changing
    }
    assert set(regular.headers) == set(fast.headers)
    assert int(fast.headers["X-RateLimit-Remaining"]) == int(regular.headers["X-RateLimit-Remaining"]) - 1


@pytest.mark.parametrize("roles", [[], ["owner"], ["auditor", "template-admin"], ["auditor", "no such role"]])
def test_the_roles_of_an_author_are_those_of_the_serializer(world, roles):
    _, admin, template = world
    User.objects.filter(pk=admin.pk).update(site_roles=roles)
    answer = ApiClient(make_user(site_roles=("owner",))).get(f"templateversions/{template.active_version_id}")
    version = TemplateVersion.objects.get(pk=template.active_version_id)
    assert ordered(answer.raw) == plain(TemplateVersionSerializer(version))
    assert [role["name"] for role in answer.body["created_by"]["roles"]] == [r for r in roles if r != "no such role"]


@pytest.mark.parametrize("reference", ["{id}", "{name}", "default", "DEFAULT"])
def test_a_list_accepts_any_reference_to_its_organization(world, reference):
    organization, admin, template = world
    api = ApiClient(admin)
    named = reference.format(id=organization.pk, name=organization.name.upper())
    expected = api.get(f"organizations/{organization.pk}/templates").raw
    for _ in range(2):
        assert api.get(f"organizations/{named}/templates").raw == expected
        assert api.get(f"organizations/{named}/templates/rich").body["id"] == str(template.pk)


def test_an_author_has_only_the_organizations_visible_to_the_reader(world):
    organization, _, template = world
    member = make_user(organizations=(organization,))
    version = rich_version(template)
    serializer = TemplateVersionSerializer(version, context={"organizations": {organization.pk}})
    api = ApiClient(member)
    for _ in range(2):
        answer = api.get(f"templateversions/{version.pk}")
        assert ordered(answer.raw) == plain(serializer)
    assert len(answer.body["created_by"]["organization_ids"]) == 1


def test_a_statement_is_compiled_once_for_all_actors_of_a_shape(world):
    organization, admin, template = world
    member = make_user(organizations=(organization,))
    reads.TEMPLATE.statements.clear()
    clients = [
        ApiClient(user) for user in (member, make_user(), make_user(organizations=(make_organization(),)), admin)
    ]
    for _ in range(2):
        for client in clients:
            client.get(f"templates/{template.pk}")
    # Without a site role and with the auditor's, for cached callers and for callers that authenticate.
    assert len(reads.TEMPLATE.statements) == 4
    assert [client.get(f"templates/{template.pk}").status_code for client in clients] == [200, 404, 404, 200]
