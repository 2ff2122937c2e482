"""The init script of agents, as a machine runs it: it fetches our own agent and becomes it."""

import http.server
import subprocess

import pytest

from provisioning.engine.base import Agent, BuildResult, Resource
from provisioning.engine.provider.init_scripts import ARCHITECTURES, init_script
from templates_app.agents.views.binaries import NAME
from tests.templates_app.agents.machines import SECONDS, SHELLS, Machine, path_without, shell, wait_for
from tests.templates_app.agents.test_program_apps import serving
from tests.vocabulary import wait_until

MACHINES = [(system, architecture) for system, all_of_it in ARCHITECTURES.items() for architecture in all_of_it]


def script_for(url, system="linux", architecture="amd64"):
    script = init_script(system, architecture)
    assert script is not None
    return script.replace("${ACCESS_URL}", f"{url}/").replace("${AUTH_TYPE}", "token")


@pytest.mark.parametrize(("system", "architecture"), MACHINES)
def test_every_machine_has_a_script(system, architecture):
    """Templates put it between single quotes. The program that it fetches is one that the server knows."""
    script = script_for("https://coder.example.com", system, architecture)
    assert "'" not in script
    suffix = ".exe" if system == "windows" else ""
    name = f"coder-{system}-{architecture}{suffix}"
    assert f'"https://coder.example.com/bin/{name}"' in script
    assert NAME.fullmatch(name)


@pytest.mark.parametrize(("system", "architecture"), [("linux", "386"), ("plan9", "amd64"), ("", "")])
def test_other_machines_have_none(system, architecture):
    assert init_script(system, architecture) is None


@pytest.fixture
def built(token):
    return BuildResult((Resource("dev", "vm", agents=(Agent(name="main", auth_token=token),)),))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("tool", ["curl", "wget"])
@pytest.mark.parametrize("name", list(SHELLS))
def test_a_machine_runs_it(live_api, agent, ada, token, tmp_path, name, tool):
    """As templates start it: ``sh -c``, and the token in the environment."""
    machine = Machine(tmp_path, live_api.url, token)
    del machine.environment["CODER_AGENT_URL"], machine.environment["CODER_AGENT_AUTH"]
    if tool == "wget":
        machine.environment["PATH"] = path_without(tmp_path / "bin", "curl")
    machine.command = [*shell(name), "-c", script_for(live_api.url)]
    with machine.running():
        wait_for(ada, agent, status="connected", lifecycle_state="ready")
        assert machine.stop() == 0


class Missing(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        self.send_error(404)

    def log_message(self, *_):
        pass


@pytest.mark.parametrize("name", list(SHELLS))
def test_a_server_without_a_program_is_asked_again(tmp_path, name):
    with serving(Missing, asked=[]) as server:
        machine = Machine(tmp_path, "", "")
        # Half a minute is too long for a test.
        script = script_for(f"http://127.0.0.1:{server.server_port}").replace("sleep 30", "sleep 1")
        machine.command = [*shell(name), "-c", script]
        with machine.running():
            wait_until(lambda: len(server.asked) > 2, SECONDS)
            assert machine.process.poll() is None
    assert set(server.asked) == {"/bin/coder-linux-amd64"}
    assert "trying again in 30 seconds" in machine.said().replace("in 1 seconds", "in 30 seconds")


@pytest.mark.parametrize("name", ["dash", "bash"])
def test_a_machine_without_a_tool_stays(tmp_path, name):
    """So that an administrator can look at it; here for a second instead of a day."""
    path = path_without(tmp_path / "bin", "curl", "wget")
    script = script_for("http://127.0.0.1:1").replace("sleep 86400", "sleep 1")
    command = [*shell(name), "-c", script]
    ended = subprocess.run(command, env={"PATH": path}, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert ended.returncode == 127
    assert "neither curl nor wget" in ended.stderr
    assert "stays as it is for a day" in ended.stderr
