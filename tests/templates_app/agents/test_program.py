"""Our own agent as a process, in several shells: it registers, stays connected and stops."""

import os
import shutil
import signal
from urllib.parse import urlsplit

import pytest

from coderproj.web.server import Server
from provisioning.engine.base import Agent, BuildResult, Resource
from provisioning.models import WorkspaceAgent
from templates_app.agents.coordination import polls
from tests.templates_app.agents.machines import SECONDS, SHELLS, Machine, path_without, shell, shown, wait_for
from tests.templates_app.workspaces.lives import build, finish_build
from tests.vocabulary import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def built(token):
    agent = Agent(name="main", auth_token=token, startup_script="echo hello")
    return BuildResult((Resource("dev", "vm", agents=(agent,)),))


@pytest.fixture(params=list(SHELLS))
def command(request):
    return shell(request.param)


@pytest.fixture
def machine(live_api, agent, token, tmp_path, command):
    return Machine(tmp_path, live_api.url, token, command=command)


@pytest.fixture
def short_polls(monkeypatch):
    """Requests that the server answers soon, and little time between them."""
    monkeypatch.setattr(polls, "POLL_SECONDS", 0.5)
    monkeypatch.setattr(polls, "GAP_SECONDS", 4.0)


def test_registers_and_stops(machine, ada, agent, settings):
    """RAG-06 with our own agent."""
    with machine.running():
        wait_for(ada, agent, status="connected", lifecycle_state="ready", version=settings.BUILD_VERSION)
        assert machine.stop() == 0
        wait_for(ada, agent, status="disconnected")
        wait_until(lambda: not machine.processes(), SECONDS, "the end of all processes")
    assert machine.said().endswith("stopped\n")


@pytest.mark.parametrize("tool", ["curl", "wget"])
def test_the_token_is_neither_in_command_lines_nor_on_disk(machine, ada, agent, token, tool):
    """The init script gets it by the environment, which only the same user can read."""
    if tool == "wget" and "busybox" in machine.command[0]:
        pytest.skip("this busybox runs its own wget, whatever PATH says")
    machine.environment["PATH"] = path_without(machine.folder / "bin", *({"curl", "wget"} - {tool}))
    seen: list[list[str]] = []

    def looked_until(**fields):
        seen.extend(machine.processes().values())
        return fields.items() <= shown(ada, agent).items()

    with machine.running():
        wait_until(lambda: looked_until(status="connected", lifecycle_state="ready"), SECONDS)
        wait_until(lambda: looked_until() and any(one[0].endswith(tool) for one in seen if one), SECONDS)
        assert not any(token in argument for command in seen for argument in command)
        assert machine.files() == {"tmp/coder-startup-script.log": b"hello\n"}
        assert machine.stop() == 0


def test_the_wget_of_busybox_needs_consent(machine, ada, agent, token):
    """It takes headers on its command line only."""
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("busybox is not installed")
    machine.environment["PATH"] = path_without(machine.folder / "bin", "curl", "wget", instead={"wget": busybox})
    with machine.running():
        assert machine.process.wait(SECONDS) == 1
    assert "CODER_AGENT_VISIBLE_TOKEN=true" in machine.said()
    machine.environment["CODER_AGENT_VISIBLE_TOKEN"] = "true"
    with machine.running():
        wait_for(ada, agent, status="connected", lifecycle_state="ready")
        assert machine.stop() == 0


def test_survives_a_restart_of_the_server(agent, ada, token, tmp_path, command):
    """RAG-07: the agent comes back, and the state of its startup script is kept."""
    first = Server()
    port = urlsplit(first.url).port
    with first.in_thread():
        machine = Machine(tmp_path, first.url, token, command=command)
        machine.start()
        try:
            wait_for(ada, agent, status="connected", lifecycle_state="ready")
        except BaseException:
            machine.kill()
            raise
    try:
        wait_for(ada, agent, status="disconnected")
        wait_until(lambda: "does not answer" in machine.said(), SECONDS, "the agent to notice")
        with Server(port=port).in_thread():
            wait_for(ada, agent, status="connected", lifecycle_state="ready")
            assert machine.stop() == 0
    finally:
        machine.kill()
    assert machine.said().count("the workspace is ready") == 1
    assert machine.files() == {"tmp/coder-startup-script.log": b"hello\n"}


def test_a_new_build_ends_the_connection(machine, ada, agent, workspace, built):
    """RAG-08: 403 while the newer build waits, 401 once it ran; the old agent keeps trying, and says why."""
    with machine.running():
        wait_for(ada, agent, status="connected")
        build(ada, workspace, "stop")
        wait_for(ada, agent, status="disconnected")
        finish_build()
        wait_until(lambda: "status 401" in machine.said(), SECONDS, "the refusal")
        assert machine.process.poll() is None
        assert machine.stop() == 0
    assert "the workspace was stopped, built again or deleted" not in machine.said()


@pytest.mark.usefixtures("short_polls")
def test_a_machine_that_hangs_is_disconnected_and_comes_back(machine, ada, agent):
    with machine.running():
        wait_for(ada, agent, status="connected")
        os.killpg(machine.process.pid, signal.SIGSTOP)
        wait_for(ada, agent, status="disconnected")
        os.killpg(machine.process.pid, signal.SIGCONT)
        wait_for(ada, agent, status="connected")


@pytest.mark.usefixtures("short_polls")
def test_an_agent_that_is_killed_leaves_nothing_behind(machine, ada, agent):
    """Its helpers notice, and the connection ends with the last request."""
    with machine.running():
        wait_for(ada, agent, status="connected", lifecycle_state="ready")
        machine.process.kill()
        wait_for(ada, agent, status="disconnected")


@pytest.mark.usefixtures("short_polls", "without_renewals")
def test_requests_that_follow_one_another_write_nothing(machine, ada, agent, monkeypatch):
    monkeypatch.setattr(polls, "GAP_SECONDS", 60.0)
    with machine.running():
        wait_for(ada, agent, status="connected", lifecycle_state="ready")
        before = WorkspaceAgent.objects.values().get()
        asked: set[int] = set()

        def has_asked_often():
            asked.update(polling(machine))
            return len(asked) > 3

        wait_until(has_asked_often, SECONDS, "several requests")
        assert WorkspaceAgent.objects.values().get() == before
        assert machine.stop() == 0


def polling(machine):
    """Return the processes that hold a request to be connected."""
    return {number for number, command in machine.processes().items() if any("session" in part for part in command)}


# ---------------------------------------------------------------------- settings
@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"CODER_AGENT_URL": ""}, "CODER_AGENT_URL is not set"),
        ({"CODER_AGENT_URL": "ftp://a.example"}, "must begin with http"),
        ({"CODER_AGENT_URL": "http://ada:secret@a.example"}, "without quotes, spaces and passwords"),
        ({"CODER_AGENT_URL": 'http://a.example"\nheader = "x: y'}, "without quotes, spaces and passwords"),
        ({"CODER_AGENT_TOKEN": ""}, "CODER_AGENT_TOKEN is not set"),
        ({"CODER_AGENT_TOKEN": 'x"\nurl = "http://evil.example'}, "is not the token of an agent"),
        ({"CODER_AGENT_AUTH": "aws-instance-identity"}, "aws-instance-identity"),
        ({"PATH": "/nonexistent"}, "this machine does not have"),
    ],
)
def test_settings_that_are_wrong(command, tmp_path, variables, said):
    machine = Machine(tmp_path, "http://127.0.0.1:9", "9b2f0a52-4b0e-4d39-9d2e-0d4f6f0f7a11", command=command)
    machine.environment |= variables
    with machine.running():
        assert machine.process.wait(SECONDS) in {1, 127}
    assert said in machine.said()
    assert len(machine.said().splitlines()) <= 2


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["version"], 0, "coder agent v"),
        (["--version"], 0, "coder agent v"),
        ([], 2, "usage"),
        (["gitssh", "--", "host"], 2, "no other commands"),
        (["agent", "--nonsense"], 2, "unknown argument --nonsense"),
        (["agent", "--agent-url"], 2, "needs an address"),
    ],
)
def test_arguments(command, tmp_path, arguments, status, said):
    machine = Machine(tmp_path, "http://127.0.0.1:9", "9b2f0a52-4b0e-4d39-9d2e-0d4f6f0f7a11", command=command)
    machine.command[-1:] = arguments
    with machine.running():
        assert machine.process.wait(SECONDS) == status
    assert said in machine.said()
