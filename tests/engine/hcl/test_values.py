"""Values of variables in variable files and in expressions."""

from pathlib import Path

import pytest

from provisioning.engine.base import EngineError
from provisioning.engine.hcl import NotConstantError, TemplateSyntaxError, expression_value, read_module, read_values


def test_both_notations_are_read() -> None:
    native = b'a = "eu"\nb = 5\nc = ["x", { y = true }]\nd = null\ne = <<EOT\nlines\nEOT\n# f = 1\n'
    assert read_values(native, "x.tfvars") == {
        "a": "eu",
        "b": 5,
        "c": ["x", {"y": True}],
        "d": None,
        "e": "lines\n",
    }
    json = b'{"a": "${not evaluated}", "b": [1], "//": "a comment", "d": null, "resource": {"x": {}}}'
    assert read_values(json, "x.tfvars.json") == {
        "a": "${not evaluated}",
        "b": [1],
        "d": None,
        "resource": {"x": {}},
    }
    assert read_values(b"", "x.tfvars") == {}


@pytest.mark.parametrize(
    ("name", "source", "problem"),
    [
        ("a.tfvars", b'x = "a"\ny = var.x\n', "The value of y must be a constant: references are not"),
        ("a.tfvars", b'x = "a"\ny = var.x\n', "allowed here (a.tfvars:2)"),
        ("a.tfvars", b'\nvariable "x" {}\n', "A variable file has only values, no blocks: variable (a.tfvars:2)"),
        ("a.tfvars", b"x = \n", "(a.tfvars:"),
        ("a.tfvars", b"x = 1\nx = 2\n", 'The argument "x" is set twice (a.tfvars:2)'),
        ("a.tfvars", b"x = \xff\n", "UTF-8 (a.tfvars:1)"),
        ("a.auto.tfvars.json", b'{\n"x": }', "Invalid JSON: Expecting value (a.auto.tfvars.json:2)"),
        ("a.auto.tfvars.json", b"[1]", "The file must hold a JSON object"),
        ("a.auto.tfvars", b" " * (4 << 20) + b"\n", "a.auto.tfvars is larger than 4 MiB"),
    ],
)  # fmt: skip
def test_problems_name_file_and_line(tmp_path: Path, name: str, source: bytes, problem: str) -> None:
    (tmp_path / "main.tf").write_text('variable "x" {}\n')
    (tmp_path / name.replace("a.tfvars", "terraform.tfvars")).write_bytes(source)
    with pytest.raises(EngineError) as failure:
        read_module(tmp_path)
    assert problem.replace("a.tfvars", "terraform.tfvars") in str(failure.value)


def module(tmp_path: Path, **files: str):
    for name, content in files.items():
        (tmp_path / name.replace("__", ".")).write_text(content)
    return read_module(tmp_path)


def test_files_are_read_in_the_order_of_terraform(tmp_path: Path) -> None:
    names = "abcdef"
    (tmp_path / "main.tf").write_text("".join(f'variable "{n}" {{\n  default = "0"\n}}\n' for n in names))
    order = ["terraform.tfvars", "terraform.tfvars.json", "Z.auto.tfvars", "a.auto.tfvars.json", "b.auto.tfvars"]
    for index, file in enumerate(order):
        values = dict.fromkeys(names[index:], file)
        text = "".join(f'{name} = "{value}"\n' for name, value in values.items())
        if file.endswith(".json"):
            text = "{" + ",".join(f'"{name}": "{value}"' for name, value in values.items()) + "}"
        (tmp_path / file).write_text(text)
    for ignored in ("other.tfvars", "auto.tfvars", "terraform.tfvars.bak"):
        (tmp_path / ignored).write_text('a = "ignored"\n')
    found = read_module(tmp_path)
    assert [variable.default_source_value for variable in found.variables] == [*order, order[-1]]
    assert found.variable_files["f"] == "b.auto.tfvars"


def test_links_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text('x = "secret"\n')
    (tmp_path / "terraform.tfvars").symlink_to(tmp_path / "elsewhere")
    assert module(tmp_path, main__tf='variable "x" {}\n').variables[0].is_required


@pytest.mark.parametrize(
    ("block", "file", "required", "default"),
    [
        ('variable "x" {}', "", True, None),
        ('variable "x" {\n  default = null\n}', "", False, None),
        ('variable "x" {\n  type = object({ a = string })\n  default = null\n}', "", False, None),
        ('variable "x" {\n  default = "d"\n}', "x = null", False, None),
        ('variable "x" {}', "x = null", False, None),
        ('variable "x" {\n  default = null\n}', "x = 5", False, "5"),
        ('variable "x" {\n  sensitive = true\n}', 'x = { b = "c", a = 1 }', False, '{"a":1,"b":"c"}'),
        ('variable "x" {}', 'other = "y"', True, None),
    ],
)
def test_null_and_values_of_files_make_a_variable_optional(
    tmp_path: Path, block: str, file: str, required: bool, default: str | None
) -> None:
    (variable,) = module(tmp_path, main__tf=f"{block}\n", terraform__tfvars=f"{file}\n").variables
    assert (variable.is_required, variable.default_source_value) == (required, default)


def test_variables_of_json_configuration_can_be_null(tmp_path: Path) -> None:
    source = '{"variable": {"a": {"default": null}, "b": {}, "c": {"default": ""}}}'
    assert [v.is_required for v in module(tmp_path, main__tf__json=source).variables] == [False, True, False]


def test_untyped_lists_and_maps_are_known(tmp_path: Path) -> None:
    source = 'variable "a" {\n  default = []\n}\nvariable "b" {\n  default = "[]"\n}\nvariable "c" {}\n'
    found = module(tmp_path, main__tf=source, terraform__tfvars="c = { d = 1 }\n")
    assert found.structured_variables == {"a", "c"}


@pytest.mark.parametrize(
    ("text", "value"), [('["a",]', ["a"]), ("{ a = 1 }", {"a": 1}), ("null", None), ("[\n1,\n2]", [1, 2])]
)
def test_expressions_are_evaluated(text: str, value: object) -> None:
    assert expression_value(text) == value


@pytest.mark.parametrize("text", ["", "[1", "1\nother = 2", "[]\nblock {}", "var.x", "[1]]", "1 # \nx = 2"])
def test_other_texts_are_not_expressions(text: str) -> None:
    with pytest.raises(NotConstantError):
        expression_value(text)


def test_the_error_of_a_file_is_a_problem_of_the_template() -> None:
    with pytest.raises(TemplateSyntaxError):
        read_values(b"x {", "terraform.tfvars")
