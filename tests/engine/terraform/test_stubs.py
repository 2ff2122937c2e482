"""Imports with stubs for providers and modules, planned by the real Terraform."""

from pathlib import Path
from threading import Event

import pytest

from provisioning.engine.base import EngineError, ImportResult, PlanInput
from provisioning.engine.terraform import EngineSettings, TerraformEngine

from .engines import AGENT, BOX, REQUIRED, planned, required
from .recording import Recorder, template

pytestmark = pytest.mark.terraform


def agents(result: ImportResult) -> dict[str, list[str]]:
    return {resource.name: [agent.name for agent in resource.agents] for resource in result.start.resources}


CLONE = 'module "clone" {\n  source   = "acme/git-clone/coder"\n  agent_id = coder_agent.main.id\n}\n'
AGENT_IN_CLONE = AGENT.replace("}", "  dir = module.clone.repo_dir\n}")


@pytest.mark.parametrize(
    "content",
    [
        (AGENT_IN_CLONE, BOX, CLONE),
        # Through a local value, and with an argument that is the agent's token.
        (
            AGENT.replace("}", "  dir = local.dir\n}"),
            BOX,
            'locals {\n  dir = "${module.clone.repo_dir}/src"\n}\n',
            CLONE.replace(".id", ".token"),
        ),
        # Two modules that read each other's outputs.
        (
            AGENT,
            BOX,
            CLONE.replace("}", "  folder = module.home.path\n}"),
            'module "home" {\n  source = "acme/home/coder"\n  clone  = module.clone.repo_dir\n}\n',
        ),
    ],
)
def test_outputs_of_a_stubbed_module_do_not_depend_on_its_arguments(tmp_path: Path, content: tuple[str, ...]) -> None:
    result = planned(tmp_path, REQUIRED, *content)

    assert "acme/git-clone/coder" in result.unverified_modules
    assert agents(result) == {"box": ["main"]}


CHOICE = """
resource "coder_agent" "second" {
  os   = "linux"
  arch = "amd64"
}
resource "terraform_data" "other" {
  input = coder_agent.second.token
}
data "coder_parameter" "which" {
  name    = "which"
  default = "second"
}
"""


@pytest.mark.parametrize(
    "expression",
    [
        'data.coder_parameter.which.value == "main" ? coder_agent.main.id : coder_agent.second.id',
        "{ main = coder_agent.main.id, second = coder_agent.second.id }[data.coder_parameter.which.value]",
        '[coder_agent.main, coder_agent.second][data.coder_parameter.which.value == "main" ? 0 : 1].id',
    ],
)
@pytest.mark.parametrize("which", ["main", "second"])
def test_an_app_belongs_to_the_agent_that_an_expression_chooses(tmp_path: Path, expression: str, which: str) -> None:
    app = f'resource "coder_app" "code" {{\n  agent_id = {expression}\n  slug = "code"\n}}\n'
    result = planned(tmp_path, REQUIRED, AGENT, BOX, CHOICE, app, which=which)

    apps = {agent.name: [app.slug for app in agent.apps] for r in result.start.resources for agent in r.agents}
    assert apps == {"main": [], "second": [], which: ["code"]}


VM = 'resource "aws_instance" "vm" {\n  user_data = coder_agent.main.token\n}\n'
PROVIDERS = required(aws="hashicorp/aws", cloudinit="hashicorp/cloudinit")


@pytest.mark.parametrize(
    "content",
    [
        # Deferred by an unknown value in a block that occurs once.
        """
        data "cloudinit_config" "boot" {
          part {
            content_type = "text/x-shellscript"
            content      = coder_agent.main.init_script
            merge        = { how = ["list", 1], options = { a = true } }
          }
        }
        """,
        # Deferred by depends_on, with several blocks, whose attributes get their types from all kinds of expressions.
        """
        locals {
          names = ["a", "b"]
        }
        variable "ids" {
          type    = set(string)
          default = ["x"]
        }
        data "aws_ami" "newest" {
          depends_on = [aws_instance.vm]
          filter {
            name   = "name"
            values = ["1"]
          }
          filter {
            name   = aws_instance.vm.id
            values = local.names
          }
          filter {
            name   = 1
            values = var.ids
          }
          filter {
            name   = "${var.ids == null}"
            values = aws_instance.vm.volumes
          }
        }
        """,
        # Blocks within repeated and dynamic blocks.
        """
        data "aws_iam_policy_document" "policy" {
          statement {
            actions = ["s3:*"]
            principals {
              type        = "AWS"
              identifiers = concat(["x"], [aws_instance.vm.arn])
            }
          }
          dynamic "statement" {
            for_each = { Allow = ["x"] }
            content {
              actions = statement.value
              effect  = statement.key
              tags    = { for name in ["a"] : name => aws_instance.vm.id }
            }
          }
        }
        """,
        # Blocks that are read.
        """
        data "aws_service" "web" {
          depends_on = [coder_agent.main]
          metadata {
            name   = "web"
            labels = { app = aws_instance.vm.id }
          }
        }
        output "name" {
          value = data.aws_service.web.metadata[0].name
        }
        """,
    ],
)
def test_data_sources_with_blocks_can_be_deferred(tmp_path: Path, content: str) -> None:
    result = planned(tmp_path, PROVIDERS, AGENT, VM, content)

    assert agents(result) == {"vm": ["main"]}


def test_blocks_that_occur_once_accept_any_values(tmp_path: Path) -> None:
    content = """
    data "aws_one" "a" {
      spec {
        value = [{ x = 1, y = ["a"] }, 2]
        inner {
          value = { a = 1, b = [true] }
        }
      }
    }
    data "aws_one" "b" {
      spec {
        value = "text"
      }
    }
    resource "aws_instance" "other" {
      input = data.aws_one.a.id
    }
    """
    assert agents(planned(tmp_path, PROVIDERS, AGENT, VM, content)) == {"other": [], "vm": ["main"]}


def test_stubs_answer_for_ephemeral_resources(tmp_path: Path) -> None:
    content = """
    ephemeral "random_password" "p" {
      length = 8
      rule {
        value = coder_agent.main.token
      }
      rule {
        value = "x"
      }
    }
    ephemeral "random_pet" "known" {
    }
    locals {
      text = "x-${ephemeral.random_password.p.result}-${ephemeral.random_pet.known.id}"
    }
    """
    result = planned(tmp_path, required(random="hashicorp/random"), AGENT, BOX, content)

    assert result.unverified_providers == ("registry.terraform.io/hashicorp/random",)
    assert agents(result) == {"box": ["main"]}


@pytest.mark.parametrize(
    "expression",
    [
        'provider::time::rfc3339_parse("2024-05-01T00:00:00Z").year + 1',
        '[for item in provider::time::list("a", coder_agent.main.id) : item.name]',
        "upper(provider::time::text(null))",
        "{ for key, value in provider::time::map() : key => value.id }",
        "local.parsed.zone",
    ],
)
def test_stubs_answer_for_functions(tmp_path: Path, expression: str) -> None:
    parsed = 'locals {\n  parsed = provider::time::parse("x")\n}\n'
    output = f'output "o" {{\n  value = {expression}\n}}\n'
    result = planned(tmp_path, required(time="hashicorp/time"), AGENT, BOX, parsed, output)

    assert result.unverified_providers == ("registry.terraform.io/hashicorp/time",)


@pytest.mark.parametrize(
    "expression",
    [
        "data.aws_x.y.names[*].id",
        'split("/", data.aws_x.y.path)[2]',
        'element(split("/", data.aws_x.y.path), 3)',
        'tonumber(split("-", data.aws_x.y.range)[1]) + 1',
        "keys(data.aws_x.y.tags)[0]",
        "values(data.aws_x.y.disks)[0].size",
        'lookup(data.aws_x.y.labels, "app")',
        "[for index in range(length(data.aws_x.y.ids)) : data.aws_x.y.ids[index]]",
    ],
)
def test_placeholders_have_the_shape_that_is_read(tmp_path: Path, expression: str) -> None:
    content = f'data "aws_x" "y" {{}}\noutput "o" {{\n  value = {expression}\n}}\n'
    assert agents(planned(tmp_path, PROVIDERS, AGENT, VM, content)) == {"vm": ["main"]}


@pytest.mark.parametrize(
    "collection", ["data.aws_x.y.all", "toset(data.aws_x.y.all)", "local.all", "{ for x in data.aws_x.y.all : x => x }"]
)
def test_resources_can_be_repeated_for_each_element_of_a_placeholder(tmp_path: Path, collection: str) -> None:
    content = f"""
    data "aws_x" "y" {{}}
    locals {{
      all = toset(data.aws_x.y.names)
    }}
    resource "aws_disk" "each" {{
      for_each = {collection}
      name     = each.value
    }}
    """
    assert list(agents(planned(tmp_path, PROVIDERS, AGENT, VM, content))) == ["each", "vm"]


def test_an_error_says_that_a_stub_can_be_the_reason(tmp_path: Path) -> None:
    content = 'data "aws_x" "y" {}\noutput "o" {\n  value = regex("^[0-9]$", data.aws_x.y.number)\n}\n'
    with pytest.raises(EngineError) as caught:
        planned(tmp_path, PROVIDERS, AGENT, VM, content)

    assert 'Call to function "regex" failed' in str(caught.value)
    assert str(caught.value).endswith(
        " (The values of registry.terraform.io/hashicorp/aws are made up by stubs, which can be the reason.)"
    )


def test_unused_providers_do_not_make_a_version_unverified(tmp_path: Path) -> None:
    log = Recorder()
    content = """
    provider "aws" {
      region = "eu"
      default_tags {
        tags = { team = "a" }
      }
    }
    provider "aws" {
      alias = "other"
    }
    """
    result = planned(tmp_path, required(aws="hashicorp/aws", docker="kreuzwerker/docker"), AGENT, BOX, content, log=log)

    assert result.unverified_providers == ()
    assert agents(result) == {"box": ["main"]}
    assert "hashicorp/aws" not in log.text


def test_providers_that_are_used_only_by_a_module_are_unverified(tmp_path: Path) -> None:
    files = {
        "main.tf": required(docker="kreuzwerker/docker") + AGENT + 'module "m" {\n  source = "./m"\n}\n',
        "m/main.tf": required(docker="kreuzwerker/docker") + 'resource "docker_volume" "v" {\n  name = "v"\n}\n',
    }
    engine = TerraformEngine(EngineSettings(network=False))
    result = engine.plan_import(template(tmp_path, files), PlanInput(), log=Recorder(), stop=Event())

    assert result.unverified_providers == ("registry.terraform.io/kreuzwerker/docker",)
