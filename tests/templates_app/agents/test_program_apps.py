"""The health of apps, and connections to them, as our own agent sees them."""

import http.server
import json
import shutil
import socket
import threading
from contextlib import contextmanager

import pytest

from provisioning.engine.base import Agent, App, AppHealthcheck, BuildResult, Resource
from provisioning.models import WorkspaceApp
from tests.templates_app.agents.machines import SECONDS, SHELLS, Machine, path_without, shell, wait_for
from tests.vocabulary import wait_until

TOKEN = "9b2f0a52-4b0e-4d39-9d2e-0d4f6f0f7a11"


class Program(http.server.BaseHTTPRequestHandler):
    """A program of a workspace, which answers with a status that the test sets. 0: it does not answer."""

    def do_GET(self):
        self.server.asked.append(self.path)
        if not self.server.status:
            self.server.stopping.wait(SECONDS)
        self.send_response(self.server.status or 200)
        self.send_header("Location", "http://127.0.0.1:1/")
        self.end_headers()
        self.wfile.write(b"x" * 1000)

    def log_message(self, *_):
        pass


@contextmanager
def serving(handler, **facts):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.stopping = threading.Event()
        vars(server).update(facts)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.stopping.set()
            server.shutdown()
            thread.join()


@pytest.fixture
def app():
    with serving(Program, status=200, asked=[]) as server:
        yield server


@pytest.fixture
def built(token, app):
    url = f"http://127.0.0.1:{app.server_port}"
    apps = (
        App(
            slug="code",
            url=f"{url}/?a=$(touch pwned)",
            healthcheck=AppHealthcheck(f"{url}/healthz?a=$HOME;`b`'&[1-3]", 1, 1),
        ),
        App(slug="file", healthcheck=AppHealthcheck("file:///etc/passwd", 1, 1)),
        App(slug="option", healthcheck=AppHealthcheck("--output=pwned", 1, 1)),
        App(slug="quote", healthcheck=AppHealthcheck(f'{url}/"\noutput = "pwned', 1, 1)),
        App(slug="unchecked", url=url),
        App(slug="never", healthcheck=AppHealthcheck(url, 0, 1)),
    )
    return BuildResult((Resource("dev", "vm", agents=(Agent(name="main", auth_token=token, apps=apps),)),))


@pytest.fixture(params=list(SHELLS))
def command(request):
    return shell(request.param)


# The programs that send requests do so in the same way in every shell.
TOOLS = [("dash", "curl"), ("bash", "curl"), ("busybox", "curl"), ("dash", "wget"), ("bash", "busybox")]


def healths():
    return dict(WorkspaceApp.objects.values_list("slug", "health"))


def wait_for_health(slug, health):
    wait_until(lambda: healths()[slug] == health, SECONDS, f"{slug} to be {health}")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("name", "tool"), TOOLS)
def test_health(live_api, agent, ada, token, tmp_path, name, app, tool):
    """RAG-03: any status below 500 is healthy; odd addresses are never options or files, and nothing in them is run."""
    machine = Machine(tmp_path, live_api.url, token, command=shell(name), CODER_AGENT_VISIBLE_TOKEN="true")
    if tool == "busybox" and not shutil.which("busybox"):
        pytest.skip("busybox is not installed")
    if tool != "curl":
        instead = {"wget": shutil.which("busybox")} if tool == "busybox" else {}
        missing = ("curl", "wget") if tool == "busybox" else ("curl",)
        machine.environment["PATH"] = path_without(tmp_path / "bin", *missing, instead=instead)
    if tool != "busybox":  # whose wget knows no exceptions, so it does not reach the server
        # Programs of the machine are asked without a proxy, whatever the exceptions are.
        machine.environment |= {"http_proxy": "http://127.0.0.1:1", "no_proxy": "localhost"}
        machine.environment["CODER_AGENT_URL"] = live_api.url.replace("127.0.0.1", "localhost")
    with machine.running():
        wait_for(ada, agent, status="connected")
        for status, health in (
            (200, "healthy"),
            (500, "unhealthy"),
            (404, "healthy"),
            (0, "unhealthy"),
            (302, "healthy"),
        ):
            app.status = status
            wait_for_health("code", health)
        for slug in ("file", "option", "quote"):
            wait_for_health(slug, "unhealthy")
        assert {slug: healths()[slug] for slug in ("unchecked", "never")} == {
            "unchecked": "disabled",
            "never": "initializing",
        }
        assert machine.stop() == 0
    assert machine.files() == {}
    assert {path for path in app.asked if "healthz" in path} == set(app.asked)


# ---------------------------------------------------------------------- what is sent
class Recorder(http.server.BaseHTTPRequestHandler):
    """Plays the server: answers what the agent needs, and records what it sends."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer(200, self.server.manifest)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = self.path.rpartition("/")[2]
        self.server.sent.append((name, body))
        if name == "presence" and "is_leaving" not in body:
            self.server.stopping.wait(1)
        if name == "report-lifecycle":
            self.answer(204, None)
        else:
            self.answer(200, {"report_interval": 10**10} if name == "report-stats" else {})

    def answer(self, status, body):
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        if data:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


def sent(server, name):
    return [body for found, body in server.sent if found == name]


def running(folder, server, command):
    """Run the agent of a machine that knows this server."""
    return Machine(folder, f"http://127.0.0.1:{server.server_port}", TOKEN, command=command).running()


def test_connections_to_apps_are_counted(tmp_path, command, app):
    """Of local apps, as the kernel shows them. Their traffic is not known, so it is reported as none."""
    manifest = {"apps": [{"id": "1", "url": f"http://localhost:{app.server_port}/x", "healthcheck": {}}]}
    with (
        serving(Recorder, sent=[], manifest=manifest) as server,
        socket.create_connection(app.server_address),
        running(tmp_path, server, command) as machine,
    ):
        wait_until(lambda: sent(server, "report-stats"), SECONDS)
        assert machine.stop() == 0
    report = sent(server, "report-stats")[0]
    assert report == {
        "conns_by_proto": {"TCP": 1},
        "num_comms": 1,
        "rx_packets": 0,
        "rx_bytes": 0,
        "tx_packets": 0,
        "tx_bytes": 0,
    }


@pytest.mark.parametrize(
    "manifest",
    [
        {},
        [],
        {"apps": None, "startup_script": None},
        {
            "apps": [
                {
                    "id": "x$(touch pwned)",
                    "url": None,
                    "healthcheck": {"url": "http://127.0.0.1:1", "interval": 1, "threshold": 1},
                }
            ]
        },
        {
            "apps": [
                {"id": "1", "healthcheck": {"url": "http://127.0.0.1:1", "interval": "1; touch pwned", "threshold": -1}}
            ]
        },
        {"startup_script": "echo x", "startup_script_timeout": "$(touch pwned)"},
        {"startup_script": "echo x", "startup_script_timeout": 2**80},
        {"startup_script": "echo x", "startup_script_timeout": -1},
        {"startup_script": "echo x", "environment_variables": {"a\tb": "x", "a\nstartup_script\ttouch pwned": "y"}},
    ],
    ids=range(9),
)
def test_manifests_that_are_odd(tmp_path, command, manifest):
    with serving(Recorder, sent=[], manifest=manifest) as server, running(tmp_path, server, command) as machine:
        wait_until(lambda: {"state": "ready"} in sent(server, "report-lifecycle"), SECONDS)
        wait_until(lambda: sent(server, "presence"), SECONDS)
        assert machine.stop() == 0
    assert {"state": "start_timeout"} not in sent(server, "report-lifecycle")
    assert set(machine.files()) <= {"tmp/coder-startup-script.log"}


class Refusing(Recorder):
    """Answers with texts that are no manifest."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.text)))
        self.end_headers()
        self.wfile.write(self.server.text)


@pytest.mark.parametrize("text", [b"", b"<html>", b'{"startup_script": "touch pwned\\c"}', b'{"startup_script": "x'])
def test_answers_that_are_no_manifest(tmp_path, command, text):
    """The agent says so and tries again, and runs nothing."""
    with serving(Refusing, sent=[], text=text) as server, running(tmp_path, server, command) as machine:
        wait_until(lambda: "not JSON" in machine.said(), SECONDS)
        wait_until(lambda: len(sent(server, "version")) > 2, SECONDS)
        assert machine.stop() == 0
    assert machine.said().count("not JSON") == 1
    assert machine.files() == {}
