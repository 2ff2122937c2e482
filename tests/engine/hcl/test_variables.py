"""Variables as parameter schemas."""

import pytest

from provisioning.engine.base import ParameterSchema
from provisioning.engine.hcl import TemplateSyntaxError

from .conftest import Read


def only(read: Read, text: str) -> ParameterSchema:
    (schema,) = read(text).variables
    return schema


def test_an_empty_variable_has_no_default_and_no_validation(read: Read) -> None:
    assert only(read, 'variable "region" {}\n') == ParameterSchema(name="region")


def test_every_field_of_a_variable_is_read(read: Read) -> None:
    text = """
    variable "region" {
      description = "Where it \\"runs\\""
      type        = string
      default     = "eu"
      sensitive   = true
      validation {
        condition     = contains( ["eu", "us"], var.region )  # as written
        error_message = "Pick one."
      }
      validation {
        condition     = length(var.region) == 2
        error_message = "Ignored."
      }
    }
    """
    schema = only(read, text)
    assert schema == ParameterSchema(
        name="region",
        description='Where it "runs"',
        default_source_value="eu",
        sensitive=True,
        validation_error="Pick one.",
        validation_condition='contains( ["eu", "us"], var.region )',
        validation_value_type="string",
    )
    assert schema.validation_type_system == "hcl"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ('"plain"', "plain"),
        ('""', ""),
        ("null", None),
        ("true", "true"),
        ("42", "42"),
        ("-1.5", "-1.5"),
        ("1e3", "1000"),
        ("1.5E-3", "0.0015"),
        ("12345678901234567890123456789012345", "12345678901234567890123456789012345"),
        ("60 * 60 + 4 / 2", "3602"),
        ("-(2)", "-2"),
        ("[]", "[]"),
        ('["a", 1, true, null,]', '["a",1,true,null]'),
        ('{ b = 1, "a" : [2], "c-d" = { e = "é" } }', '{"a":[2],"b":1,"c-d":{"e":"é"}}'),
        ("{\n  x = 1 # one\n\n  // two\n  y = 2\n}", '{"x":1,"y":2}'),
        (r'"tab\there \"quoted\" \\ \u00e9 \U0001F600"', 'tab\there "quoted" \\ é 😀'),
        ('"$${not} %%{a} template, 100% $5"', "${not} %{a} template, 100% $5"),
        ("<<EOT\n  hi $${x} \\n\nEOT", "  hi ${x} \\n\n"),
        ("<<-EOT\n    a\n\n      b\n    EOT", "a\n\n  b\n"),
        ("<<EOT\nEOT", ""),
        ('"  spaces  "', "  spaces  "),
    ],
)
def test_defaults_are_text_or_compact_json(read: Read, written: str, expected: str | None) -> None:
    schema = only(read, f'variable "x" {{\n  default = {written}\n}}\n')
    assert schema.default_source_value == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("string", "string"),
        ('"string"', "string"),
        ("list( string )", "list( string )"),
        ("object({\n    a = optional(string)\n  })", "object({\n    a = optional(string)\n  })"),
    ],
)
def test_types_are_kept_as_written(read: Read, written: str, expected: str) -> None:
    assert only(read, f'variable "x" {{\n  type = {written}\n}}\n').validation_value_type == expected


def test_a_multi_line_condition_keeps_its_text(read: Read) -> None:
    text = 'variable "x" {\n  validation {\n    condition = length(\n      var.x\n    ) > 1\n  }\n}\n'
    assert only(read, text).validation_condition == "length(\n      var.x\n    ) > 1"


def test_an_error_message_with_references_is_kept_as_source(read: Read) -> None:
    text = 'variable "x" {\n  validation {\n    condition = true\n    error_message = "no ${var.x}"\n  }\n}\n'
    assert only(read, text).validation_error == "no ${var.x}"


def test_variables_are_ordered_by_file_and_line(read: Read) -> None:
    module = read(
        {
            "b.tf": 'variable "third" {}\n',
            "a.tf": 'variable "first" {}\n# a comment\nvariable "second" {}\n',
            "c.tf.json": '{\n"variable": {\n"fifth": {"default": 1},\n"sixth": {}}}',
            "b_more.tf": 'variable "fourth" {}\n',
        }
    )
    assert [v.name for v in module.variables] == ["first", "second", "third", "fourth", "fifth", "sixth"]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_line_endings_and_byte_order_marks_are_ignored(read: Read, newline: str, mark: bytes) -> None:
    text = 'variable "naïve" {\n  default = "日本"\n  type    = string\n}\n'.replace("\n", newline)
    module = read(mark + text.encode())
    assert module.variables[0].default_source_value == "日本"
    assert module.variables[0].validation_value_type == "string"


@pytest.mark.parametrize("written", ["var.other", "upper(1)", '"${var.other}"', "1 / 0", "1e999999999"])
def test_a_default_that_is_not_constant_is_an_error_with_its_line(read: Read, written: str) -> None:
    with pytest.raises(TemplateSyntaxError) as caught:
        read(f'variable "x" {{\n  default = {written}\n}}\n')
    assert 'The default of variable "x" must be a constant' in str(caught.value)
    assert "(main.tf:2)" in str(caught.value)


def test_override_files_change_variables(read: Read) -> None:
    module = read(
        {
            "main.tf": 'variable "x" {\n  default = "a"\n  description = "kept"\n}\n',
            "override.tf": 'variable "x" {\n  default = "b"\n}\n',
            "zz_override.tf": 'variable "x" {\n  default = "c"\n}\n',
        }
    )
    (schema,) = module.variables
    assert (schema.default_source_value, schema.description) == ("c", "kept")


def test_variables_are_read_from_json(read: Read) -> None:
    text = """{
      "//": "a comment",
      "variable": {
        "x": {
          "type": "string",
          "default": "$${a} b",
          "validation": [{"condition": "${length(var.x) > 1}", "error_message": "too short"}]
        },
        "y": {"default": {"b": [1, 2.0], "a": null}, "sensitive": true}
      }
    }"""
    x, y = read({"main.tf.json": text}).variables
    assert (x.default_source_value, x.validation_value_type) == ("$${a} b", "string")
    assert (x.validation_condition, x.validation_error) == ("length(var.x) > 1", "too short")
    assert (y.default_source_value, y.sensitive) == ('{"a":null,"b":[1,2]}', True)
