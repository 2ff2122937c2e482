"""A job with a misbehaving Terraform executable ends with a reason and leaves no process."""

import json
import threading
import time
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest

from provisioning.engine.base import Canceled, EngineError, LogLevel, PlanInput, Stage
from provisioning.engine.terraform import EngineSettings, TerraformEngine, TerraformNotFoundError

from .recording import SHELL_PATHS, Recorder, scripted_terraform, template
from .test_command import is_alive, wait_for

EMPTY = 'show) echo "{}" ;;\ngraph) echo "digraph {}" ;;\n'


def engine(directory: Path, cases: str, **limits: float) -> TerraformEngine:
    settings = EngineSettings(
        binary=str(scripted_terraform(directory, cases + EMPTY)), network=False, read_only_paths=SHELL_PATHS
    )
    return TerraformEngine(replace(settings, limits=replace(settings.limits, **limits)))  # type: ignore[arg-type]


def plan(terraform: TerraformEngine, tmp_path: Path, log: Recorder | None = None, stop: Event | None = None) -> None:
    root = template(tmp_path, 'output "x" { value = 1 }')
    terraform.plan_import(root, PlanInput(), log=log or Recorder(), stop=stop or Event())


@pytest.mark.parametrize(
    "cases",
    [
        "plan) sleep 60 ;;\n",
        "plan) trap '' INT; echo $$ >> pids; while :; do sleep 0.05; done ;;\n",
        "plan) while :; do echo line; done ;;\n",
        "plan) ;;\nshow) sleep 60 ;;\n",
        "plan) ;;\ngraph) sleep 60 ;;\n",
    ],
)
def test_a_canceled_job_ends_quickly(tmp_path: Path, cases: str) -> None:
    stop = Event()
    terraform = engine(tmp_path, cases)
    threading.Timer(0.4, stop.set).start()
    started = time.monotonic()
    with pytest.raises(Canceled):
        plan(terraform, tmp_path, stop=stop)
    assert time.monotonic() - started < 5
    pids = tmp_path / "template" / "pids"
    if pids.exists():
        for pid in pids.read_text().split():
            assert wait_for(lambda pid=pid: not is_alive(int(pid)))


def test_a_job_canceled_before_its_start_does_not_wait_for_commands(tmp_path: Path) -> None:
    stop = Event()
    stop.set()
    with pytest.raises(Canceled):
        plan(engine(tmp_path, "plan) sleep 60 ;;\n"), tmp_path, stop=stop)


def test_a_job_ends_at_its_wall_clock_limit(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="terraform plan was stopped: it took too long"):
        plan(engine(tmp_path, "plan) sleep 60 ;;\n", wall_seconds=0.4), tmp_path)


def test_a_job_ends_at_its_output_limit(tmp_path: Path) -> None:
    log = Recorder()
    with pytest.raises(EngineError, match="terraform plan was stopped: it wrote more than 200000 bytes"):
        plan(engine(tmp_path, "plan) yes ;;\n", output_bytes=200_000), tmp_path, log)
    assert 0 < len(log.lines) <= 100_001


def test_a_job_ends_if_its_plan_exceeds_the_output_limit(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="terraform show was stopped: it wrote more than"):
        plan(engine(tmp_path, "plan) ;;\nshow) yes ;;\n", output_bytes=1_000_000), tmp_path)


def test_a_long_line_is_one_line_of_the_log(tmp_path: Path) -> None:
    log = Recorder()
    plan(engine(tmp_path, "plan) printf '%0200000d' 1 ;;\n"), tmp_path, log)
    assert [len(output) for output in log.outputs(Stage.PERSISTENT)] == [0, 200_000]


def test_control_characters_are_removed_from_output(tmp_path: Path) -> None:
    log = Recorder()
    plan(engine(tmp_path, "plan) printf '\\033[31mred\\033[0m\\000\\377\\n{\"@level\":\\n' ;;\n"), tmp_path, log)
    assert log.outputs(Stage.PERSISTENT) == ["", "red\ufffd", '{"@level":']


@pytest.mark.parametrize(
    ("cases", "text"),
    [
        ("plan) exit 1 ;;\n", "plan for start failed: exit status 1"),
        ("plan) echo broken >&2; exit 9 ;;\n", "plan for start failed: exit status 9: broken"),
        ("plan) kill -SEGV $$ ;;\n", "plan for start failed: killed by SIGSEGV"),
        (
            "plan) kill -KILL $$ ;;\n",
            "plan for start failed: it was killed, probably because the machine ran out of memory",
        ),
        (
            "plan) echo 'fatal error: runtime: out of memory' >&2; exit 2 ;;\n",
            "plan for start failed: it ran out of memory (4096 MiB)",
        ),
        ("plan) ;;\nshow) echo no JSON ;;\n", "the plan for start cannot be read: JSONDecodeError"),
        ("plan) ;;\nshow) echo '[]' ;;\n", "the plan for start cannot be read: it is not an object"),
        ("plan) ;;\nshow) echo why >&2; exit 1 ;;\n", "the plan for start cannot be read: why"),
        ("plan) ;;\ngraph) exit 1 ;;\n", "the dependency graph cannot be created: exit status 1"),
    ],
)
def test_failures_report_their_reason(tmp_path: Path, cases: str, text: str) -> None:
    with pytest.raises(EngineError) as caught:
        plan(engine(tmp_path, cases), tmp_path)
    assert str(caught.value) == text


def test_a_failed_start_plan_does_not_wait_for_the_stop_plan(tmp_path: Path) -> None:
    error = json.dumps(
        {"@level": "error", "@message": "Error: no", "diagnostic": {"severity": "error", "summary": "no"}}
    )
    cases = f"plan) case \"$*\" in *start.tfplan*) echo '{error}'; exit 1 ;; *) sleep 60 ;; esac ;;\n"
    log = Recorder()
    started = time.monotonic()
    with pytest.raises(EngineError, match=r"^plan for start failed: no$"):
        plan(engine(tmp_path, cases), tmp_path, log)
    assert time.monotonic() - started < 30
    assert log.lines[-1] == (LogLevel.ERROR, Stage.PERSISTENT, "Error: no")


def test_lines_of_the_stop_plan_stream_after_the_start_plan(tmp_path: Path) -> None:
    cases = 'plan) case "$*" in *stop.tfplan*) echo early; sleep 1; echo late ;; *) echo start ;; esac ;;\n'
    seen: list[tuple[str, float]] = []
    root = template(tmp_path, 'output "x" { value = 1 }')
    engine(tmp_path, cases).plan_import(
        root,
        PlanInput(),
        log=lambda level, stage, output: seen.append((output, time.monotonic())),
        stop=Event(),
    )
    assert [output for output, _ in seen] == ["", "start", "", "early", "late"]
    assert seen[4][1] - seen[3][1] > 0.5


def test_without_terraform_parse_works_and_the_plan_fails(tmp_path: Path) -> None:
    terraform = TerraformEngine(EngineSettings(binary=str(tmp_path / "none")))
    root = template(tmp_path, 'variable "a" {}')
    assert [variable.name for variable in terraform.parse(root, log=Recorder())] == ["a"]
    with pytest.raises(TerraformNotFoundError):
        terraform.plan_import(root, PlanInput(), log=Recorder(), stop=Event())


def test_without_a_sandbox_the_job_and_the_daemon_log_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = Recorder()
    settings = EngineSettings(
        binary=str(scripted_terraform(tmp_path, f'plan) echo "{{}}" ;;\n{EMPTY}')), network=False, sandbox="off"
    )
    plan(TerraformEngine(settings), tmp_path, log)
    assert log.outputs(Stage.PERSISTENT, LogLevel.WARN) == ["templates are evaluated without a sandbox"]
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "WITHOUT a sandbox" in record.message
