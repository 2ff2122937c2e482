"""Instances of count and for_each, planned by the real Terraform."""

from pathlib import Path

import pytest

from .engines import REQUIRED, planned

pytestmark = pytest.mark.terraform

AGENT = """
resource "coder_agent" "main" {
  os   = "linux"
  arch = "amd64"
}
resource "terraform_data" "box" {
  input = coder_agent.main.token
}
"""
APPS = """
resource "coder_app" "web" {
  for_each     = { one = 8001, two = 8002, three = 8003 }
  agent_id     = coder_agent.main.id
  slug         = each.key
  display_name = each.key
  url          = "http://localhost:${each.value}"
}
"""
FLEET = """
data "coder_parameter" "disk" {
  count   = 2
  name    = "Disk ${count.index}"
  type    = "number"
  default = count.index
}
resource "coder_agent" "main" {
  count = 3
  os    = "linux"
  arch  = "amd64"
}
resource "coder_app" "code" {
  count    = 3
  agent_id = coder_agent.main[count.index].id
  slug     = "code"
  url      = "http://localhost"
}
resource "terraform_data" "box" {
  count = 3
  input = coder_agent.main[2 - count.index].token
}
resource "coder_metadata" "cost" {
  count       = 3
  resource_id = terraform_data.box[count.index].id
  daily_cost  = 1 + count.index
  item {
    key   = "number"
    value = count.index
  }
}
"""


def test_every_app_of_for_each_is_found(tmp_path: Path) -> None:
    result = planned(tmp_path, REQUIRED, AGENT, APPS)
    (box,) = result.start.resources
    apps = [(app.slug, app.display_name, app.url, app.instance_key) for app in box.agents[0].apps]
    assert apps == [
        ("one", "one", "http://localhost:8001", "one"),
        ("three", "three", "http://localhost:8003", "three"),
        ("two", "two", "http://localhost:8002", "two"),
    ]
    assert (box.instance_key, box.agents[0].instance_key) == (None, None)


def test_a_fleet_of_count(tmp_path: Path) -> None:
    result = planned(tmp_path, REQUIRED, FLEET).start
    assert [(r.name, r.instance_key, r.daily_cost) for r in result.resources] == [
        ("box", "0", 1),
        ("box", "1", 2),
        ("box", "2", 3),
    ]
    assert sorted((a.name, a.instance_key, len(a.apps)) for r in result.resources for a in r.agents) == [
        ("main", "0", 1),
        ("main", "1", 1),
        ("main", "2", 1),
    ]
    assert [(m.value, m.instance_key) for r in result.resources for m in r.metadata] == [
        (f"{i}", f"{i}") for i in range(3)
    ]
    assert [(p.name, p.default_value, p.instance_key) for p in result.rich_parameters] == [
        ("Disk 0", "0", "0"),
        ("Disk 1", "1", "1"),
    ]


def test_agents_in_instances_of_a_module(tmp_path: Path) -> None:
    (tmp_path / "template" / "machine").mkdir(parents=True)
    (tmp_path / "template" / "machine" / "main.tf").write_text(REQUIRED + AGENT + APPS)
    call = 'module "machine" {\n  source   = "./machine"\n  for_each = toset(["eu", "us"])\n}\n'
    result = planned(tmp_path, REQUIRED, call).start
    assert [(r.instance_key, [a.instance_key for a in r.agents]) for r in result.resources] == [
        ("eu", ["eu"]),
        ("us", ["us"]),
    ]
    assert [app.instance_key for app in result.resources[1].agents[0].apps] == ["us/one", "us/three", "us/two"]
