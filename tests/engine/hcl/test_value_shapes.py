"""Hints about the shape of values that a template reads, which stubs use to build placeholders."""

import time
from pathlib import Path

import pytest

from provisioning.engine.hcl import read_module
from tests.engine.terraform.recording import template

DATA = 'data "aws_x" "a" {}\ndata "aws_x" "many" {\n  for_each = toset(["1"])\n}\n'


def hints(tmp_path: Path, content: str) -> dict[str, dict]:
    usage = read_module(template(tmp_path, DATA + content)).provider_usage["registry.terraform.io/hashicorp/aws"]
    return usage.data_sources["aws_x"].hints


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("data.aws_x.a.v", {}),
        ("data.aws_x.a.v[0].w", {"[]": {"w": {}}}),
        ("data.aws_x.a.v[2]", {"[]": {}, "#3": {}}),
        ("slice(data.aws_x.a.v, 0, 3)", {"[]": {}, "#3": {}}),
        ("element(data.aws_x.a.v, 1)", {"[]": {}, "#2": {}}),
        ("[for x in data.aws_x.a.v : x.w]", {"[]": {"w": {}}}),
        ("[for k, x in data.aws_x.a.v : x.w if x.ok]", {"[]": {"w": {}, "ok": {"#bool": {}}}}),
        ("{ for x in data.aws_x.a.v : x.k => x... }", {"[]": {"k": {}}}),
        ("[for x in data.aws_x.a.v : [for y in x.w : y.z]]", {"[]": {"w": {"[]": {"z": {}}}}}),
        ("sum([for x in data.aws_x.a.v : x.w])", {"[]": {"w": {"#number": {}}}}),
        ("toset(data.aws_x.a.v)", {"[]": {}}),
        ("sort(distinct(data.aws_x.a.v))[0]", {"[]": {}}),
        ("one(data.aws_x.a.v).w", {"[]": {"w": {}}}),
        ("values(data.aws_x.a.v)[0].w", {"#object": {}, "[]": {"w": {}}}),
        ('lookup(data.aws_x.a.v, "w", 1)', {"#object": {}}),
        ('join(",", data.aws_x.a.v)', {"[]": {}}),
        ("jsondecode(data.aws_x.a.v)", {"#json": {}}),
        ("jsondecode(data.aws_x.a.v).w[0].z", {"#json": {"w": {"[]": {"z": {}}}}}),
        ("[for x in yamldecode(data.aws_x.a.v) : x.w]", {"#json": {"[]": {"w": {}}}}),
        ("data.aws_x.a.v + 1", {"#number": {}}),
        ("max(3, data.aws_x.a.v)", {"#number": {}}),
        ("data.aws_x.a.v > 2 ? 1 : 0", {"#number": {}}),
        ("data.aws_x.a.v ? 1 : 0", {"#bool": {}}),
        ("!data.aws_x.a.v", {"#bool": {}}),
        ("(true ? data.aws_x.a.v : null).w", {"w": {}}),
        ("cidrsubnet(data.aws_x.a.v, 8, 1)", {"#cidr": {}}),
        ('formatdate("YYYY", data.aws_x.a.v)', {"#time": {}}),
        ('[for x in data.aws_x.many : x.v["w"]]', {"w": {}}),
        ("values(data.aws_x.many)[0].v.w", {"w": {}}),
        ("upper(data.aws_x.a.v)", {}),
    ],
)
def test_hints_describe_how_a_value_is_used(tmp_path: Path, expression: str, expected: dict) -> None:
    assert hints(tmp_path, f'output "o" {{\n  value = {expression}\n}}\n') == {"v": expected}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("locals {\n  l = data.aws_x.a.v\n  m = [for x in local.l : x.w]\n}", {"[]": {"w": {}}}),
        (
            'locals {\n  l = { for x in jsondecode(data.aws_x.a.v) : x.k => x }\n  m = local.l["a"].w\n}',
            {"#json": {"[]": {"k": {}, "w": {}}}},
        ),
        ("locals {\n  l = concat(local.l, data.aws_x.a.v)\n}", {"[]": {}}),
        (
            'resource "aws_y" "y" {\n  for_each = data.aws_x.a.v\n  b = each.value.w\n}',
            {"#object": {}, "[]": {"w": {}}},
        ),
        ('resource "aws_y" "y" {\n  for_each = toset(data.aws_x.a.v)\n}', {"[]": {}}),
        ('locals {\n  l = toset(data.aws_x.a.v)\n}\nresource "aws_y" "y" {\n  for_each = local.l\n}', {"[]": {}}),
        ("locals {\n  l = tolist(data.aws_x.a.v)[2].w\n}", {"#3": {}, "[]": {"w": {}}}),
        ('locals {\n  l = split("/", data.aws_x.a.v)[1]\n}', {"#split:/": {"#2": {}, "[]": {}}}),
        (
            'locals {\n  p = split(":", data.aws_x.a.v)\n  l = tonumber(local.p[2])\n}',
            {"#split::": {"#3": {}, "[]": {"#number": {}}}},
        ),
        ('locals {\n  l = element(split("/", data.aws_x.a.v), 1)\n}', {"#split:/": {"#2": {}, "[]": {}}}),
        ("locals {\n  l = keys(data.aws_x.a.v)[0]\n}", {"#object": {}, "[]": {}}),
        ('locals {\n  l = lookup(data.aws_x.a.v, "k")\n}', {"#object": {}, "k": {}}),
        ("locals {\n  l = length(data.aws_x.a.v)\n}", {"[]": {}}),
        ('resource "aws_y" "y" {\n  count = data.aws_x.a.v\n}', {"#number": {}}),
        (
            (
                'resource "aws_y" "y" {\n  dynamic "b" {\n    for_each = data.aws_x.a.v\n    iterator = it\n'
                "    content {\n      c = it.value.w\n    }\n  }\n}"
            ),
            {"[]": {"w": {}}},
        ),
        (
            (
                'data "aws_x" "z" {\n  lifecycle {\n    postcondition {\n      condition = self.v == 200\n'
                '      error_message = "no"\n    }\n  }\n}'
            ),
            {"=200": {}},
        ),
        (
            (
                'check "c" {\n  assert {\n    condition = contains([200, 201], data.aws_x.a.v)\n'
                '    error_message = "no"\n  }\n}'
            ),
            {"=200": {}},
        ),
    ],
)
def test_references_are_followed_through_locals_and_blocks(tmp_path: Path, content: str, expected: dict) -> None:
    assert hints(tmp_path, content) == {"v": expected}


def test_module_outputs_have_hints(tmp_path: Path) -> None:
    content = 'module "m" {\n  source = "a/b/c"\n}\noutput "o" {\n  value = [for s in module.m.subnets : s.id]\n}\n'
    (call,) = read_module(template(tmp_path, content)).module_calls
    assert call.outputs == {"subnets": {"[]": {"id": {}}}}


def test_data_sources_of_one_type_have_separate_hints(tmp_path: Path) -> None:
    content = (
        'data "http" "a" {\n  url = "https://a"\n}\ndata "http" "b" {\n  url = "https://b"\n}\n'
        "locals {\n  a = jsondecode(data.http.a.body).x\n  b = data.http.b.body + 1\n}\n"
    )
    usage = read_module(template(tmp_path, content)).provider_usage["registry.terraform.io/hashicorp/http"]
    assert [(v.constants["url"], v.usage.hints["body"]) for v in usage.data_sources["http"].variants] == [
        ("https://a", {"#json": {"x": {}}}),
        ("https://b", {"#number": {}}),
    ]


@pytest.mark.parametrize(
    "expression",
    [
        f"concat({', '.join(['data.aws_x.a.v'] * 8000)})",
        f"{'toset(' * 1000}data.aws_x.a.v{')' * 1000}",
        f"{'[for a in ' * 90}data.aws_x.a.v{' : a]' * 90}",
        " + ".join(["data.aws_x.a.v"] * 8000),
    ],
    ids=["many arguments", "many calls", "many loops", "many operands"],
)
def test_following_hostile_expressions_stops_in_time(tmp_path: Path, expression: str) -> None:
    started = time.process_time()
    hints(tmp_path, f"locals {{\n  l = {expression}\n}}\n")
    assert time.process_time() - started < 8
