"""Builds with the real Terraform: their plans, applies, states, and what ends them early."""

import json
import subprocess
import threading
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest

from provisioning.engine.base import Canceled, EngineError, LogLevel, Stage
from provisioning.engine.plan_instances import read_entries
from provisioning.engine.state_entries import read_state_entries
from provisioning.engine.terraform import TerraformEngine, discovery
from provisioning.engine.terraform.build import Build
from provisioning.engine.terraform.command_runner import CommandRunner

from .engines import LIFE, Workspace, every_program, every_way
from .recording import template

pytestmark = pytest.mark.terraform


def machine_of(result) -> tuple:
    """Return token and size of the machine of a build that started."""
    machine = next(one for one in result.resources if one.name == "machine")
    (agent,) = machine.agents
    return agent.auth_token, machine.metadata[0].value


# ---------------------------------------------------------------------- transitions
@every_way
def test_workspace_starts_stops_and_is_deleted(engine: TerraformEngine, tmp_path: Path) -> None:
    workspace = Workspace(engine, template(tmp_path, LIFE))
    result = workspace.build("start")
    token, size = machine_of(result)
    assert (len(token), size) == (36, "1")
    assert [(one.name, one.daily_cost) for one in result.resources] == [("home", 0), ("machine", 3)]
    assert [app.slug for app in result.resources[1].agents[0].apps] == ["editor"]
    home = next(one for one in json.loads(workspace.state)["resources"] if one["name"] == "home")
    assert workspace.log.outputs(Stage.PLANNING)
    assert workspace.log.outputs(Stage.STARTING)

    stopped = workspace.build("stop")
    assert [one.name for one in stopped.resources] == ["home"]
    assert workspace.addresses == ["coder_agent.main", "coder_app.editor", "terraform_data.home"]
    assert home in json.loads(workspace.state)["resources"]
    assert workspace.log.outputs(Stage.STOPPING)

    assert machine_of(workspace.build("start", size="2")) == (token, "2")
    assert workspace.build("delete").resources == ()
    assert workspace.addresses == []
    assert workspace.log.outputs(Stage.DESTROYING)


def test_tokens_stay_the_same_when_a_running_workspace_is_built_again(engine: TerraformEngine, tmp_path: Path) -> None:
    workspace = Workspace(engine, template(tmp_path, LIFE))
    first = machine_of(workspace.build("start"))
    assert machine_of(workspace.build("start")) == first
    assert machine_of(workspace.build("start", size="5")) == (first[0], "5")


def test_delete_without_a_state_says_so_twice(engine: TerraformEngine, tmp_path: Path) -> None:
    """BLD-36."""
    workspace = Workspace(engine, template(tmp_path, LIFE))
    assert workspace.build("delete").resources == ()
    assert workspace.saved == []
    assert [(level, stage) for level, stage, _ in workspace.log.lines] == [
        (LogLevel.INFO, Stage.PLANNING),
        (LogLevel.INFO, Stage.DESTROYING),
    ]


def test_stop_without_a_state_makes_what_a_stopped_workspace_has(engine: TerraformEngine, tmp_path: Path) -> None:
    workspace = Workspace(engine, template(tmp_path, LIFE))
    assert [one.name for one in workspace.build("stop").resources] == ["home"]


def test_delete_of_an_empty_state_succeeds(engine: TerraformEngine, tmp_path: Path) -> None:
    workspace = Workspace(engine, template(tmp_path, LIFE))
    workspace.build("start")
    workspace.build("delete")
    assert workspace.build("delete").resources == ()


@every_program
def test_log_has_the_plan_once_and_no_warning_about_our_flags(engine: TerraformEngine, tmp_path: Path) -> None:
    workspace = Workspace(engine, template(tmp_path, LIFE))
    workspace.build("start")
    planned = [line for line in workspace.log.outputs() if "Plan to create" in line]
    assert len(planned) == 5
    assert all(line in workspace.log.outputs(Stage.PLANNING) for line in planned)
    assert not [line for line in workspace.log.outputs(Stage.PLANNING) if "Creating..." in line]
    assert any("Apply complete!" in line for line in workspace.log.outputs(Stage.STARTING))
    assert workspace.log.outputs(level=LogLevel.WARN) == []


@every_program
def test_text_of_a_template_does_not_end_the_plan(engine: TerraformEngine, tmp_path: Path) -> None:
    text = '{"type":"change_summary","changes":{"operation":"plan"}}'
    check = f"""
output "y" {{
  value = "z"
  precondition {{
    condition     = false
    error_message = {json.dumps(text)}
  }}
}}
"""
    workspace = Workspace(engine, template(tmp_path, LIFE + check))
    with pytest.raises(EngineError, match="plan for start failed"):
        workspace.build("start")
    assert {stage for _, stage, _ in workspace.log.lines} == {Stage.PLANNING}


@every_program
def test_plan_that_fails_beside_planned_changes_is_no_apply(engine: TerraformEngine, tmp_path: Path) -> None:
    """Terraform shows what it could plan, with a summary."""
    more = """
resource "terraform_data" "checked" {
  input = "y"
  lifecycle {
    precondition {
      condition     = data.coder_parameter.size.value != "1"
      error_message = "too small"
    }
  }
}
"""
    workspace = Workspace(engine, template(tmp_path, LIFE + more))
    with pytest.raises(EngineError, match="plan for start failed: Resource precondition failed"):
        workspace.build("start")
    assert any("Plan to create" in line for line in workspace.log.outputs(Stage.PLANNING))
    assert {stage for _, stage, _ in workspace.log.lines} == {Stage.PLANNING}
    assert workspace.saved == []


NESTED = {
    "main.tf": """
module "m" {
  source   = "./m"
  for_each = toset(["x.y", "$${a} \\"b\\" \\\\"])
  secret   = sensitive(each.key)
}
resource "terraform_data" "many" {
  count = 11
  input = count.index
}
resource "terraform_data" "one" {}
""",
    "m/main.tf": """
variable "secret" {}
resource "terraform_data" "inner" {
  count            = 2
  input            = { open = "o", hidden = [var.secret] }
  triggers_replace = count.index
}
""",
}


@every_program
def test_state_is_read_as_terraform_shows_it(engine: TerraformEngine, tmp_path: Path) -> None:
    workspace = Workspace(engine, template(tmp_path, NESTED))
    workspace.build("start")
    file = tmp_path / "shown.tfstate"
    file.write_bytes(workspace.state)
    command = (*discovery.find(None).program.command, "show", "-json", str(file))
    shown = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout
    expected = {entry.address: entry for entry in read_entries(json.loads(shown)["values"]["root_module"], reveal=True)}
    found = {entry.address: entry for entry in read_state_entries(json.loads(workspace.state))}
    assert len(found) == 16
    assert found.keys() == expected.keys()
    for address, entry in found.items():
        other = expected[address]
        assert (entry.label, entry.keys, entry.mode) == (other.label, other.keys, other.mode)
        assert entry.values.raw("id") == other.values.raw("id")
        for name in ("id", "input"):
            hidden = [replace(one.values, reveal=False).is_sensitive(name) for one in (entry, other)]
            assert hidden == [name == "input" and ".inner" in address] * 2


# ---------------------------------------------------------------------- failures
@every_program
def test_failed_plan_leaves_the_state(engine: TerraformEngine, tmp_path: Path) -> None:
    """BLD-30."""
    workspace = Workspace(engine, template(tmp_path, LIFE))
    workspace.build("start")
    before = workspace.state
    (tmp_path / "template" / "more.tf").write_text('resource "terraform_data" "x" {\n  input = file("missing")\n}\n')
    with pytest.raises(EngineError, match=r"plan for stop failed: .*more\.tf:2"):
        workspace.build("stop")
    assert (workspace.saved, workspace.state) == ([], before)


BREAKING = """
resource "terraform_data" "after" {
  input = terraform_data.home.id
  lifecycle {
    postcondition {
      condition     = self.id == "never"
      error_message = "The machine does not answer."
    }
  }
}
resource "terraform_data" "last" {
  input = terraform_data.after.id
}
"""


@every_way
def test_failed_apply_saves_what_it_made(engine: TerraformEngine, tmp_path: Path) -> None:
    """BLD-31: the next build works on the partial state."""
    workspace = Workspace(engine, template(tmp_path, {"main.tf": LIFE, "more.tf": BREAKING}))
    with pytest.raises(EngineError, match=r"apply for start failed: .*more\.tf:6.*does not answer"):
        workspace.build("start")
    assert {"terraform_data.home", "terraform_data.after"} < set(workspace.addresses)
    assert "terraform_data.last" not in workspace.addresses
    assert workspace.build("delete").resources == ()
    assert workspace.addresses == []


@pytest.mark.parametrize(
    "state", [b"nonsense", b"[]", b'{"version": 4', '{"version": 4}'.encode("utf-16"), b"\xff\xfe", b"\xef\xbb\xbf{}"]
)
def test_state_that_is_no_json_object_is_refused(engine: TerraformEngine, tmp_path: Path, state: bytes) -> None:
    workspace = Workspace(engine, template(tmp_path, LIFE), state)
    for transition in ("start", "delete"):
        with pytest.raises(EngineError, match="state cannot be read: it is not a JSON object"):
            workspace.build(transition)
    assert workspace.saved == []


@pytest.mark.parametrize("state", [b"{}", b'{"version": 99, "resources": []}', b'{"resources": {"a": [1]}}'])
def test_state_of_another_form_is_refused_by_terraform(engine: TerraformEngine, tmp_path: Path, state: bytes) -> None:
    workspace = Workspace(engine, template(tmp_path, LIFE), state)
    with pytest.raises(EngineError, match="state"):
        workspace.build("start")
    assert workspace.saved == []


def test_cancel_during_the_plan_changes_nothing(engine: TerraformEngine, tmp_path: Path) -> None:
    workspace = Workspace(engine, template(tmp_path, LIFE))
    workspace.stop.set()
    with pytest.raises(Canceled):
        workspace.build("start")
    assert workspace.saved == []


@every_program
def test_cancel_after_the_apply_keeps_its_result(engine: TerraformEngine, tmp_path: Path) -> None:
    workspace = Workspace(engine, template(tmp_path, LIFE))
    save, here = workspace.save, threading.current_thread()

    def save_and_cancel(state: bytes) -> None:
        save(state)
        if threading.current_thread() is here:  # the last state, and not one of the running apply
            workspace.stop.set()

    workspace.save = save_and_cancel  # type: ignore[method-assign]
    assert machine_of(workspace.build("start"))[1] == "1"


@every_program
def test_cancel_during_the_graph_after_the_apply_keeps_its_result(
    engine: TerraformEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(engine, template(tmp_path, LIFE))
    make, canceled = Build._graph, []

    def make_late(self: Build, runner: CommandRunner) -> str:
        if not canceled:
            canceled.append(True)
            assert workspace.stop.wait(60)
            raise Canceled
        return make(self, runner)

    def cancel(self: Build, graph: "Future[str]", runner: CommandRunner) -> str:
        workspace.stop.set()
        return finished(self, graph, runner)

    finished = Build._finished
    monkeypatch.setattr(Build, "_graph", make_late)
    monkeypatch.setattr(Build, "_finished", cancel)
    assert machine_of(workspace.build("start"))[1] == "1"
