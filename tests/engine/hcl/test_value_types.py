"""Types that are inferred from expressions."""

import pytest

from provisioning.engine.hcl.native import NativeDocument
from provisioning.engine.hcl.value_types import TypeReader, guessed_type

MODULE = """
locals {
  names  = ["a"]
  nested = local.names
  loop   = local.loop
}
variable "text" {
  type = number
}
variable "names" {
  type = set(string)
}
variable "tags" {
  type = map(any)
}
variable "shape" {
  type = object({ a = string })
}
variable "untyped" {
  default = { a = "b" }
}
"""
STRINGS = ["list", "string"]
MAP = ["map", "string"]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ('"a"', "string"),
        ("1", "string"),
        ("null", None),
        ("[]", STRINGS),
        ('["a", aws_x.y.id]', STRINGS),
        ("[[1], [2]]", ["list", STRINGS]),
        ('["a", [1]]', "dynamic"),
        ("{ a = aws_x.y.id }", MAP),
        ("[{ a = 1 }, { a = aws_x.y.id }]", ["list", MAP]),
        ("{ a = 1, b = [2] }", "dynamic"),
        ("aws_x.y.id", None),
        ("aws_x.y[*].id", STRINGS),
        ('"${aws_x.y.id}"', None),
        ('"a-${aws_x.y.id}"', "string"),
        ("aws_x.y.size + 1", "string"),
        ("!aws_x.y.on", "string"),
        ("aws_x.y.on ? aws_x.y.id : [aws_x.y.id]", STRINGS),
        ("[for x in aws_x.y : x.id]", STRINGS),
        ("{ for x in aws_x.y : x.id => x.name }", MAP),
        ("toset(aws_x.y)", STRINGS),
        ("merge(aws_x.y, {})", MAP),
        ("upper(aws_x.y.id)", "string"),
        ("try(aws_x.y.id)", None),
        ("provider::x::y(1)", None),
        ("local.names", STRINGS),
        ("local.nested", STRINGS),
        ("local.loop", None),
        ("local.other", None),
        ("(local.names)", STRINGS),
        ("var.text", "string"),
        ("var.names", STRINGS),
        ("var.tags", MAP),
        ("var.shape", None),
        ("var.untyped", MAP),
        ("var.other", None),
    ],
)
def test_the_type_of_an_expression_is_inferred(written: str, expected: object) -> None:
    document = NativeDocument(f"x {{\n  a = {written}\n}}\n{MODULE}".encode(), "main.tf")
    assert not document.problems

    found = TypeReader(document.blocks).type_of(document.blocks[0].body.attributes["a"])

    assert found == expected


def test_names_in_the_plural_are_lists() -> None:
    names = ("name", "values", "tags", "address", "status", "identifiers")
    assert [guessed_type(name) for name in names] == ["string", STRINGS, MAP, "string", "string", STRINGS]
