"""Templates over the API: create, read and list."""

import uuid
from datetime import timedelta

import pytest
from django.conf import settings

from coderproj.identity.models import AuditLog
from provisioning.models import ParameterScope, ParameterValue
from templates_app.models import AccessRole, Template, TemplateAccess, TemplateVersion
from tests.api import ApiClient, fields_of
from tests.factories import make_file, make_organization, make_template, make_user, make_version

pytestmark = pytest.mark.django_db

TEMPLATE_KEYS = [
    "id",
    "created_at",
    "updated_at",
    "organization_id",
    "name",
    "display_name",
    "provisioner",
    "active_version_id",
    "workspace_owner_count",
    "active_user_count",
    "build_time_stats",
    "description",
    "icon",
    "default_ttl_ms",
    "created_by_id",
    "created_by_name",
    "allow_user_cancel_workspace_jobs",
    "activity_bump_ms",
    "autostop_requirement",
    "autostart_requirement",
    "allow_user_autostart",
    "allow_user_autostop",
    "failure_ttl_ms",
    "time_til_dormant_ms",
    "time_til_dormant_autodelete_ms",
    "require_active_version",
    "deprecated",
    "max_port_share_level",
    "use_classic_parameter_flow",
    "cors_behavior",
    "agents_allowed",
    "deprecation_message",
    "organization_name",
    "organization_display_name",
    "organization_icon",
]


@pytest.fixture
def version(admin, organization):
    return make_version(user=admin, organization=organization)


def test_creating_a_template_from_a_version(api, admin, organization, version):
    answer = api.post(
        f"organizations/{organization.pk}/templates",
        {
            "name": "py-dev",
            "display_name": "Python dev",
            "description": "demo",
            "icon": "/icon/x.svg",
            "template_version_id": str(version.pk),
            "default_ttl_ms": 28_800_000,
            "allow_user_cancel_workspace_jobs": None,
            "parameter_values": [{"name": "region", "source_value": "eu"}],
        },
    )
    assert answer.status_code == 200
    assert list(answer.body) == TEMPLATE_KEYS
    assert answer.body["active_version_id"] == str(version.pk)
    assert answer.body["created_by_name"] == "ada"
    assert answer.body["allow_user_cancel_workspace_jobs"] is True
    assert answer.body["active_user_count"] == -1
    no_builds = {"p50": 0, "p95": 0, "P50": None, "P95": None}
    assert answer.body["build_time_stats"] == {"start": no_builds, "stop": no_builds, "delete": no_builds}
    value = ParameterValue.objects.get(scope=ParameterScope.TEMPLATE)
    assert (str(value.scope_id), value.name) == (answer.body["id"], "region")
    assert api.get(f"templateversions/{version.pk}").body["template_id"] == answer.body["id"]
    rows = AuditLog.objects.filter(user_id=admin.pk).order_by("time").values_list("resource_type", "action")
    assert list(rows) == [("template_version", "write"), ("template", "create")]


def test_the_sdk_dialect_answers_201(admin, organization, version):
    sdk = ApiClient(admin, accept=None)
    body = {"name": "x", "template_version_id": str(version.pk)}
    assert sdk.post(f"organizations/{organization.pk}/templates", body).status_code == 201


@pytest.mark.parametrize(
    ("body", "status", "fields"),
    [
        ({}, 400, ["name", "template_version_id"]),
        ({"name": ""}, 400, ["name"]),
        ({"name": "has space"}, 400, ["name"]),
        ({"name": "x" * 33}, 400, ["name"]),
        ({"name": "examples"}, 400, ["name"]),
        ({"name": 7}, 400, ["name"]),
        ({"display_name": " x"}, 400, ["display_name"]),
        ({"display_name": "x" * 65}, 400, ["display_name"]),
        ({"description": "x" * 128}, 400, ["description"]),
        ({"icon": "x" * 257}, 400, ["icon"]),
        ({"default_ttl_ms": -1}, 400, ["default_ttl_ms"]),
        ({"default_ttl_ms": 2**62}, 400, ["default_ttl_ms"]),
        ({"default_ttl_ms": "5"}, 400, ["default_ttl_ms"]),
        ({"allow_user_cancel_workspace_jobs": "yes"}, 400, ["allow_user_cancel_workspace_jobs"]),
        ({"template_version_id": "00000000-0000-0000-0000-000000000000"}, 400, ["template_version_id"]),
        ({"template_version_id": str(uuid.uuid4())}, 404, ["template_version_id"]),
    ],
)
def test_invalid_bodies_name_the_field(api, organization, version, body, status, fields):
    whole = {"name": "fine", "template_version_id": str(version.pk), **body} if body else {}
    answer = api.post(f"organizations/{organization.pk}/templates", whole)
    assert (answer.status_code, fields_of(answer)) == (status, fields)
    assert not Template.objects.exists()


def test_names_are_unique_in_any_case_until_the_template_is_deleted(api, admin, organization, version):
    template = make_template(user=admin, organization=organization, name="Mine")
    body = {"name": "mine", "template_version_id": str(version.pk)}
    taken = api.post(f"organizations/{organization.pk}/templates", body)
    assert (taken.status_code, fields_of(taken)) == (409, ["name"])
    assert api.delete(f"templates/{template.pk}").status_code == 200
    assert api.post(f"organizations/{organization.pk}/templates", body).status_code == 200


def test_a_version_has_one_template(api, admin, organization):
    template = make_template(user=admin, organization=organization)
    body = {"name": "second", "template_version_id": str(template.active_version_id)}
    answer = api.post(f"organizations/{organization.pk}/templates", body)
    assert (answer.status_code, fields_of(answer)) == (400, ["template_version_id"])


def test_reading_a_template(api, admin, organization, member):
    template = make_template(user=admin, organization=organization, name="Web")
    base = f"organizations/{organization.pk}/templates"
    by_id = api.get(f"templates/{template.pk}")
    assert by_id.status_code == 200
    assert by_id.raw.startswith(f'{{"id":"{template.pk}","created_at":"'.encode())
    assert by_id.body["created_at"].endswith("Z")
    assert api.get(f"{base}/web").body == by_id.body
    assert api.get(f"{base}").body == [by_id.body]
    assert api.get(f"{base}/").body == [by_id.body]
    assert ApiClient(member).get(f"templates/{template.pk}").body == by_id.body
    assert api.get(f"{base}/nothing").status_code == 404


def test_which_users_see_templates(organization, admin, member):
    template = make_template(user=admin, organization=organization, everyone=False)
    elsewhere = make_organization()
    users = {
        "admin": (admin, 200, 1),
        "member": (member, 404, 0),
        "outsider": (make_user(organizations=(elsewhere,), organization_roles=("organization-admin",)), 404, 0),
        "template admin": (make_user(site_roles=("template-admin",)), 200, 1),
        "auditor": (make_user(site_roles=("auditor",)), 200, 1),
        "user admin": (make_user(site_roles=("user-admin",)), 404, 0),
        "owner": (make_user(site_roles=("owner",)), 200, 1),
    }
    seen = {}
    for name, (user, _, _) in users.items():
        api = ApiClient(user)
        status = api.get(f"templates/{template.pk}").status_code
        rows = api.get(f"organizations/{organization.pk}/templates").body
        seen[name] = (user, status, len(rows))
    assert seen == users
    listed = make_user()
    template.access.create(user=listed, role="use")
    assert ApiClient(listed).get(f"templates/{template.pk}").status_code == 200


def test_hidden_and_unknown_organizations_are_answered_alike(organization, admin):
    make_template(user=admin, organization=organization)
    outsider = ApiClient(make_user(organizations=(make_organization(),)))
    for suffix in ("templates", "templates/examples", "templates/x", "templateversions/x", ""):
        hidden = outsider.get(f"organizations/{organization.pk}/{suffix}")
        ghost = outsider.get(f"organizations/{uuid.uuid4()}/{suffix}")
        assert (hidden.status_code, hidden.raw) == (ghost.status_code, ghost.raw)
    assert outsider.get(f"organizations/{organization.name}/templates").status_code == 404


def test_a_repeated_parameter_value_names_the_field(api, admin, organization):
    version = make_version(user=admin, organization=organization)
    values = [{"name": name, "source_value": "1", "source_scheme": "data"} for name in ("a", "b", "a")]
    body = {"name": "web", "template_version_id": str(version.pk), "parameter_values": values}
    answer = api.post(f"organizations/{organization.pk}/templates", body)
    assert (answer.status_code, fields_of(answer)) == (409, ["parameter_values[2].name"])


def test_a_listed_non_member_reaches_the_template_by_its_organization(organization, admin):
    template = make_template(user=admin, organization=organization, name="web")
    make_template(user=admin, organization=organization, name="other")
    version = template.active_version
    earlier = make_version(user=admin, organization=organization, template=template)
    TemplateVersion.objects.filter(pk=earlier.pk).update(created_at=version.created_at - timedelta(seconds=1))
    guest = make_user(organizations=(make_organization(),))
    api = ApiClient(guest)
    below = [
        "templates/WEB",
        f"templateversions/{version.name}",
        f"templateversions/{version.name}/previous",
        f"templates/web/versions/{version.name}",
    ]
    for organization_named in (organization.pk, organization.name.upper()):
        paths = [f"organizations/{organization_named}/{suffix}" for suffix in below]
        assert [api.get(path).status_code for path in paths] == [404] * 4
    TemplateAccess.objects.create(template=template, user=guest, role=AccessRole.ADMIN)
    for organization_named in (organization.pk, organization.name.upper()):
        path = f"organizations/{organization_named}"
        assert [api.get(f"{path}/{suffix}").status_code for suffix in below] == [200] * 4
        assert [row["name"] for row in api.get(f"{path}/templates").body] == ["web"]
        assert api.get(f"{path}/templates").body == [api.get(f"templates/{template.pk}").body]
        assert [row["name"] for row in api.get(f"{path}/templates?q=web").body] == ["web"]
        body = {"file_id": str(make_file(guest).pk)}
        assert api.post(f"{path}/templateversions", {**body, "template_id": str(template.pk)}).status_code == 201
        assert api.post(f"{path}/templateversions", body).status_code == 404
        assert api.get(f"{path}/templates/examples").status_code == 404
        assert api.get(path).status_code == 404
    Template.objects.filter(pk=template.pk).update(deleted=True)  # its versions stay readable
    path = f"organizations/{organization.pk}"
    assert api.get(f"{path}/templateversions/{version.name}").status_code == 200
    assert api.get(f"{path}/templates").body == []
    assert [row["name"] for row in api.get(f"{path}/templates?deleted=true").body] == ["web"]


def test_versions_are_listed_oldest_first_in_pages(api, admin, organization):
    template = make_template(user=admin, organization=organization)
    ids = [str(template.active_version_id)]
    ids += [str(make_version(user=admin, organization=organization, template=template).pk) for _ in range(4)]
    path = f"templates/{template.pk}/versions"

    def listed(query=""):
        return [row["id"] for row in api.get(f"{path}{query}").body]

    assert listed() == listed("/") == listed("?limit=0") == ids
    assert listed("?limit=2") == ids[:2]
    assert listed("?offset=3") == ids[3:]
    assert listed(f"?after_id={ids[1]}&limit=2") == ids[2:4]
    assert listed(f"?after_id={ids[4]}") == []
    assert api.get(f"{path}?after_id={uuid.uuid4()}").status_code == 400
    bad = api.get(f"{path}?after_id=x&limit=-1&offset=1.5")
    assert (bad.status_code, fields_of(bad)) == (400, ["after_id", "limit", "offset"])
    stranger = ApiClient(make_user(organizations=(make_organization(),)))
    assert stranger.get(f"{path}?limit=-1").status_code == 404


def test_any_visible_version_can_be_the_cursor_of_a_list(api, admin, member, organization):
    """The list continues after its time of creation (contract, list of versions)."""
    template = make_template(user=admin, organization=organization)
    before = template.active_version
    cursor = make_template(user=admin, organization=organization, everyone=False).active_version
    after = make_version(user=admin, organization=organization, template=template)
    path = f"templates/{template.pk}/versions"
    for query in ("", "&archived=false"):
        assert [row["id"] for row in api.get(f"{path}?after_id={before.pk}{query}").body] == [str(after.pk)]
        assert [row["id"] for row in api.get(f"{path}?after_id={cursor.pk}{query}").body] == [str(after.pk)]
        unknown = uuid.uuid4()
        hidden, ghost = (ApiClient(member).get(f"{path}?after_id={pk}{query}") for pk in (cursor.pk, unknown))
        assert (hidden.status_code, ghost.status_code) == (400, 400)
        assert hidden.raw == ghost.raw.replace(str(unknown).encode(), str(cursor.pk).encode())


def test_a_version_by_name_is_a_version_or_an_array_of_one(api, admin, organization):
    template = make_template(user=admin, organization=organization)
    path = f"templates/{template.pk}/versions/{template.active_version.name}"
    documented = api.get(path).body
    assert [row["id"] for row in documented] == [str(template.active_version_id)]
    assert ApiClient(admin, accept=None).get(path).body == documented[0]
    assert api.get(f"templates/{template.pk}/versions/nothing").status_code == 404


@pytest.mark.parametrize("rows", [1, 3])
def test_the_queries_of_lists_are_independent_of_the_rows(api, admin, organization, django_assert_num_queries, rows):
    for _ in range(rows):
        make_template(user=admin, organization=organization)
    with django_assert_num_queries(2):  # a caller that is not cached, templates
        assert len(api.get(f"organizations/{organization.pk}/templates").body) == rows


@pytest.mark.parametrize(
    "sent", [{}, {"disable_everyone_group_access": False}, {"disable_everyone_group_access": None}]
)
def test_everyone_may_use_a_new_template(api, organization, version, member, sent):
    body = {"name": "web", "template_version_id": str(version.pk), **sent}
    created = api.post(f"organizations/{organization.pk}/templates", body)
    assert TemplateAccess.objects.get(template=created.body["id"]).group_id == organization.pk
    assert ApiClient(member).get(f"templates/{created.body['id']}").status_code == 200


def test_a_template_can_be_created_without_access_for_everyone(api, organization, version, member):
    body = {"name": "web", "template_version_id": str(version.pk), "disable_everyone_group_access": True}
    created = api.post(f"organizations/{organization.pk}/templates", body)
    assert (created.status_code, list(created.body)) == (200, TEMPLATE_KEYS)
    assert not TemplateAccess.objects.exists()
    assert ApiClient(member).get(f"templates/{created.body['id']}").status_code == 404
    not_boolean = {**body, "name": "other", "disable_everyone_group_access": "yes"}
    refused = api.post(f"organizations/{organization.pk}/templates", not_boolean)
    assert (refused.status_code, fields_of(refused)) == (400, ["disable_everyone_group_access"])


@pytest.mark.parametrize("path", ["buildinfo", "templates", "nothing"])
def test_the_sdk_gets_no_version_header(admin, path):
    assert "X-Coder-Build-Version" not in ApiClient(admin, accept=None).get(path).headers
    assert ApiClient(admin).get(path).headers["X-Coder-Build-Version"] == settings.BUILD_VERSION


@pytest.mark.parametrize(
    "path",
    ["templates/x", "nothing", "organizations/x/y", "templates/{id}/versions/x/y", "../v2/nothing", "template"],
)
def test_unknown_routes_answer_in_the_envelope(api, path):
    answer = api.get(path.replace("{id}", str(uuid.uuid4())))
    assert answer.status_code in {400, 404}
    assert answer.body["message"]
    assert answer.headers["X-Coder-Build-Version"].startswith("v0.15.3+")


def test_wrong_methods_answer_in_the_envelope(api, organization):
    answer = api.call("PUT", f"organizations/{organization.pk}/templates")
    assert (answer.status_code, "message" in answer.body) == (405, True)


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"nonsense",
        b'{"name": NaN}',
        b"\xff\xfe{}",
        b"[" * 60_000,
        b'{"name": "\xed\xa0\x80"}',
        b"[]",
        b'"text"',
        b"7",
        b'{"name": "\\ud800", "template_version_id": "x"}',
        b'{"default_ttl_ms": 1e400}',
        b'{"default_ttl_ms": ' + b"9" * 5000 + b"}",
    ],
)
def test_malformed_bodies_are_400(api, organization, raw):
    answer = api.call("POST", f"organizations/{organization.pk}/templates", raw=raw)
    assert answer.status_code == 400
    assert answer.body["message"]
