"""Constant expressions, and that Terraform evaluates them to the same values."""

import json
from pathlib import Path

import pytest

from provisioning.engine.hcl import TemplateSyntaxError, read_module
from provisioning.engine.hcl.constants import MAX_STEPS
from provisioning.engine.hcl.variables import default_text
from tests.engine.provider.terraform import attached, write_template

from .conftest import Read

VALUES = {
    '"${"$"}"': "$",
    '"x${"$"}{y} $${z}"': "x${y} ${z}",
    '"${true}"': "true",
    '"${1}${true} ${1.50}"': "1true 1.5",
    '"%{ if 1 > 2 }a%{ else }b${"c"}%{ endif }"': "bc",
    '"%{for i, x in ["a", "b"]}${i}${x}%{if x == "a"},%{endif}%{endfor}"': "0a,1b",
    '"a ${~ "b" ~} c"': "abc",
    "<<-X\n    a ${1 + 1}\n      b\n\n    X": "a 2\n  b\n\n",
    "<<-X\n    a ${~ 1 + 1 ~}\n      b %{ if true ~}\n     yes\n    %{ else ~}\n     no\n    %{ endif ~}\n   X": (
        "a2      b      yes\n"
    ),
    "<<X\n%{ for x in [1, 2] ~}\n<${x}>\n%{ endfor ~}\nX": "<1>\n<2>\n",
    'true ? 1 : "a"': "1",
    'false ? "a" : null': None,
    '[true ? [1] : ["a", "b"], 1 < 2 && !("true") || false]': '[["1"],false]',
    '[for k, v in { b = 2, a = 1 } : "${k}-${v + "1"}"]': '["a-2","b-3"]',
    "[for x in [1, 2, 3] : [for y in [x, 10] : x * y] if x != 2]": "[[1,10],[9,30]]",
    '{ for i, v in ["a", "b", "a"] : v => i... }': '{"a":[0,2],"b":[1]}',
    '{ for v in ["a", "b"] : v => { (v) = v } }': '{"a":{"a":"a"},"b":{"b":"b"}}',
    '["a", { b = 1 }][1].b': "1",
    "{ a = [{ b = 1 }, { b = 2 }] }.a[*].b": "[1,2]",
    "{ a = [{ b = 1 }, { b = 2 }] }.a.*.b": "[1,2]",
    '{ a = 1 }["a"] == 1': "true",
    '[1 == "1", "a" != "b", null == null, [1] == [1], 7 % 4, 10 / 4, -(1)]': "[false,true,true,true,3,2.5,-1]",
}


@pytest.mark.parametrize("written", VALUES)
def test_constant_expressions_are_evaluated(read: Read, written: str) -> None:
    (schema,) = read(f'variable "x" {{\n  default = {written}\n}}\n').variables
    assert schema.default_source_value == VALUES[written]


def test_descriptions_are_constant_expressions(read: Read) -> None:
    (schema,) = read('variable "x" {\n  description = true ? "costs ${"$"}5" : ""\n}\n').variables
    assert schema.description == "costs $5"


def test_strings_of_variables_in_json_are_not_templates(read: Read) -> None:
    text = '{"variable": {"x": {"default": {"a": "${upper(1)}$${b}"}, "description": "${y}"}}}'
    (schema,) = read({"main.tf.json": text}).variables
    assert (schema.default_source_value, schema.description) == ('{"a":"${upper(1)}$${b}"}', "${y}")


@pytest.mark.terraform
def test_terraform_evaluates_them_to_the_same_values(tmp_path: Path) -> None:
    blocks = [f'variable "v{i}" {{\n  default = {text}\n}}\n' for i, text in enumerate(VALUES)]
    names = [f"v{i}" for i in range(len(VALUES))]
    write_template(tmp_path, "".join(blocks) + "".join(f'output "{n}" {{\n  value = var.{n}\n}}\n' for n in names))
    json_block = {"variable": {"j": {"default": {"a": "${upper(1)}$${b}"}}}, "output": {"j": {"value": "${var.j}"}}}
    (tmp_path / "other.tf.json").write_text(json.dumps(json_block))

    with attached(tmp_path, {}) as terraform:
        shown = terraform.planned()["planned_values"]["outputs"]

    values = {name: output.get("value") for name, output in shown.items()}
    ours = {schema.name: schema.default_source_value for schema in read_module(tmp_path).variables}
    assert ours == {name: None if value is None else default_text(value) for name, value in values.items()}


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ('"${upper("a")}"', "functions are not allowed here"),
        ("[for x in var.y : x]", "references are not allowed here"),
        ("[for x in [1] : y]", "references are not allowed here"),
        ("x", "references are not allowed here"),
        ("true ? 1 : var.y", "references are not allowed here"),
        ("1 ? 2 : 3", "a bool is required"),
        ("false ? 1 : true", "the results of the condition have different types"),
        ('[1]["a"]', "the value has no element a"),
        ("[1][1]", "the value has no element 1"),
        ("{ a = 1 }.b", "the value has no element b"),
        ('"a${[1]}"', "a string is required"),
        ("[for x in 1 : x]", "only a list or an object can be iterated"),
        ('{ for x in ["a", "a"] : x => 1 }', 'two elements have the key "a"'),
        ('"a" < 1', "'a' is not a number"),
    ],
)
def test_other_expressions_are_errors_with_the_reason(read: Read, written: str, reason: str) -> None:
    with pytest.raises(TemplateSyntaxError) as caught:
        read(f'variable "x" {{\n  default = {written}\n}}\n')
    assert f'The default of variable "x" must be a constant: {reason} (main.tf:2)' in str(caught.value)


@pytest.mark.parametrize(
    "inner",
    ["[for e in d : 1]", '"%{for e in d}x%{endfor}"', f'"{"long" * 5000}"'],
)
def test_loops_are_limited(read: Read, inner: str) -> None:
    numbers = "[" + "1," * 100 + "]"
    loops = f"[for a in {numbers} : [for b in {numbers} : [for c in {numbers} : [for d in [{numbers}] : {inner}]]]]"
    with pytest.raises(TemplateSyntaxError, match=r"its loops have too many steps|the value is too long"):
        read(f'variable "x" {{\n  default = {loops}\n}}\n')
    assert MAX_STEPS < 100**3
