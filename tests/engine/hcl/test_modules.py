"""Module calls, parameters, and features that the engine rejects or warns about."""

from pathlib import Path

import pytest

from provisioning.engine.base import EngineError, RichParameter, RichParameterOption
from provisioning.engine.hcl import Location, Provisioner, TemplateSyntaxError, native, read_module
from provisioning.engine.hcl.native import TRAVERSAL_STEPS, NativeDocument

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
    assert module.provisioners == (Provisioner(Location("m/main.tf", 3), "local-exec"),)


def test_provisioners_are_found_in_json(read: Read) -> None:
    text = """{"resource": {"terraform_data": {"x": {
      "provisioner": [{"local-exec": {"command": "id"}}, {"file": {"source": "a"}}]}}}}"""
    assert {found.type for found in read({"main.tf.json": text}).provisioners} == {"local-exec", "file"}


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
    assert (module.backend, module.has_remote_state, module.provisioners) == (None, None, ())


@pytest.mark.parametrize(
    ("files", "hint"),
    [
        (
            ["mytemplate/main.tf", "mytemplate/agents.tf"],
            "mytemplate/main.tf: upload the content of the folder mytemplate",
        ),
        (["a/b/vm.tf.json", "README.md"], "a/b/vm.tf.json: upload the content of the folder a/b"),
        (["b/main.tf", "a/other/main.tf"], "b/main.tf: upload the content of the folder b"),
    ],
)
def test_a_template_in_a_subfolder_is_named(tmp_path: Path, files: list[str], hint: str) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    with pytest.raises(EngineError) as caught:
        read_module(tmp_path)
    assert str(caught.value) == f"no .tf file in the template's root folder, but there is {hint}"


def test_a_folder_without_a_template_has_no_hint(tmp_path: Path) -> None:
    (tmp_path / ".terraform").mkdir()
    (tmp_path / ".terraform" / "main.tf").touch()
    (tmp_path / "a/b/c/d").mkdir(parents=True)
    (tmp_path / "a/b/c/d/main.tf").touch()
    (tmp_path / "link").symlink_to(tmp_path / "a/b/c/d")
    with pytest.raises(EngineError) as caught:
        read_module(tmp_path)
    assert str(caught.value) == "no .tf file in the template's root folder"


# ---------------------------------------------------------------------- hostile files
@pytest.mark.parametrize(
    "value",
    [
        f"b{'[0]' * 20_000}",
        f"b{'.x' * 30_000}",
        f"b{'.*' * 30_000}",
        f"{'{b=' * 8_000}b{'}' * 8_000}",
        f"{'b+' * 30_000}b",
        f"{'b?b:' * 15_000}b",
        f"{'f(' * 20_000}b{')' * 20_000}",
    ],
)
def test_long_chains_and_deep_nesting_are_read(read: Read, value: str) -> None:
    references = list(NativeDocument(f"locals {{\n a = {value}\n}}\n".encode(), "main.tf").references())
    assert {reference[0] for reference in references} == {"b"}
    assert max(map(len, references)) <= TRAVERSAL_STEPS
    assert read({"main.tf": f"locals {{\n a = {value}\n}}\n"}).variables == ()


def test_a_file_that_takes_too_long_to_parse_is_reported_with_its_first_error(
    read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native, "PARSE_SECONDS", 1.0)
    with pytest.raises(TemplateSyntaxError, match=r'Unexpected "=" \(main.tf:3\)'):
        read({"main.tf": "# errors\n" + "a = \n" * 20_000})
    with pytest.raises(TemplateSyntaxError, match="Reading the file takes too long"):
        read({"main.tf": f"locals {{\n a = [{chr(10) * 60_000}]\n}}\n"})


def test_many_overrides_are_merged(read: Read) -> None:
    blocks = "".join(f'variable "v{number}" {{\n default = "a"\n}}\n' for number in range(3_000))
    overrides = "".join(f'variable "v{number}" {{\n default = "{number}"\n}}\n' for number in range(3_000))
    module = read({"main.tf": blocks, "override.tf": overrides})
    assert [variable.default_source_value for variable in module.variables] == [str(number) for number in range(3_000)]


def test_repeated_json_keys_are_merged_in_order(read: Read) -> None:
    names = [f"v{number}" for number in range(5_000)]
    repeated = ",".join(f'"variable": {{"{name}": {{}}}}' for name in names)
    module = read({"main.tf.json": f"{{{repeated}}}"})
    assert [variable.name for variable in module.variables] == names
