"""The providers and modules that the arguments of parameters come from."""

import pytest

from .conftest import Read

A, B = "registry.terraform.io/acme/a", "registry.terraform.io/hashicorp/b"
BASE = """
terraform {
  required_providers {
    a = { source = "acme/a" }
  }
}
data "a_list" "x" {}
data "b_list" "x" {
  name = local.plain
}
data "b_list" "through" {
  name = data.a_list.x.name
}
locals {
  plain  = "p"
  loop   = local.loop
  direct = data.a_list.x.names
  again  = [for name in local.direct : upper(name)]
}
module "far" {
  source = "acme/far/any"
}
module "near" {
  source = "./near"
  names  = local.again
}
"""
NEAR = """
variable "names" {}
variable "other" {
  default = "o"
}
output "first" {
  value = var.names[0]
}
output "constant" {
  value = var.other
}
"""


def origins(read: Read, body: str) -> dict[str, set[str]]:
    files = {"main.tf": BASE + f'data "coder_parameter" "p" {{\nname = "p"\n{body}\n}}\n', "near/main.tf": NEAR}
    (found,) = read(files).parameter_origins()
    assert found.name == "p"
    return {name: set(sources) for name, sources in found.arguments.items()}


@pytest.mark.parametrize(
    ("expression", "sources"),
    [
        ('"x"', set()),
        ("local.plain", set()),
        ("local.loop", set()),
        ("data.a_list.x.name", {A}),
        ("data.b_list.x.name", {B}),
        ("data.b_list.through.name", {A, B}),
        ("local.again[0]", {A}),
        ("module.far.name", {"far"}),
        ("module.far[0].name", {"far"}),
        ("module.near.first", {A}),
        ("module.near.constant", set()),
        ("provider::b::make(1)", {B}),
        ("a_thing.y.id", set()),
        ("data.coder_workspace.me.name", set()),
        ("data.coder_parameter.other.value", set()),
    ],
)
def test_references_are_followed(read: Read, expression: str, sources: set[str]) -> None:
    assert origins(read, f"default = {expression}").get("default", set()) == sources


def test_each_argument_and_block_has_its_origins(read: Read) -> None:
    body = """
    description = "d"
    default     = data.b_list.x.name
    option {
      name  = "a"
      value = "a"
    }
    dynamic "option" {
      for_each = local.again
      content {
        name  = option.value
        value = option.value
      }
    }
    validation {
      min = 1
    }
    """
    assert origins(read, body) == {"default": {B}, "option": {A}}


def test_arguments_of_an_instance_have_the_origins_of_its_repetition(read: Read) -> None:
    assert origins(read, "for_each = toset(local.again)\ndefault = each.value") == {"default": {A}, "for_each": {A}}


def test_parameters_in_modules_and_json_are_read(read: Read) -> None:
    parameter = '{"data": {"coder_parameter": {"q": {"name": "${var.names[0]}", "default": "${var.names[1]}"}}}}'
    found = read({"main.tf": BASE, "near/main.tf": NEAR, "near/parameter.tf.json": parameter}).parameter_origins()
    assert [(item.name, dict(item.arguments)) for item in found] == [
        (None, {"default": frozenset({A}), "name": frozenset({A})})
    ]
