"""The starter ``hello`` is really started, changed, updated, stopped and deleted."""

import shutil
from pathlib import Path

import pytest

from provisioning.engine.base import ParameterValue
from provisioning.engine.terraform import TerraformEngine
from templates_app import starters

from .engines import Workspace

pytestmark = pytest.mark.terraform

RUNNING = ["cache", "cache", "machine", "sidecar", "volume"]


def test_hello_starts_stops_and_is_deleted(engine: TerraformEngine, tmp_path: Path) -> None:
    root = tmp_path / "hello"
    shutil.copytree(starters.FOLDER / "hello", root)
    workspace = Workspace(engine, root)
    started = {one.name: one for one in workspace.build("start").resources}
    assert sorted(one.name for one in workspace.build("start").resources) == RUNNING
    machine = started["machine"]
    assert (machine.daily_cost, [agent.name for agent in machine.agents]) == (1, ["main"])
    assert [app.slug for app in machine.agents[0].apps] == ["editor", "terminal"]
    assert [agent.name for agent in started["sidecar"].agents] == ["tools"]

    changed = {one.name: one for one in workspace.build("start", machine_type="large").resources}
    assert (changed["machine"].daily_cost, changed["machine"].agents) == (5, machine.agents)

    moved = {one.name: one for one in workspace.build("start", ParameterValue("region", "us")).resources}
    assert {item.key: item.value for item in moved["volume"].metadata} == {"size": "10 GB", "region": "us"}

    assert sorted(one.name for one in workspace.build("stop").resources) == ["cache", "cache", "volume"]
    assert workspace.build("delete").resources == ()
    assert workspace.addresses == []
