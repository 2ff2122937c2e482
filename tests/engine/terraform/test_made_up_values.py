"""Parameters, agents and apps with values that stubs made up: such values are neither checked nor shown."""

from pathlib import Path
from threading import Event

import pytest

from provisioning.engine.base import EngineError, PlanInput
from provisioning.engine.terraform import EngineSettings, TerraformEngine

from .engines import AGENT, BOX, REQUIRED, planned, required
from .recording import Recorder, template

pytestmark = pytest.mark.terraform

LOCATIONS = required(hcloud="hetznercloud/hcloud") + 'data "hcloud_locations" "all" {}\n'
HCLOUD = "registry.terraform.io/hetznercloud/hcloud"
CHOICES = """
dynamic "option" {
  for_each = %s
  content {
    name  = option.value.description
    value = option.value.name
  }
}
"""


def parameter(body: str, name: str = "location", label: str = "location") -> str:
    return f'data "coder_parameter" "{label}" {{\n  name = "{name}"\n{body}\n}}\n'


@pytest.mark.parametrize(
    ("content", "source"),
    [
        (
            parameter('description = "Where"\ndefault = "fsn1"' + CHOICES % "data.hcloud_locations.all.locations"),
            HCLOUD,
        ),
        # Numbers, through a local value with a condition and a function.
        (
            "locals {\n  all = [for x in data.hcloud_locations.all.list : { name = x.n * 2, description = x.n }]\n}\n"
            + parameter('description = "Where"\ntype = "number"\ndefault = "7"' + CHOICES % "local.all"),
            HCLOUD,
        ),
        # From a module that cannot be fetched.
        (
            'module "regions" {\n  source = "acme/regions/any"\n}\n'
            + parameter('description = "Where"\ndefault = "eu"' + CHOICES % "module.regions.all"),
            "acme/regions/any",
        ),
        # Some options are real, but their list is not.
        (
            parameter(
                'description = "Where"\ndefault = "b"\noption {\n  name = "A"\n  value = "a"\n}\n'
                "option {\n  name = data.hcloud_locations.all.name\n  value = data.hcloud_locations.all.id\n}\n"
            ),
            HCLOUD,
        ),
        # A name that is not constant.
        (
            parameter(
                'description = "Where"\nfor_each = toset(["location"])\ndefault = "x"'
                + CHOICES % "data.hcloud_locations.all.locations",
                name="${each.key}",
            ),
            HCLOUD,
        ),
    ],
)
def test_options_that_a_stub_made_up_are_neither_checked_nor_shown(tmp_path: Path, content: str, source: str) -> None:
    prefix = REQUIRED if source != HCLOUD else LOCATIONS
    result = planned(tmp_path, prefix, AGENT, BOX, content)

    (found,) = result.start.rich_parameters
    assert found.options == ()
    assert found.default_value in ("fsn1", "7", "eu", "b", "x")
    assert found.description == f"Where\n\n(Options: known when {source} is available.)"


def test_values_that_are_not_made_up_are_still_checked_and_shown(tmp_path: Path) -> None:
    option = 'option {\n  name = "A"\n  value = "a"\n}\n'
    real = parameter(f'default = "a"\n{option}', name="real", label="real")
    result = planned(tmp_path, LOCATIONS, AGENT, BOX, real, parameter(CHOICES % "data.hcloud_locations.all.list"))

    shown = {found.name: found for found in result.start.rich_parameters}
    assert [option.value for option in shown["real"].options] == ["a"]
    assert shown["real"].description == ""
    assert shown["location"].default_value is None

    with pytest.raises(EngineError, match='the default "b" is not one of the options'):
        planned(tmp_path / "b", LOCATIONS, AGENT, BOX, real.replace('default = "a"', 'default = "b"'))


def test_made_up_defaults_and_validations_are_not_shown(tmp_path: Path) -> None:
    body = """
    type    = "number"
    default = data.hcloud_locations.all.number
    validation {
      min = data.hcloud_locations.all.least
      max = 3
    }
    """
    (found,) = planned(tmp_path, LOCATIONS, AGENT, BOX, parameter(body)).start.rich_parameters

    assert (found.default_value, found.validation_min, found.validation_max) == ("", None, None)
    assert found.description == f"(Default, validation: known when {HCLOUD} is available.)"


def test_a_made_up_type_is_shown_as_text(tmp_path: Path) -> None:
    body = "type = data.hcloud_locations.all.kind\nform_type = data.hcloud_locations.all.form\ndefault = 1"
    (found,) = planned(tmp_path, LOCATIONS, AGENT, BOX, parameter(body)).start.rich_parameters

    assert (found.type, found.default_value, found.description) == ("string", "1", "")


def test_the_note_names_only_the_sources_of_the_parameter(tmp_path: Path) -> None:
    content = 'data "http_list" "urls" {}\nmodule "far" {\n  source = "acme/far/any"\n}\n' + parameter(
        "default = data.http_list.urls.first\n" + CHOICES % "data.hcloud_locations.all.list"
    )
    (found,) = planned(tmp_path, LOCATIONS, AGENT, BOX, content).start.rich_parameters

    http = "registry.terraform.io/hashicorp/http"
    assert found.description == f"(Default, options: known when {http} and {HCLOUD} are available.)"


def test_given_values_are_not_checked_against_made_up_options(tmp_path: Path) -> None:
    content = parameter(CHOICES % "data.hcloud_locations.all.locations")
    result = planned(tmp_path, LOCATIONS, AGENT, BOX, content, location="nbg1")

    assert [found.name for found in result.start.rich_parameters] == ["location"]


def test_made_up_arguments_of_agents_and_apps_are_not_checked(tmp_path: Path) -> None:
    content = """
    resource "coder_agent" "other" {
      os   = data.hcloud_locations.all.os
      arch = "${data.hcloud_locations.all.arch}64"
    }
    resource "terraform_data" "other" {
      input = coder_agent.other.token
    }
    resource "coder_app" "code_server" {
      agent_id = coder_agent.other.id
      slug     = data.hcloud_locations.all.slug
      share    = data.hcloud_locations.all.share
    }
    """
    result = planned(tmp_path, LOCATIONS, AGENT, BOX, content)

    (other,) = next(resource.agents for resource in result.start.resources if resource.name == "other")
    assert [app.slug for app in other.apps] == ["code-server"]


def test_placeholders_have_the_shape_that_other_modules_read(tmp_path: Path) -> None:
    call = 'module "m" {\n  source = "./m"\n  choices = data.hcloud_locations.all.list\n}\n'
    read = 'output "o" {\n  value = { for disk in module.m.disks : disk.id => disk.size + 1 }\n}\n'
    called = required(hcloud="hetznercloud/hcloud") + (
        'variable "choices" {}\ndata "hcloud_disks" "all" {}\n'
        'module "inner" {\n  source = "./inner"\n  choices = var.choices\n}\n'
        'output "disks" {\n  value = data.hcloud_disks.all.list\n}\n'
    )
    inner = REQUIRED + 'variable "choices" {}\n' + parameter('default = "x"' + CHOICES % "var.choices")
    files = {"main.tf": LOCATIONS + AGENT + BOX + call + read, "m/main.tf": called, "m/inner/main.tf": inner}
    engine = TerraformEngine(EngineSettings(network=False))

    result = engine.plan_import(template(tmp_path, files), PlanInput(), log=Recorder(), stop=Event())

    (found,) = result.start.rich_parameters
    assert (found.default_value, found.options) == ("x", ())
    assert found.description == f"(Options: known when {HCLOUD} is available.)"
