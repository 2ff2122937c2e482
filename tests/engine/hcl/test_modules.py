"""Module calls, parameters, and features that the engine rejects or warns about."""

import pytest

from provisioning.engine.base import RichParameter, RichParameterOption
from provisioning.engine.hcl import Location

from .conftest import Read


def test_module_calls_are_read_from_nested_modules(read: Read) -> None:
    module = read(
        {
            "main.tf": """module "net" {
  source  = "terraform-aws-modules/vpc/aws"
  version = "~> 5.0"
  count   = 1
  name    = "x"
}
module "disk" {
  source = "./disk"
  size   = module.net[0].subnets[0].id
}
output "o" {
  value = [module.disk.id, module.net["a"].arn]
}
""",
            "disk/main.tf": 'module "deep" {\n  source = "../shared"\n}\nmodule "gone" {\n  source = "./missing"\n}\n',
            "shared/main.tf": "",
        }
    )
    by_key = {call.key: call for call in module.module_calls}
    assert list(by_key) == ["net", "disk", "disk.deep", "disk.gone"]
    assert by_key["net"].source == "terraform-aws-modules/vpc/aws"
    assert by_key["net"].version == "~> 5.0"
    assert by_key["net"].arguments == ("name",)
    assert by_key["net"].outputs == {"subnets": {"[]": {"id": {}}}, "arn": {}}
    assert (by_key["net"].file, by_key["net"].line) == ("main.tf", 1)
    assert by_key["disk"].outputs == {"id": {}}
    assert [call.is_local for call in module.module_calls] == [False, True, True, True]
    assert by_key["disk.gone"].location == Location("disk/main.tf", 4)


def test_a_local_module_outside_the_template_is_not_read(read: Read, tmp_path) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    (outside / "main.tf").write_text('resource "aws_instance" "vm" {}\n')
    (tmp_path / "link").symlink_to(outside)
    module = read(
        f'module "a" {{\n  source = "../{outside.name}"\n}}\nmodule "b" {{\n  source = "./link"\n}}\n',
    )
    assert module.provider_usage == {}


def test_literal_parameters_are_read_in_source_order(read: Read) -> None:
    module = read(
        {
            "main.tf": """
            module "more" {
              source = "./more"
            }
            data "coder_parameter" "zone" {
              name    = "Zone"
              default = 5
              type    = "number"
              mutable = true
              validation {
                min = 1
                max = 9
              }
            }
            data "coder_parameter" "image" {
              name        = "Image"
              description = <<-EOT
                Two
                lines
              EOT
              option {
                name  = "Debian"
                value = "debian"
                icon  = "/icon/debian.svg"
              }
              option {
                name  = "Ubuntu"
                value = "ubuntu"
              }
            }
            data "coder_parameter" "computed" {
              name = "x-${var.y}"
            }
            data "coder_parameter" "several" {
              for_each = toset(["a"])
              name     = "fixed"
            }
            variable "y" {}
            """,
            "more/main.tf": 'data "coder_parameter" "inner" {\n  name = "Inner"\n}\n',
        }
    )
    assert module.literal_parameters == (
        RichParameter(name="Zone", type="number", mutable=True, default_value="5", validation_min=1, validation_max=9),
        RichParameter(
            name="Image",
            description="Two\nlines\n",
            options=(
                RichParameterOption("Debian", "debian", icon="/icon/debian.svg"),
                RichParameterOption("Ubuntu", "ubuntu"),
            ),
        ),
    )
    assert module.parameter_order == (
        "data.coder_parameter.zone",
        "data.coder_parameter.image",
        "data.coder_parameter.computed",
        "data.coder_parameter.several",
        "module.more.data.coder_parameter.inner",
    )


def test_literal_parameters_are_read_from_json(read: Read) -> None:
    text = """{"data": {"coder_parameter": {"p": {
      "name": "P", "default": true, "type": "bool",
      "option": [{"name": "Yes", "value": "true"}, {"name": "No", "value": "false"}]
    }}}}"""
    (parameter,) = read({"main.tf.json": text}).literal_parameters
    assert (parameter.name, parameter.default_value, len(parameter.options)) == ("P", "true", 2)


def test_backend_remote_state_and_provisioners_are_located(read: Read) -> None:
    module = read(
        {
            "main.tf": 'terraform {\n  backend "s3" {\n  }\n}\nmodule "m" {\n  source = "./m"\n}\n',
            "m/main.tf": 'data "terraform_remote_state" "s" {}\n'
            'resource "terraform_data" "x" {\n  provisioner "local-exec" {\n    command = "id"\n  }\n}\n',
        }
    )
    assert module.backend == Location("main.tf", 2)
    assert module.has_remote_state == Location("m/main.tf", 1)
    assert module.uses_provisioners == (Location("m/main.tf", 3),)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("main.tf", 'check "c" {\n  data "terraform_remote_state" "s" {}\n}\n'),
        ("main.tf", 'data "terraform\\u005fremote_state" "s" {}\n'),
        ("#main.tf", 'data "terraform_remote_state" "s" {}\n'),
        ("a_override.tf", 'data "terraform_remote_state" "s" {}\n'),
        ("main.tf.json", '{"data": {"terraform_remote_state": {"s": {}}}, "data": {}}'),
        ("main.tf.json", '{"data": [{"terraform_remote_state": [{"s": [{}]}]}]}'),
        ("main.tf.json", '[{"data": {"terraform_remote_state": {"s": {}}}}]'),
        ("main.tf.json", '{"check": {"c": {"data": {"terraform_remote_state": {"s": {}}}}}}'),
        ("main.tf.json", '{"d\\u0061ta": {"terraform_remote_state": {"s": {}}}}'),
    ],
)
def test_remote_state_is_found_in_every_notation(read: Read, name: str, text: str) -> None:
    found = read({"other.tf": "", name: text}).has_remote_state
    assert found is not None
    assert found.file == name


def test_a_cloud_block_counts_as_a_backend(read: Read) -> None:
    assert read("terraform {\n  cloud {\n  }\n}\n").backend == Location("main.tf", 2)
    assert read(
        {"main.tf": "", "b.tf.json": '{"terraform": {"backend": {"s3": {}}}, "terraform": {}}'}
    ).backend == Location("b.tf.json", 1)


def test_a_plain_template_has_no_backend_remote_state_or_provisioners(read: Read) -> None:
    module = read('variable "x" {}\n')
    assert (module.backend, module.has_remote_state, module.uses_provisioners) == (None, None, ())
