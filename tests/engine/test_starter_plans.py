"""The starters, and a template with every kind of reference to an agent, planned by the real Terraform."""

from collections.abc import Callable
from pathlib import Path

import pytest

from provisioning.engine.base import PlanResult, Transition, WorkspaceContext
from provisioning.engine.hcl import read_module
from provisioning.engine.plan import plan_result
from provisioning.engine.provider.base import Provider
from provisioning.engine.provider.coder import CoderProvider
from provisioning.engine.provider.server import CODER_ADDRESSES
from provisioning.engine.stub.provider import StubProvider
from templates_app.starters import FOLDER

from .provider.terraform import attached, write_template

pytestmark = pytest.mark.terraform

Plan = Callable[[str | Path, Transition], PlanResult]


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Plan a template with stubs for all providers except the coder provider."""

    def run(source: str | Path, transition: Transition) -> PlanResult:
        directory = write_template(tmp_path / transition, source)
        module = read_module(directory)
        coder = CoderProvider(WorkspaceContext(transition=transition, owner="ada", workspace_name="dev"))
        providers: dict[str, Provider] = dict.fromkeys(CODER_ADDRESSES, coder)
        providers |= {address: StubProvider(usage) for address, usage in module.provider_usage.items()}
        with attached(directory, providers) as terraform:
            assert terraform.run("get").code == 0
            shown = terraform.planned()
            return plan_result(shown, terraform.run("graph", "-type=plan").output, module)

    return run


def summary(result: PlanResult) -> dict[str, dict[str, list[str]]]:
    """Slugs by agent by ``type.name``."""
    return {
        f"{resource.type}.{resource.name}": {agent.name: [app.slug for app in agent.apps] for agent in resource.agents}
        for resource in result.resources
    }


def test_the_start_plan_of_hello(plan: Plan) -> None:
    result = plan(FOLDER / "hello", Transition.START)
    assert summary(result) == {
        "terraform_data.cache": {},
        "terraform_data.machine": {"main": ["editor", "terminal"]},
        "terraform_data.sidecar": {"tools": ["monitor"]},
        "terraform_data.volume": {},
    }
    caches, (machine, _, volume) = result.resources[:2], result.resources[2:]
    assert [cache.instance_key for cache in caches] == ["images", "packages"]
    assert (machine.icon, machine.daily_cost) == ("/icon/memory.svg", 1)
    assert [(item.key, item.value, item.sensitive) for item in machine.metadata] == [
        ("type", "small", False),
        ("token", None, True),
    ]
    assert [item.value for item in volume.metadata] == ["10 GB", "eu"]
    main = machine.agents[0]
    assert main.environment == {"PROJECT": "hello", "REGION": "eu"}
    assert 'echo "Welcome to ada-dev."' in main.startup_script
    assert main.apps[0].healthcheck.url == "http://localhost:13337/healthz"


def test_the_stop_plan_of_hello_has_no_resource_with_an_agent(plan: Plan) -> None:
    result = plan(FOLDER / "hello", Transition.STOP)
    assert summary(result) == {"terraform_data.cache": {}, "terraform_data.volume": {}}


def test_the_plan_of_hello_has_the_parameters_of_the_static_read(plan: Plan) -> None:
    result = plan(FOLDER / "hello", Transition.START)
    assert result.rich_parameters == read_module(FOLDER / "hello").literal_parameters


@pytest.mark.parametrize(
    ("slug", "started", "stopped"),
    [
        (
            "docker",
            {
                "docker_volume.home": {},
                "docker_container.workspace": {"main": ["editor"]},
                "docker_image.workspace": {},
            },
            {"docker_volume.home": {}, "docker_image.workspace": {}},
        ),
        (
            "kubernetes",
            {
                "kubernetes_persistent_volume_claim.home": {},
                "kubernetes_deployment.workspace": {"main": ["editor"]},
            },
            {"kubernetes_persistent_volume_claim.home": {}},
        ),
    ],
)
def test_the_other_starters_are_planned_without_their_provider(
    plan: Plan, slug: str, started: dict, stopped: dict
) -> None:
    result = plan(FOLDER / slug, Transition.START)
    assert summary(result) == started
    assert result.rich_parameters == read_module(FOLDER / slug).literal_parameters
    assert summary(plan(FOLDER / slug, Transition.STOP)) == stopped


REFERENCES = """
variable "secret" {
  default   = "hush-hush"
  sensitive = true
}
resource "coder_agent" "a" {
  os             = "linux"
  arch           = "amd64"
  startup_script = "login ${var.secret}"
  env            = { OPEN = "1", SECRET = var.secret }
}
resource "coder_agent" "b" {
  count = 1
  os    = "linux"
  arch  = "amd64"
}
resource "coder_agent" "absent" {
  count = 0
  os    = "linux"
  arch  = "amd64"
}
locals {
  tokens = { a = coder_agent.a.token, b = one(coder_agent.b[*].token) }
  b      = one(coder_agent.b[*].id)
}
module "apps" {
  source   = "./apps"
  agent_id = local.b
}
resource "coder_app" "direct" {
  agent_id = coder_agent.a.id
  slug     = "direct"
  url      = "http://${local.b == "" ? "x" : "y"}"
}
resource "coder_app" "local" {
  agent_id = local.b
  slug     = "local"
}
resource "coder_app" "each" {
  for_each = { x = local.b }
  agent_id = each.value
  slug     = "each-${each.key}"
}
resource "coder_app" "output" {
  agent_id = module.apps.agent_id
  slug     = "output"
}
resource "coder_app" "either" {
  agent_id = length(coder_agent.absent) > 0 ? coder_agent.absent[0].id : coder_agent.a.id
  slug     = "either"
}
resource "terraform_data" "vm" {
  input = local.tokens
}
"""

APPS_MODULE = """
terraform {
  required_providers {
    coder = { source = "coder/coder" }
  }
}
variable "agent_id" {}
resource "coder_app" "inner" {
  agent_id = var.agent_id
  slug     = "inner"
}
resource "coder_agent" "c" {
  os   = "linux"
  arch = "amd64"
}
resource "terraform_data" "vm2" {
  input = coder_agent.c.token
}
output "agent_id" {
  value = coder_agent.c.id
}
"""


def test_apps_find_their_agents_and_secrets_stay_hidden(plan: Plan, tmp_path: Path) -> None:
    source = write_template(
        tmp_path / "source",
        'terraform {\n  required_providers {\n    coder = { source = "coder/coder" }\n  }\n}\n' + REFERENCES,
    )
    (source / "apps").mkdir()
    (source / "apps/main.tf").write_text(APPS_MODULE)
    result = plan(source, Transition.START)
    assert summary(result) == {
        "terraform_data.vm": {"a": ["direct", "either"], "b": ["each-x", "inner", "local"]},
        "terraform_data.vm2": {"c": ["output"]},
    }
    assert "hush-hush" not in repr(result)
    assert result.resources[0].agents[0].environment["OPEN"] == "1"
