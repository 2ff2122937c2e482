"""Template versions over the API: their results, who sees them, cancel, by name."""

import uuid

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
from provisioning.models import JobStatus
from provisioning.queue import jobs
from provisioning.serializers.jobs import ResourceSerializer
from templates_app import reads
from tests.api import ApiClient
from tests.factories import claim, make_organization, make_template, make_user, make_version
from tests.pages import browser, text_of

pytestmark = pytest.mark.django_db
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


def test_instances_are_listed_in_the_order_of_the_plan(api, admin, organization):
    keys = [str(index) for index in range(12)]
    agents = tuple(Agent("main", instance_key=key, apps=(App(f"a{key}", instance_key=key),)) for key in keys)
    metadata = tuple(ResourceMetadata("k", key, instance_key=key) for key in keys)
    boxes = tuple(Resource("box", "vm", daily_cost=2, instance_key=key) for key in keys)
    single = Resource("all", "vm", agents=agents, metadata=metadata)
    parameters = tuple(RichParameter(f"p{key}", instance_key=key) for key in keys)
    result = ImportResult(PlanResult((single, *boxes), (*parameters, RichParameter("one"))), PlanResult())
    version = make_version(user=admin, organization=organization, result=result)
    for client in (api, ApiClient(admin, accept=None)):
        holder, *found = client.get(f"templateversions/{version.pk}/resources").body
        assert "instance_key" not in holder
        assert [(row["name"], row["instance_key"], row["daily_cost"]) for row in found] == [("box", k, 2) for k in keys]
        assert [(row["name"], row["instance_key"]) for row in holder["agents"]] == [("main", key) for key in keys]
        assert [row["apps"][0]["instance_key"] for row in holder["agents"]] == keys
        assert [(row["key"], row["value"], row["instance_key"]) for row in holder["metadata"]] == [
            ("k", key, key) for key in keys
        ]
        *many, one = client.get(f"templateversions/{version.pk}/rich-parameters").body
        assert [(row["name"], row["instance_key"]) for row in many] == [(f"p{key}", key) for key in keys]
        assert "instance_key" not in one
    page = text_of(browser(admin).get(f"/versions/{version.pk}/resources"))
    assert "box[11]" in page
    assert "main[11]" in page
    assert "24 credits a day" in page


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
