"""Builds whose cost must be approved between plan and apply."""

from pathlib import Path

import pytest

from provisioning.engine.base import EngineError, Stage
from provisioning.engine.hcl import read_module
from provisioning.engine.terraform import TerraformEngine

from .engines import LIFE, Workspace, every_way
from .recording import template

pytestmark = pytest.mark.terraform
OVERRIDE = 'resource "coder_metadata" "machine" { daily_cost = 3 }'


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


@every_way
def test_template_without_costs_is_built_by_one_command(engine: TerraformEngine, tmp_path: Path) -> None:
    """There is nothing to approve after a plan, so none is made before the apply."""
    free = LIFE.replace("  daily_cost  = 3\n", "")
    assert free != LIFE
    for text, expected in ((free, (0, False)), (LIFE, (3, True))):
        workspace = Workspace(engine, template(tmp_path / str(expected[0]), text))
        asked: list[tuple[int, bool]] = []

        def approve(cost: int, workspace: Workspace = workspace, asked: list[tuple[int, bool]] = asked) -> None:
            asked.append((cost, any("Plan:" in line for line in workspace.log.outputs())))

        workspace.approve = approve
        workspace.build("start")
        assert asked == [expected]
        assert "terraform_data.machine" in workspace.addresses


@pytest.mark.parametrize(
    ("files", "declares"),
    [
        ({"main.tf": LIFE}, True),
        ({"main.tf": LIFE.replace("daily_cost  = 3", "hide = true")}, False),
        ({"main.tf": "", "more.tf.json": '{"resource": {"coder_metadata": {"x": {"daily_cost": 1}}}}'}, True),
        ({"main.tf": LIFE.replace("daily_cost  = 3", ""), "x_override.tf": OVERRIDE}, True),
        ({"main.tf": 'module "vm" { source = "./vm" }', "vm/main.tf": LIFE}, True),
        ({"main.tf": 'resource "other_thing" "x" { daily_cost = 1 }'}, False),
    ],
    ids=["native", "none", "JSON", "override", "module", "another resource"],
)
def test_declared_costs_are_found_in_every_file(tmp_path: Path, files: dict[str, str], declares: bool) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert read_module(tmp_path).declares_costs is declares
