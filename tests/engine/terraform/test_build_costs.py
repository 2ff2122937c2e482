"""Builds whose cost must be approved between plan and apply."""

from pathlib import Path

import pytest

from provisioning.engine.base import EngineError, Stage
from provisioning.engine.terraform import TerraformEngine

from .engines import LIFE, Workspace, every_way
from .recording import template

pytestmark = pytest.mark.terraform


@every_way
def test_cost_is_approved_between_plan_and_apply(engine: TerraformEngine, tmp_path: Path) -> None:
    workspace = Workspace(engine, template(tmp_path, LIFE))
    asked: list[int] = []
    workspace.approve = asked.append
    result = workspace.build("start", size="2")
    assert asked == [3] == [sum(one.daily_cost for one in result.resources)]
    stages = list(dict.fromkeys(stage for _, stage, _ in workspace.log.lines))
    assert stages[-2:] == [Stage.PLANNING, Stage.STARTING]
    assert any("Apply complete!" in line for line in workspace.log.outputs(Stage.STARTING))
    assert not [line for line in workspace.log.outputs() if "Deprecated" in line]
    again = workspace.build("start", size="2")
    assert (asked, again.resources) == ([3, 3], result.resources)
    workspace.build("stop")
    assert asked == [3, 3, 0]


def test_refused_cost_ends_the_build_before_anything_changes(engine: TerraformEngine, tmp_path: Path) -> None:
    workspace = Workspace(engine, template(tmp_path, LIFE))

    def refuse(cost: int) -> None:
        raise EngineError(f"insufficient quota: {cost}")

    workspace.approve = refuse
    with pytest.raises(EngineError, match="insufficient quota: 3"):
        workspace.build("start")
    assert (workspace.saved, workspace.addresses) == ([], [])
    workspace.approve = None
    workspace.build("start")
    assert "terraform_data.machine" in workspace.addresses
