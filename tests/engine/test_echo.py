"""The scripted engine runs its script, and stops on request."""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from threading import Event

import pytest

from provisioning.engine.base import (
    BuildInput,
    Canceled,
    EngineError,
    ImportResult,
    LogLevel,
    ParameterSchema,
    ParameterValue,
    PlanInput,
    PlanResult,
    Resource,
    RichParameter,
    Stage,
    Transition,
    WorkspaceContext,
)
from provisioning.engine.echo import CRASH_STATUS, INVENTORY, EchoEngine


class Recorder:
    """A log that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[tuple[LogLevel, str, str]] = []

    def __call__(self, level: LogLevel, stage: str, output: str) -> None:
        self.lines.append((level, stage, output))


def write(directory: Path, script: object) -> Path:
    (directory / "echo.json").write_text(json.dumps(script))
    return directory


def test_parse_returns_the_variables_and_writes_the_log(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "parse": {
                "variables": [{"name": "region", "sensitive": True}],
                "logs": [["debug", "Reading", "one"]],
            }
        },
    )
    log = Recorder()
    assert EchoEngine().parse(tmp_path, log=log) == (ParameterSchema(name="region", sensitive=True),)
    assert log.lines == [(LogLevel.DEBUG, "Reading", "one")]


def test_parse_fails_with_the_scripts_text(tmp_path: Path) -> None:
    write(tmp_path, {"parse": {"error": "no such thing"}})
    with pytest.raises(EngineError, match=r"^no such thing$"):
        EchoEngine().parse(tmp_path, log=Recorder())


def test_an_import_has_both_results(tmp_path: Path) -> None:
    agent = {"name": "main", "operating_system": "linux", "apps": [{"slug": "code"}]}
    write(
        tmp_path,
        {
            "plan": {
                "start": {
                    "resources": [{"name": "dev", "type": "vm", "agents": [agent]}],
                    "rich_parameters": [{"name": "size", "options": [{"name": "S", "value": "s"}]}],
                },
                "stop": {"resources": [{"name": "home", "type": "volume"}]},
                "unverified_providers": ["registry.terraform.io/a/b"],
                "lines": 2,
            }
        },
    )
    log = Recorder()
    result = EchoEngine().plan_import(tmp_path, PlanInput(), log=log, stop=Event())
    assert isinstance(result, ImportResult)
    assert result.start.resources[0].agents[0].apps[0].slug == "code"
    assert result.start.rich_parameters[0].options[0].value == "s"
    assert result.stop == PlanResult(resources=(Resource(name="home", type="volume"),))
    assert result.unverified_providers == ("registry.terraform.io/a/b",)
    assert log.lines == [
        (LogLevel.INFO, Stage.PERSISTENT, "line 1"),
        (LogLevel.INFO, Stage.PERSISTENT, "line 2"),
    ]


@pytest.mark.parametrize(
    ("transition", "name"), [(Transition.START, "a"), (Transition.STOP, "b"), (Transition.DELETE, "b")]
)
def test_a_dry_run_has_the_result_of_its_transition(tmp_path: Path, transition: Transition, name: str) -> None:
    write(
        tmp_path,
        {"plan": {key: {"rich_parameters": [{"name": n}]} for key, n in (("start", "a"), ("stop", "b"))}},
    )
    context = WorkspaceContext(transition=transition)
    result = EchoEngine().plan(tmp_path, PlanInput(context), log=Recorder(), stop=Event())
    assert result.rich_parameters == (RichParameter(name=name),)


@pytest.mark.parametrize(
    ("value", "error"), [("error=requested failure", "requested failure"), ("success=", None), ("nothing", None)]
)
def test_a_parameter_can_make_the_plan_fail(tmp_path: Path, value: str, error: str | None) -> None:
    write(tmp_path, {})
    plan_input = PlanInput(parameter_values=(ParameterValue("echo.exec", value),))
    if error is None:
        EchoEngine().plan_import(tmp_path, plan_input, log=Recorder(), stop=Event())
        return
    with pytest.raises(EngineError, match=error):
        EchoEngine().plan_import(tmp_path, plan_input, log=Recorder(), stop=Event())


@pytest.mark.parametrize("script", [{"plan": {"hang": True}}, {"plan": {"sleep": 30}}])
def test_waiting_ends_immediately_on_cancellation(tmp_path: Path, script: object) -> None:
    write(tmp_path, script)
    stop = Event()
    threading.Timer(0.1, stop.set).start()
    started = time.monotonic()
    with pytest.raises(Canceled):
        EchoEngine().plan_import(tmp_path, PlanInput(), log=Recorder(), stop=stop)
    assert time.monotonic() - started < 10


def test_a_script_can_ignore_cancellation(tmp_path: Path) -> None:
    write(tmp_path, {"plan": {"sleep": 0.2, "ignore_stop": True, "lines": 3}})
    stop = Event()
    stop.set()
    log = Recorder()
    EchoEngine().plan_import(tmp_path, PlanInput(), log=log, stop=stop)
    assert len(log.lines) == 3


def test_a_crash_ends_the_process(tmp_path: Path) -> None:
    write(tmp_path, {"plan": {"crash": True}})
    code = (
        "import sys; from pathlib import Path; from threading import Event\n"
        "from provisioning.engine.base import PlanInput; from provisioning.engine.echo import EchoEngine\n"
        "EchoEngine().plan_import(Path(sys.argv[1]), PlanInput(), log=print, stop=Event())"
    )
    assert subprocess.run([sys.executable, "-c", code, tmp_path], check=False).returncode == CRASH_STATUS


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "echo.json cannot be read"),
        ("{", "echo.json: "),
        ('{"plan": {"lines": "many"}}', "lines"),
        ('{"plan": {"logs": [["loud", "stage", "text"]]}}', "logs"),
    ],
)
def test_an_invalid_script_is_an_error(tmp_path: Path, content: str | None, text: str) -> None:
    if content is not None:
        (tmp_path / "echo.json").write_text(content)
    with pytest.raises(EngineError, match=text):
        EchoEngine().plan_import(tmp_path, PlanInput(), log=Recorder(), stop=Event())


def build(directory: Path, state: bytes = b"") -> list[bytes]:
    """Run a build that makes a thing; return the states."""
    states: list[bytes] = []
    EchoEngine().build(
        directory, BuildInput(PlanInput(), state), log=Recorder(), stop=Event(), save_state=states.append
    )
    return states


def test_archive_cannot_name_a_file_to_write(tmp_path: Path) -> None:
    target = tmp_path / "target"
    build(write(tmp_path, {"apply": {"steps": 1, "inventory": str(target)}}))
    assert not target.exists()


@pytest.mark.parametrize("things", [["a"], [{"a": 1}], [1], "text", ["../../x\ny"]])
def test_inventory_has_only_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, things: object) -> None:
    inventory = tmp_path / "inventory"
    monkeypatch.setenv(INVENTORY, str(inventory))
    directory = write(tmp_path, {"apply": {"steps": 1}})
    with pytest.raises(EngineError, match="the workspace's state is invalid"):
        build(directory, json.dumps({"things": things}).encode())
    assert not inventory.exists()
    (made,) = json.loads(build(directory)[-1])["things"]
    assert inventory.read_text().split()[0] == f"+{made}"
