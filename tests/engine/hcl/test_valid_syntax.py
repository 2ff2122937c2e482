"""Syntax that Terraform accepts (each example was checked with ``terraform fmt``) is never rejected."""

import pytest

from .conftest import Read

EXPRESSIONS = [
    '"100%"',
    '"$$"',
    '"$"',
    '"cost $5 and %5"',
    '"$$${y}"',
    '"$${"',
    '"${~ x ~}"',
    '"%{ if x ~}a%{ else ~}b%{ endif ~}"',
    '"%{ for k, v in x }${k}=${v}%{ if v }x%{ else }y%{ endif }%{ endfor }"',
    '"%{ if x == "q" }a%{ endif }"',
    '"x${"y${"z${"w"}"}"}"',
    '"${f({\n  a = "b"\n  c = 1\n})}"',
    '"^[a-z]{1,3}$"',
    '"\\\\."',
    "<<EOT\n%{ for x in y ~}\n${x}\n%{ endfor ~}\nEOT",
    "<<EOT\n  EOTX\n xEOT\nEOT EOT\nEOT",
    "<<EOT\n#!/bin/bash\ncat <<EOF > x\n[[ \"$x\" =~ ^a$ ]] && echo 'b' $(y) `z`\nEOF\nEOT",
    '<<EOT\n${jsonencode({\n  a = 1\n  b = "x${y}"\n})}\nEOT',
    "<<EOT\n${<<EOF\nx\nEOF\n}\nEOT",
    "<<EOT\n\"unbalanced ${x}'\n'\"\nEOT",
    "<<-EOT\n    %{ if x }\n    EOT2\n    %{ endif }\n    EOT",
    "f(<<-EOT\n  x\n  EOT\n  , 2)",
    '[<<EOT\nx\nEOT\n, "b"]',
    '"a" == <<E\nx\nE',
    "(\n  b\n  ? c\n  : d\n)",
    "b ? {\n  x = 1\n} : {}",
    "[\n  for x in y : # comment\n  x\n  if x != null\n]",
    "{ for x in y : x.k => x.v... }",
    "x[*].y[0].z.*.w",
    "x.0",
    'x["a"].b[c.d][0]',
    "!x && -y == 3 || z % 2 >= 1",
    "1e5 + 1.5E-3",
    '{ "a" : 1, b : 2, (c) : 3, "${d}" = 4 }',
    "{ x = 1, for = 1, if = 2, in = 3 }",
    "{ null = 1, true = 2 }",
    "f(x,\n  y...\n)",
    "provider::time::rfc3339(1)",
    "/* c */ 1 // end",
    "[ # c\n1 # d\n, 2\n]",
    "merge({\n  a = 1\n  }, {\n  b = 2\n})",
    "x ? y : z ? 1 : 2",
    "f().b[0]",
    "(x).y",
    "truex",
    "local.été",
    "each.value.in",
    "f (1)",
    '"é 日本 😀"',
]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_a_valid_expression_is_accepted(read: Read, expression: str) -> None:
    module = read(f'locals {{\n  a = {expression}\n}}\nvariable "last" {{}}\n')
    assert [variable.name for variable in module.variables] == ["last"]


@pytest.mark.parametrize(
    "text",
    [
        "# only a comment",
        "/* multi\nline */ locals { a = 1 }\n",
        "data x y {\n  a = 1\n}\nvariable z { default = {\n  a = 1\n} }\n",
        'resource "a" "b" { }\n\n\nresource "a" "c" {\n\n  d {}\n  e { f = 1 }\n\n}\n',
        'é "x" {\n  in = 1\n  null = 2\n  a-b_c = 3\n}\n',
        'a "b\\"c" {}\n',
        'variable "tail" {}',
    ],
)
def test_a_valid_file_is_accepted(read: Read, text: str) -> None:
    read(text)
