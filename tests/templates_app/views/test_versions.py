"""Template versions over the API: create, read, cancel."""

import uuid
from datetime import UTC, datetime

import pytest

from coderproj.identity.models import AuditAction, AuditLog
from provisioning.engine.base import (
    Agent,
    App,
    AppHealthcheck,
    ImportResult,
    ParameterSchema,
    PlanResult,
    Resource,
    ResourceMetadata,
    RichParameter,
    RichParameterOption,
)
from provisioning.models import JobStatus, ParameterScope, ParameterValue, ProvisionerJob
from provisioning.queue import jobs
from provisioning.serializers.jobs import ResourceSerializer
from templates_app import reads
from templates_app.models import TemplateVersion
from tests.api import ApiClient, fields_of
from tests.factories import claim, make_file, make_organization, make_template, make_user, make_version

pytestmark = pytest.mark.django_db
NIL = "00000000-0000-0000-0000-000000000000"


OPTIONS = tuple(RichParameterOption(name, name.lower()) for name in ("Debian", "Alpine", 'Čentos "9"'))
FOUND = ImportResult(
    start=PlanResult(
        resources=(
            Resource(
                name="machine",
                type="terraform_data",
                icon="/icon/memory.svg",
                daily_cost=7,
                metadata=(ResourceMetadata("size", "10 GB"), ResourceMetadata("token", "s3cr3t", sensitive=True)),
                agents=(
                    Agent(
                        name="main",
                        operating_system="linux",
                        architecture="amd64",
                        environment={"A": "b"},
                        apps=(
                            App(slug="code", healthcheck=AppHealthcheck("http://x/healthz", 5, 6)),
                            App(slug="atop", command="top"),
                        ),
                    ),
                    Agent(name="tools", operating_system="linux", architecture="arm64"),
                ),
            ),
            Resource(name="disk", type="terraform_data"),
        ),
        rich_parameters=(
            RichParameter(
                name="size",
                type="number",
                mutable=True,
                default_value="3",
                validation_min=1,
                validation_max=9,
            ),
            RichParameter(name="image", default_value=None, options=OPTIONS),
        ),
    ),
    stop=PlanResult(resources=(Resource(name="disk", type="terraform_data"),)),
    unverified_providers=("registry.terraform.io/hashicorp/aws",),
    unverified_modules=("acme/vpc/aws",),
)


# ---------------------------------------------------------------------- create
def test_creating_a_version_queues_its_import(api, admin, organization):
    file = make_file(admin)
    answer = api.post(
        f"organizations/{organization.pk}/templateversions",
        {
            "template_id": NIL,
            "storage_method": "file",
            "file_id": str(file.pk),
            "provisioner": "terraform",
            "tags": {},
            "parameter_values": [
                {
                    "copy_from_parameter": NIL,
                    "name": "region",
                    "source_value": "eu",
                    "source_scheme": "data",
                    "destination_scheme": "provisioner_variable",
                }
            ],
        },
    )
    assert answer.status_code == 201
    job = answer.body["job"]
    assert job["status"] == "pending"
    assert job["file_id"] == str(file.pk)
    assert job["tags"] == {"scope": "organization"}
    assert "template_id" not in answer.body
    assert answer.body["created_by"]["username"] == "ada"
    assert answer.body["created_by"]["organization_ids"] == [str(organization.pk)]
    value = ParameterValue.objects.get(scope=ParameterScope.IMPORT_JOB, scope_id=job["id"])
    assert (value.name, value.source_value) == ("region", "eu")


def test_a_new_version_is_answered_as_pending(api, admin, organization, monkeypatch):
    """Even if a daemon claims the job at once: a client that sees another status might not follow the log."""
    store = TemplateVersion.save

    def claimed_at_once(version, **options):
        store(version, **options)
        ProvisionerJob.objects.filter(pk=version.job_id).update(started_at=datetime.now(UTC))

    monkeypatch.setattr(TemplateVersion, "save", claimed_at_once)
    body = {"file_id": str(make_file(admin).pk)}
    answer = api.post(f"organizations/{organization.pk}/templateversions", body)
    assert (answer.status_code, answer.body["job"]["status"]) == (201, "pending")
    assert api.get(f"templateversions/{answer.body['id']}").body["job"]["status"] == "running"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"WORKSPACE_NAME": "w"}, 201),
        ({"workspace_name": "w", "file_id": None, "tags": {}, "name": ""}, 201),
        ({"workspace_name": "w", "File_ID": NIL}, 201),
        ({"workspace_name": "w", "NAME": "v1"}, 400),
    ],
)
def test_the_documented_body_is_recognized_by_its_fields(api, organization, body, status):
    answer = api.post(f"organizations/{organization.pk}/templateversions", body)
    assert (answer.status_code, fields_of(answer)) == (status, [] if status == 201 else ["file_id"])


def test_the_organization_can_be_given_by_name(api, admin, organization):
    body = {"file_id": str(make_file(admin).pk)}
    for reference in ("default", organization.name, organization.name.upper()):
        assert api.post(f"organizations/{reference}/templateversions", body).status_code == 201


def test_a_starter_can_be_the_source_by_slug_or_id(api, organization):
    starters = api.get(f"organizations/{organization.pk}/templates/examples").body
    assert {"hello", "docker", "kubernetes"} <= {starter["url"].rpartition("/")[2] for starter in starters}
    by_id = api.post(f"organizations/{organization.pk}/templateversions", {"example_id": starters[0]["id"]})
    assert by_id.status_code == 201
    by_slug = [api.post(f"organizations/{organization.pk}/templateversions", {"example_id": "hello"}) for _ in range(2)]
    assert {answer.status_code for answer in by_slug} == {201}
    assert len({answer.body["job"]["file_id"] for answer in by_slug}) == 1


@pytest.mark.parametrize(
    ("body", "status", "fields"),
    [
        ({}, 400, ["file_id"]),
        ({"tags": {}}, 400, ["file_id"]),
        ({"file_id": "nonsense"}, 400, ["file_id"]),
        ({"file_id": str(uuid.uuid4())}, 404, []),
        ({"example_id": "no-such-starter"}, 400, ["example_id"]),
        ({"file_id": str(uuid.uuid4()), "example_id": "hello"}, 400, []),
        ({"example_id": "hello", "storage_method": "git"}, 400, ["storage_method"]),
        ({"example_id": "hello", "provisioner": "magic"}, 400, ["provisioner"]),
        ({"example_id": "hello", "name": "not_a_name"}, 400, ["name"]),
        ({"example_id": "hello", "name": "x\n"}, 400, ["name"]),
        ({"example_id": "hello", "message": "x" * 1025}, 400, ["message"]),
        ({"example_id": "hello", "tags": {"gpu": 1}}, 400, ["tags.gpu"]),
        ({"example_id": "hello", "template_id": str(uuid.uuid4())}, 404, []),
        ({"example_id": "hello", "parameter_values": [{"source_value": "x"}]}, 400, ["parameter_values[0].name"]),
        (
            {"example_id": "hello", "parameter_values": [{"name": "a", "source_scheme": "file"}]},
            400,
            ["parameter_values[0].source_scheme"],
        ),
        ({"example_id": "hello", "name": "a\x00b"}, 400, ["name"]),
        ([], 400, []),
    ],
)
def test_invalid_bodies_name_the_field(api, organization, body, status, fields):
    answer = api.post(f"organizations/{organization.pk}/templateversions", body)
    assert (answer.status_code, fields_of(answer)) == (status, fields)
    assert answer.body["message"]


def test_the_documented_body_has_no_source_and_its_import_waits(api, organization):
    answer = api.post(
        f"organizations/{organization.pk}/templateversions",
        {"workspace_name": "x", "rich_parameter_values": [{"name": "a", "value": "b"}], "parameter_values": []},
    )
    assert answer.status_code == 201
    assert "file_id" not in answer.body["job"]


def test_names_are_unique_per_template(api, admin, organization):
    template = make_template(user=admin, organization=organization)
    body = {"example_id": "hello", "template_id": str(template.pk), "name": "v1"}
    assert api.post(f"organizations/{organization.pk}/templateversions", body).status_code == 201
    again = api.post(f"organizations/{organization.pk}/templateversions", body)
    assert (again.status_code, fields_of(again)) == (409, ["name"])
    assert TemplateVersion.objects.filter(name="v1").count() == 1


def test_user_scoped_tags_have_the_caller_as_owner(api, admin, organization):
    body = {"example_id": "hello", "tags": {"scope": "user", "owner": "another", "gpu": "true"}}
    tags = api.post(f"organizations/{organization.pk}/templateversions", body).body["job"]["tags"]
    assert tags == {"scope": "user", "owner": str(admin.pk), "gpu": "true"}


def test_which_users_may_create_versions(organization, member, admin):
    body = {"example_id": "hello"}
    path = f"organizations/{organization.pk}/templateversions"
    outsider = make_user(organizations=(make_organization(),))
    template_admin = make_user(site_roles=("template-admin",))
    auditor = make_user(site_roles=("auditor",))
    expected = {member: 403, outsider: 404, template_admin: 201, auditor: 404, None: 401}
    assert {user: ApiClient(user).post(path, body).status_code for user in expected} == expected
    template = make_template(user=admin, organization=organization)
    with_template = {**body, "template_id": str(template.pk)}
    assert ApiClient(member).post(path, with_template).status_code == 403


def test_files_of_other_users_are_not_found(organization, admin):
    other = make_user(organizations=(organization,), organization_roles=("organization-admin",))
    body = {"file_id": str(make_file(admin).pk)}
    assert ApiClient(other).post(f"organizations/{organization.pk}/templateversions", body).status_code == 404


# ---------------------------------------------------------------------- read
def test_results_are_withheld_until_the_import_ends(api, admin, organization):
    version = make_version(user=admin, organization=organization, finished=False)
    statuses = {
        name: api.get(f"templateversions/{version.pk}/{name}").status_code
        for name in ("schema", "parameters", "rich-parameters", "resources", "logs")
    }
    assert statuses == {"schema": 400, "parameters": 400, "rich-parameters": 412, "resources": 400, "logs": 200}
    assert api.post(f"templateversions/{version.pk}/dry-run", {}).status_code == 400


def test_the_results_of_an_import(api, admin, organization):
    schemas = (
        ParameterSchema(name="region", default_source_value="eu", validation_value_type="string"),
        ParameterSchema(name="secret", default_source_value="s3cr3t", sensitive=True),
        ParameterSchema(name="open"),
    )
    version = make_version(user=admin, organization=organization, result=FOUND, schemas=schemas)
    path = f"templateversions/{version.pk}"
    answer = api.get(path)
    assert answer.body["job"]["status"] == "succeeded"
    assert answer.body["unverified_providers"] == ["registry.terraform.io/hashicorp/aws"]
    assert answer.body["unverified_modules"] == ["acme/vpc/aws"]

    resources = api.get(f"{path}/resources").body
    assert [(row["name"], row["workspace_transition"]) for row in resources] == [
        ("disk", "start"),
        ("disk", "stop"),
        ("machine", "start"),
    ]
    machine = resources[2]
    assert machine["daily_cost"] == 7
    assert machine["metadata"] == [
        {"key": "size", "value": "10 GB", "sensitive": False},
        {"key": "token", "value": "", "sensitive": True},
    ]
    main, tools = machine["agents"]
    assert (main["name"], main["environment_variables"], main["status"]) == ("main", {"A": "b"}, "connecting")
    assert [app["slug"] for app in main["apps"]] == ["atop", "code"]
    assert main["apps"][1]["healthcheck"] == {"url": "http://x/healthz", "interval": 5, "threshold": 6}
    assert main["apps"][1]["health"] == "initializing"
    assert tools["apps"] == []
    assert "auth_token" not in main
    atop, code = main["apps"]
    assert (atop["command"], atop.keys() & {"icon"}, code.keys() & {"command", "icon"}) == ("top", set(), set())
    assert (tools["environment_variables"], tools["troubleshooting_url"]) == (None, "")
    assert not tools.keys() & {"instance_id", "startup_script", "directory"}
    assert (resources[0]["icon"], tools["version"]) == ("", "")  # only those

    schema = api.get(f"{path}/schema").body
    assert [row["name"] for row in schema] == ["region", "secret", "open"]
    assert (schema[0]["default_source_value"], schema[0]["default_source_scheme"]) == ("eu", "data")
    assert schema[1]["redisplay_value"] is False
    assert schema[2]["default_source_scheme"] == "none"

    values = api.get(f"{path}/parameters").body
    assert [(row["name"], row["source_value"], row["default_source_value"]) for row in values] == [
        ("region", "eu", True),
        ("secret", "", True),
    ]

    size, image = api.get(f"{path}/rich-parameters").body
    assert (size["name"], size["type"], size["default_value"], size["mutable"]) == ("size", "number", "3", True)
    assert (size["validation_min"], size["validation_max"]) == (1, 9)
    assert (image["required"], image["default_value"]) == (True, "")
    assert image["options"] == [
        {"name": option.name, "description": "", "value": option.value, "icon": ""} for option in OPTIONS
    ]
    assert list(image["options"][0]) == ["name", "description", "value", "icon"]
    assert b"s3cr3t" not in b"".join(
        api.get(f"{path}/{name}").raw for name in ("schema", "parameters", "resources", "rich-parameters")
    )


def test_an_agent_without_troubleshooting_url_gets_the_deployments(api, admin, organization, settings, monkeypatch):
    settings.AGENT_TROUBLESHOOTING_URL = "https://help.example/agents"
    monkeypatch.setattr(reads.RESOURCES, "statements", {})  # compiled with the setting
    own = Agent(name="a", troubleshooting_url="https://own.example")
    resource = Resource(name="x", type="terraform_data", agents=(own, Agent(name="b")))
    found = ImportResult(start=PlanResult(resources=(resource,)), stop=PlanResult())
    version = make_version(user=admin, organization=organization, result=found)
    expected = ["https://own.example", "https://help.example/agents"]
    (answered,) = api.get(f"templateversions/{version.pk}/resources").body
    assert [agent["troubleshooting_url"] for agent in answered["agents"]] == expected
    (written,) = ResourceSerializer(version.job.resources.all(), many=True).data
    assert [agent["troubleshooting_url"] for agent in written["agents"]] == expected


def test_a_failed_import_has_an_error_and_no_results(api, admin, organization):
    version = make_version(user=admin, organization=organization, error="missing parameter: region")
    answer = api.get(f"templateversions/{version.pk}")
    assert (answer.body["job"]["status"], answer.body["job"]["error"]) == ("failed", "missing parameter: region")
    for name in ("schema", "parameters", "rich-parameters", "resources"):
        assert api.get(f"templateversions/{version.pk}/{name}").body == []


def test_versions_without_a_template_are_visible_to_authors_and_template_creators(organization, admin, member):
    version = make_version(user=admin, organization=organization)
    outsider = make_user(organizations=(make_organization(),), organization_roles=("organization-admin",))
    other_admin = make_user(organizations=(organization,), organization_roles=("organization-admin",))
    expected = {admin: 200, other_admin: 200, member: 404, outsider: 404}
    path = f"templateversions/{version.pk}"
    assert {user: ApiClient(user).get(path).status_code for user in expected} == expected
    hidden = ApiClient(outsider).get(path)
    ghost = ApiClient(outsider).get(f"templateversions/{uuid.uuid4()}")
    assert hidden.raw == ghost.raw


def test_invalid_ids_name_the_parameter(api):
    answer = api.get("templateversions/nonsense")
    assert answer.status_code == 400
    assert "templateversion" in answer.body["message"]


# ---------------------------------------------------------------------- cancel
def test_cancel_ends_a_waiting_import_once(api, admin, organization):
    version = make_version(user=admin, organization=organization, finished=False)
    path = f"templateversions/{version.pk}/cancel"
    assert api.patch(path).status_code == 200
    assert api.get(f"templateversions/{version.pk}").body["job"]["status"] == "canceled"
    assert api.patch(path).status_code == 400
    audited = AuditLog.objects.filter(action=AuditAction.STOP, resource_id=version.job_id).order_by("time")
    assert list(audited.values_list("user_id", "status_code")) == [(admin.pk, 200), (admin.pk, 400)]


def test_a_user_of_the_template_may_not_cancel(organization, admin, member):
    template = make_template(user=admin, organization=organization)
    version = make_version(user=admin, organization=organization, template=template, finished=False)
    assert ApiClient(member).patch(f"templateversions/{version.pk}/cancel").status_code == 403
    version.job.refresh_from_db()
    assert version.job.status == JobStatus.PENDING


# ---------------------------------------------------------------------- by name
def test_versions_by_name_and_their_previous_ones(api, admin, organization):
    template = make_template(user=admin, organization=organization)
    base = f"organizations/{organization.pk}/templateversions"
    second = make_version(user=admin, organization=organization, template=template, name="second")
    assert api.get(f"{base}/second").body["id"] == str(second.pk)
    assert api.get(f"{base}/second/previous").body["id"] == str(template.active_version_id)
    assert api.get(f"{base}/{template.active_version.name}/previous").status_code == 404
    assert api.get(f"{base}/no-such").status_code == 404
    outsider = ApiClient(make_user(organizations=(make_organization(),)))
    assert outsider.get(f"{base}/second").status_code == 404


def test_a_frozen_daemon_cannot_complete_an_import_twice(admin, organization):
    version = make_version(user=admin, organization=organization, finished=False)
    lease = claim(tags=version.job.tags)
    jobs.complete(lease, FOUND)
    jobs.complete(lease, FOUND)  # repeated, as after a lost answer: changes nothing
    assert version.rich_parameters.count() == 2
    with pytest.raises(jobs.LeaseLost):
        jobs.complete(jobs.Lease(lease.job_id, uuid.uuid4()), FOUND)
