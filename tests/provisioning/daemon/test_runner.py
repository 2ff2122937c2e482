"""The runner, its messages, and the spare runners."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from provisioning.daemon import messages, settings
from provisioning.daemon.children import Children
from provisioning.daemon.configuration import job_environment
from provisioning.daemon.process import RunnerProcess, Spares
from provisioning.engine.base import (
    BuildInput,
    ImportResult,
    LogLevel,
    LogLine,
    LogSource,
    PlanInput,
    PlanResult,
    Resource,
)
from provisioning.engine.echo import INVENTORY
from templates_app.job_kinds import JobType
from templates_app.workspaces.job_kinds import BUILD_TYPE
from tests.vocabulary import echo, parent_of, tar_of, wait_until

ENVIRONMENT = job_environment(os.environ, [])
PREPARE = messages.Prepare(("echo",), {}, settings.JOB_KINDS)


@pytest.fixture
def inventory(tmp_path):
    return tmp_path / "inventory"


@pytest.fixture
def process(inventory):
    children = Children(ENVIRONMENT | {INVENTORY: str(inventory)}, PREPARE)
    process = RunnerProcess(children, PREPARE)
    yield process
    process.end()
    assert not process.directory.exists()
    children.close()


def start(process, source, *, job_type=JobType.IMPORT, provisioner="echo", payload=None):
    archive = process.directory / "source.tar"
    archive.write_bytes(tar_of(source))
    directory = process.directory / "template"
    process.send(messages.Start(job_type, provisioner, archive, directory, messages.raw(payload or PlanInput())))


def events_until(process, *kinds):
    """Return all events up to the first of one of these types."""
    events = []
    while not events or not isinstance(events[-1], kinds):
        more = process.events(10)
        assert more, "the process says nothing more"
        events += more
    return events


def test_a_runner_imports_no_django():
    program = (
        "import sys, provisioning.daemon.fork_server\n"
        f"from provisioning.protocol import kinds; kinds.load({settings.JOB_KINDS!r})\n"
        "sys.exit('django' in sys.modules or 'psycopg' in sys.modules)"
    )
    root = Path(__file__).resolve().parents[3]
    assert subprocess.run((sys.executable, "-c", program), cwd=root, check=False).returncode == 0


def test_build_notices_an_interrupt_although_its_daemon_reads_nothing(process, inventory):
    apply = {"steps": 2000, "step_seconds": 0.005}
    source = {"echo.json": json.dumps({"plan": {"lines": 5000}, "apply": apply})}
    start(process, source, job_type=BUILD_TYPE, payload=BuildInput(PlanInput()))
    wait_until(lambda: inventory.exists() and len(inventory.read_text().splitlines()) > 20)
    process.send(messages.Cancel())
    time.sleep(0.5)
    made = len(inventory.read_text().splitlines())
    time.sleep(0.2)
    assert len(inventory.read_text().splitlines()) == made < 1000
    events = events_until(process, messages.Interrupted)
    states = [event.state for event in events if isinstance(event, messages.StateFound)]
    assert len(json.loads(states[-1])["things"]) == made


def test_messages_are_decoded_as_they_were_encoded():
    line = LogLine(LogSource.ENGINE, LogLevel.WARN, "Stage", "a\nb \N{SNOWMAN}", 1.5)
    result = ImportResult(PlanResult((Resource("dev", "vm"),)), PlanResult(), ("registry.terraform.io/x/y",))
    for event in (
        messages.Logged(line),
        messages.Finished(messages.raw(result)),
        messages.Failed("no"),
        messages.Interrupted(),
    ):
        encoded = messages.encode(event)
        assert encoded.count(b"\n") == 1
        assert messages.decode_event(encoded) == event
    order = messages.Start(JobType.IMPORT, "echo", Path("/a b"), Path("/c"), messages.raw(PlanInput()))
    assert messages.decode_order(messages.encode(order)) == order


@pytest.mark.parametrize("line", [b"", b"{}", b"[" * 100_000, b'{"is":"Other"}', b'{"is":"Failed"}', b"\xff"])
def test_invalid_messages_are_rejected(line):
    with pytest.raises(messages.Unreadable):
        messages.decode_event(line)


def test_an_import_waits_for_its_values(process):
    start(process, echo(parse={"variables": [{"name": "region"}]}))
    assert events_until(process, messages.SchemasFound)[-1].schemas[0].name == "region"
    process.send(messages.Values(()))
    assert events_until(process, messages.Failed)[-1] == messages.Failed("missing parameter: region")


def test_an_unknown_engine_fails_the_job(process):
    start(process, echo(), provisioner="pulumi")
    assert events_until(process, messages.Failed)[-1].error == "this daemon has no provisioner 'pulumi'"


def test_a_cancel_interrupts_the_wait_for_values(process):
    start(process, echo())
    events_until(process, messages.SchemasFound)
    assert process.interrupt()
    assert isinstance(events_until(process, messages.Failed, messages.Interrupted)[-1], messages.Interrupted)


def test_an_invalid_message_from_a_runner_is_rejected(process):
    os.kill(process.pid, signal.SIGKILL)
    assert process.exit_reason() == "signal 9: possibly out of memory"
    assert process.events(5) is None


def test_kill_ends_children_in_separate_sessions(process):
    start(process, echo({"hang": True, "ignore_stop": True}), job_type=JobType.DRY_RUN)
    events_until(process, messages.Logged)
    child = subprocess.Popen(("sleep", "60"), cwd=process.directory, start_new_session=True)
    process.kill()
    process.end()
    assert child.wait(5) == -signal.SIGKILL


def test_runners_are_forked_by_the_fork_server_and_reaped_after_their_end():
    children = Children(ENVIRONMENT, PREPARE)
    first, second = RunnerProcess(children, PREPARE), RunnerProcess(children, PREPARE)
    assert parent_of(first.pid) == parent_of(second.pid) != os.getpid()
    assert os.getpgid(first.pid) == first.pid
    os.kill(first.pid, signal.SIGKILL)
    wait_until(lambda: not first.is_alive)
    assert Path(f"/proc/{first.pid}").exists(), "its pid is nobody else's"
    first.end()
    wait_until(lambda: not Path(f"/proc/{first.pid}").exists())
    os.kill(parent_of(second.pid), signal.SIGKILL)
    wait_until(lambda: not second.is_alive)
    second.end()
    third = RunnerProcess(children, PREPARE)
    assert third.is_alive
    third.end()
    children.close()


def test_used_and_dead_spares_are_replaced():
    children = Children(ENVIRONMENT, PREPARE)
    spares = Spares(1, lambda: RunnerProcess(children, PREPARE))
    spares.start()
    first = spares.take(lambda: False)
    wait_until(lambda: spares._ready)
    os.kill(spares._ready[0].pid, signal.SIGKILL)
    wait_until(lambda: not spares._ready[0].is_alive)
    second = spares.take(lambda: False)
    assert first.is_alive
    assert second.is_alive
    assert spares.take(lambda: True) is None
    spares.close()
    first.end()
    second.end()
    children.close()


def test_runners_do_not_inherit_secrets_of_the_daemon():
    environment = {"PATH": "/bin", "DATABASE_URL": "x", "CODERPROJ_SECRET_KEY": "x", "AWS_REGION": "eu"}
    found = job_environment(environment, ["AWS_REGION"])
    assert {"PATH", "AWS_REGION"} <= set(found)
    assert not {"DATABASE_URL", "CODERPROJ_SECRET_KEY"} & set(found)
