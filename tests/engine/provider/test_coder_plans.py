"""Templates planned and applied by the real Terraform with the built-in coder provider."""

import uuid
from pathlib import Path

import pytest

from provisioning.engine.base import RichParameter, RichParameterOption, Transition, WorkspaceContext
from provisioning.engine.provider.coder import CODER_RESOURCE_TYPES, CoderProvider
from provisioning.engine.provider.server import CODER_ADDRESSES
from tests.engine.provider.terraform import (
    CODER,
    CONTEXT,
    MIXED,
    data_sources,
    planned_resources,
    with_coder,
    write_template,
)

pytestmark = pytest.mark.terraform


def test_a_start_plan_shows_agents_apps_metadata_and_parameters(tmp_path):
    recorded = []
    provider = CoderProvider(CONTEXT, parameter_recorder=recorded.append)

    with with_coder(write_template(tmp_path, MIXED), provider) as terraform:
        shown = terraform.planned()

    resources = planned_resources(shown)
    assert resources["coder_agent.main"] == {
        "api_key_scope": None,
        "arch": data_sources(shown)["data.coder_provisioner.p"]["arch"],
        "auth": "token",
        "connection_timeout": 120,
        "delay_login_until_ready": False,
        "dir": None,
        "display_apps": [],
        "env": {"REGION": "eu", "SECRET": "s3cr3t"},
        "login_before_ready": True,
        "metadata": [],
        "motd_file": None,
        "order": None,
        "os": "linux",
        "resources_monitoring": [],
        "shutdown_script": None,
        "shutdown_script_timeout": 300,
        "startup_script": "echo https://example.com/a.git",
        "startup_script_behavior": None,
        "startup_script_timeout": 300,
        "troubleshooting_url": None,
    }
    assert resources["coder_agent.second[0]"]["auth"] == "aws-instance-identity"
    app = resources["coder_app.code"]
    assert (app["slug"], app["name"], app["share"], app["subdomain"]) == ("code", "VS Code", "public", True)
    assert app["healthcheck"] == [{"url": "http://localhost:8080/healthz", "interval": 5, "threshold": 6}]
    metadata = resources["coder_metadata.home"]
    assert metadata["daily_cost"] == 7
    assert [(item["key"], item["sensitive"]) for item in metadata["item"]] == [
        ("size", False),
        ("token", True),
    ]
    assert metadata["item"][0]["value"] == "10 GB"
    assert resources["terraform_data.home"]["input"] == {"name": "coder-alice-dev-home", "gb": "10"}
    assert "terraform_data.vm[0]" in resources

    unknown = {change["address"]: change["change"]["after_unknown"] for change in shown["resource_changes"]}
    for name in ("id", "token", "init_script"):
        assert unknown["coder_agent.main"][name] is True
    assert unknown["coder_app.code"]["agent_id"] is True

    parameters = data_sources(shown)
    assert parameters["data.coder_parameter.size"]["value"] == "10"
    assert parameters["data.coder_parameter.size"]["validation"][0]["max"] == 100
    assert parameters["data.coder_parameter.size"]["validation"][0]["regex"] is None
    assert [option["value"] for option in parameters["data.coder_parameter.image"]["option"]] == [
        "ubuntu",
        "debian",
    ]
    assert sorted(recorded, key=lambda parameter: parameter.name) == [
        RichParameter(
            name="Disk size",
            type="number",
            description="Size in GB",
            mutable=True,
            default_value="10",
            icon="/icon/folder.svg",
            validation_min=1,
            validation_max=100,
        ),
        RichParameter(
            name="Image",
            default_value="ubuntu",
            options=(
                RichParameterOption("Ubuntu", "ubuntu", icon="/icon/ubuntu.svg"),
                RichParameterOption("Debian", "debian"),
            ),
        ),
        RichParameter(
            name="Repo",
            default_value="https://example.com/a.git",
            validation_regex="^https://",
            validation_error="must be https",
        ),
    ]


@pytest.mark.parametrize(
    ("transition", "text", "count"),
    [
        (Transition.START, "start", 1),
        (Transition.STOP, "stop", 0),
        (Transition.DELETE, "destroy", 0),
    ],
)
def test_the_transition_determines_the_start_count(tmp_path, transition, text, count):
    provider = CoderProvider(WorkspaceContext(transition=transition))

    with with_coder(write_template(tmp_path, MIXED), provider) as terraform:
        shown = terraform.planned()

    workspace = data_sources(shown)["data.coder_workspace.me"]
    assert (workspace["transition"], workspace["start_count"]) == (text, count)
    assert ("terraform_data.vm[0]" in planned_resources(shown)) is bool(count)


def test_a_workspace_without_a_name_gets_the_providers_defaults(tmp_path):
    with with_coder(write_template(tmp_path, MIXED), CoderProvider(WorkspaceContext())) as terraform:
        workspace = data_sources(terraform.planned())["data.coder_workspace.me"]

    assert uuid.UUID(workspace["id"]).version == 4
    assert (workspace["name"], workspace["owner"], workspace["owner_email"]) == ("default", "default", "")
    assert workspace["owner_id"] == str(uuid.UUID(int=0))
    assert (workspace["access_url"], workspace["access_port"]) == ("http://localhost:3000", 3000)


def test_the_provider_block_can_set_the_url(tmp_path):
    template = CODER + 'provider "coder" { url = "https://other.example.com" }\ndata "coder_workspace" "me" {}\n'

    with with_coder(write_template(tmp_path, template), CoderProvider(CONTEXT)) as terraform:
        workspace = data_sources(terraform.planned())["data.coder_workspace.me"]

    assert (workspace["access_url"], workspace["access_port"]) == ("https://other.example.com", 443)


def test_the_environment_is_not_used_for_values(tmp_path, monkeypatch):
    monkeypatch.setenv("CODER_WORKSPACE_OWNER", "mallory")
    monkeypatch.setenv("CODER_AGENT_URL", "https://mallory.example.com")

    with with_coder(write_template(tmp_path, MIXED), CoderProvider(CONTEXT)) as terraform:
        workspace = data_sources(terraform.planned())["data.coder_workspace.me"]

    assert (workspace["owner"], workspace["access_port"]) == ("alice", 8443)


def test_invalid_agents_apps_and_metadata_are_reported(tmp_path):
    template = f"""{CODER}
resource "coder_agent" "a" {{
  os                 = "beos"
  arch               = "amd64"
  auth               = "trust"
  connection_timeout = -1
}}
resource "coder_app" "b" {{
  agent_id = "x"
  slug     = "Not-a--slug"
  url      = "http://localhost"
  command  = "top"
  share    = "anyone"
}}
resource "coder_metadata" "c" {{
  resource_id = "x"
  item {{
    key   = "k"
    value = "1"
  }}
  item {{
    key = "k"
  }}
}}
"""
    with with_coder(write_template(tmp_path, template), CoderProvider(CONTEXT)) as terraform:
        plan = terraform.plan()

    assert plan.code == 1
    kinds = ("token", *(f"{cloud}-instance-identity" for cloud in ("google", "aws", "azure")))
    slug = "lower-case letters and digits with single hyphens between them"
    found = sorted((error["detail"], error["range"]["start"]["line"]) for error in plan.diagnostics)
    assert found == [
        ('More than one item of this coder_metadata has the key "k".', 27),
        (f'The value of auth is "trust", expected one of {", ".join(kinds)}.', 10),
        ("The value of connection_timeout is -1, expected at least 0.", 11),
        ('The value of os is "beos", expected one of linux, darwin, windows.', 8),
        ('The value of share is "anyone", expected one of owner, authenticated, public.', 18),
        (f'The value of slug is "Not-a--slug", expected {slug}.', 15),
        ("command cannot be set together with url.", 17),
    ]


def test_a_template_can_be_applied_planned_again_and_destroyed(tmp_path):
    scripts = {("linux", "amd64"): "curl ${ACCESS_URL}bin/agent # ${AUTH_TYPE}"}
    provider = CoderProvider(CONTEXT, find_init_script=lambda *machine: scripts.get(machine))

    with with_coder(write_template(tmp_path, MIXED), provider) as terraform:
        terraform.planned()
        applied = terraform.run("apply", "-json", "-auto-approve", "tfplan")
        assert applied.code == 0, applied.output
        state = {
            resource["address"]: resource["values"]
            for resource in terraform.show()["values"]["root_module"]["resources"]
        }
        again = terraform.plan("-detailed-exitcode")
        destroyed = terraform.run("destroy", "-json", "-auto-approve")
        left = terraform.show()

    agent = state["coder_agent.main"]
    assert uuid.UUID(agent["token"])
    assert state["coder_agent.second[0]"]["token"] != agent["token"]
    assert state["coder_agent.second[0]"]["init_script"] == (
        "curl https://coder.example.com:8443/bin/agent # aws-instance-identity"
    )
    assert state["coder_app.code"]["agent_id"] == agent["id"]
    assert state["terraform_data.vm[0]"]["output"]["token"] == agent["token"]
    assert [item["is_null"] for item in state["coder_metadata.home"]["item"]] == [False, False]
    assert again.code == 0, again.output
    assert destroyed.code == 0, destroyed.output
    assert "values" not in left


def test_a_change_replaces_the_agent_and_its_token(tmp_path):
    template = CODER + 'resource "coder_agent" "a" {\n  os   = "linux"\n  arch = "amd64"\n}\n'

    with with_coder(write_template(tmp_path, template), CoderProvider(CONTEXT)) as terraform:
        assert terraform.run("apply", "-json", "-auto-approve").code == 0
        (tmp_path / "main.tf").write_text(template.replace("linux", "darwin"))
        (change,) = terraform.planned()["resource_changes"]

    assert change["change"]["actions"] == ["delete", "create"]
    assert change["change"]["replace_paths"] == [["os"]]
    assert change["change"]["after_unknown"]["token"] is True


def test_state_of_another_provider_version_is_read(tmp_path):
    template = CODER + 'resource "coder_agent" "a" {\n  os   = "linux"\n  arch = "amd64"\n}\n'

    with with_coder(write_template(tmp_path, template), CoderProvider(CONTEXT)) as terraform:
        assert terraform.run("apply", "-json", "-auto-approve").code == 0
        state = tmp_path / "terraform.tfstate"
        text = state.read_text()
        assert '"order": null,' in text
        state.write_text(text.replace('"order": null,', '"future_attribute": 1,'))
        again = terraform.plan("-detailed-exitcode")

    assert again.code == 0, again.output


def test_git_auth_tokens_are_returned_by_provider_id(tmp_path):
    template = f"""{CODER}
data "coder_git_auth" "github" {{
  id = "github"
}}
data "coder_external_auth" "other" {{
  id       = "other"
  optional = true
}}
"""
    provider = CoderProvider(CONTEXT, git_auth_tokens={"github": "gho_x"})

    with with_coder(write_template(tmp_path, template), provider) as terraform:
        found = data_sources(terraform.planned())

    assert found["data.coder_git_auth.github"]["access_token"] == "gho_x"
    assert found["data.coder_external_auth.other"]["access_token"] == ""


def test_a_template_without_required_providers_is_served(tmp_path):
    template = 'resource "coder_agent" "a" {\n  os   = "linux"\n  arch = "amd64"\n}\n'

    with with_coder(write_template(tmp_path, template), CoderProvider(CONTEXT)) as terraform:
        shown = terraform.planned()

    assert list(planned_resources(shown)) == ["coder_agent.a"]
    assert shown["resource_changes"][0]["provider_name"] in CODER_ADDRESSES


def test_additions_of_later_provider_versions_are_accepted(tmp_path):
    template = Path(__file__).parents[2] / "data" / "templates" / "later"

    with with_coder(write_template(tmp_path, template), CoderProvider(CONTEXT)) as terraform:
        shown = terraform.planned()
        applied = terraform.run("apply", "-json", "-auto-approve", "tfplan")
        again = terraform.plan("-detailed-exitcode")

    owner = data_sources(shown)["data.coder_workspace_owner.me"]
    assert (owner["name"], owner["email"], owner["groups"]) == ("alice", "alice@example.com", [])
    resources = planned_resources(shown)
    assert resources["coder_agent.main"]["metadata"][0]["key"] == "cpu"
    assert resources["coder_agent.main"]["display_apps"][0]["vscode"] is False
    assert data_sources(shown)["data.coder_parameter.tags"]["value"] == '["a"]'
    assert data_sources(shown)["data.coder_task.me"]["enabled"] is False
    assert (resources["coder_ai_task.task"]["enabled"], resources["coder_ai_task.task"]["prompt"]) == (
        False,
        "",
    )
    assert {address.split(".")[0] for address in resources} - {"terraform_data"} <= CODER_RESOURCE_TYPES
    assert applied.code == 0, applied.output
    assert again.code == 0, again.output
