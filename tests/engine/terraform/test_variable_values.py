"""The values of variables that reach real Terraform: given ones, those of variable files, defaults."""

import json
from pathlib import Path
from threading import Event

import pytest

from provisioning.engine.base import ParameterValue, PlanInput
from provisioning.engine.terraform import EngineSettings, TerraformEngine

from .engines import REQUIRED
from .recording import Recorder, template

pytestmark = pytest.mark.terraform

SHOWN = """
resource "terraform_data" "box" {}
resource "coder_metadata" "m" {
  resource_id = terraform_data.box.id
  item {
    key   = "value"
    value = jsonencode(nonsensitive(var.v))
  }
}
"""


def arriving(tmp_path: Path, variable: str, *given: str, log: Recorder | None = None, **files: str) -> object:
    """Return the value of the variable ``v`` in a plan, after reading the template as an import does."""
    folder = template(tmp_path, REQUIRED + f'variable "v" {{\n{variable}\n}}\n' + SHOWN)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content)
    engine = TerraformEngine(EngineSettings(network=False))
    recorder = log or Recorder()
    (schema,) = engine.parse(folder, log=recorder)
    values = given or ((schema.default_source_value,) if schema.default_source_value is not None else ())
    sensitive = schema.sensitive
    plan_input = PlanInput(parameter_values=tuple(ParameterValue("v", value, sensitive=sensitive) for value in values))
    result = engine.plan_import(folder, plan_input, log=recorder, stop=Event()).start
    (item,) = result.resources[0].metadata
    return json.loads(item.value or "")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("default = null", None),
        ("type = object({ a = string })\ndefault = null", None),
        ("type = string\ndefault = null", None),
        ('default = { a = "b", c = [1, true] }', {"a": "b", "c": [1, True]}),
        ('default = ["a", "b"]', ["a", "b"]),
        ("default = 5", 5),
        ('default = "[1]"', "[1]"),
    ],
)
def test_defaults_arrive_with_their_type(tmp_path: Path, variable: str, value: object) -> None:
    assert arriving(tmp_path, variable) == value


@pytest.mark.parametrize(
    ("variable", "given", "value"),
    [
        ("default = { a = 1 }", '{"a": 2}', {"a": 2}),
        ("default = [1]", "[2,]", [2]),
        ("default = { a = 1 }", "text", "text"),
        ('default = "[1]"', "[2]", "[2]"),
        ("type = list(number)\ndefault = [1]", "[3, 4,]", [3, 4]),
        ("type = map(string)", '{ a = "b" }', {"a": "b"}),
        ("type = string\ndefault = null", "null", "null"),
    ],
)
def test_given_values_arrive_with_their_type(tmp_path: Path, variable: str, given: str, value: object) -> None:
    assert arriving(tmp_path, variable, given) == value


FILES = {
    "terraform__tfvars": 'v = ["file"]\n',
    "a__auto__tfvars__json": '{"v": ["json"]}',
    "b__auto__tfvars": 'v = ["b"]',
}


@pytest.mark.parametrize("variable", ["", "default = []", "type = list(string)"])
def test_values_of_files_win_over_defaults(tmp_path: Path, variable: str) -> None:
    log = Recorder()
    assert arriving(tmp_path, variable, log=log, **FILES) == ["b"]
    assert "b.auto.tfvars sets v" in log.outputs()


@pytest.mark.parametrize("given", ['["given"]', '["given",]'])
def test_given_values_win_over_files(tmp_path: Path, given: str) -> None:
    assert arriving(tmp_path, "type = list(string)", given, **FILES) == ["given"]


def test_secrets_of_files_are_masked(tmp_path: Path) -> None:
    log = Recorder()
    variable = 'sensitive = true\nvalidation {\n  condition = var.v == ""\n  error_message = "is hunter2-secret"\n}'
    with pytest.raises(Exception, match="plan for") as failure:
        arriving(tmp_path, variable, log=log, terraform__tfvars='v = "hunter2-secret"\n')
    assert "hunter2" not in str(failure.value)
    assert not [line for line in log.outputs() if "hunter2" in line]
