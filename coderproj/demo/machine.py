"""The machine of a workspace, played by processes on this one: the agent's init script, and a program for its app."""

import contextlib
import http.server
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from coderproj.base.terminal import TerminalOutput
from coderproj.demo.api import Api
from coderproj.demo.errors import DemoFailedError

# The resource of the starter that is the machine, and its agent.
RESOURCE, AGENT = ("terraform_data", "machine"), "main"
# Seconds for the agent to reach each state. It needs less than one.
PATIENCE = 60.0
STOP_SECONDS = 15.0
NEEDED = ("sh", "awk")
FETCHERS = ("curl", "wget")


class Program(http.server.BaseHTTPRequestHandler):
    """An app on the machine."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


def run(api: Api, show: TerminalOutput, build: str) -> None:
    """Play the machine of a build that has started: show how its agent connects, becomes ready, reports its app as
    healthy, and disconnects when the machine stops. Raises DemoFailedError and ApiError.

    Shows a note instead if this machine has no program to fetch the agent.
    """
    if not all(map(shutil.which, NEEDED)) or not any(map(shutil.which, FETCHERS)):
        show.console.print("This machine has no curl or wget, with which a machine fetches the agent: not shown.")
        return
    agent = _agent_of(api, build)
    script, token = _given_to_machine(api, build)
    health = next((app["healthcheck"]["url"] for app in agent["apps"] if app["healthcheck"]["url"]), "")
    states = _States(api, show, agent["id"])
    show.console.print(f"Play the machine: run the init script of agent {AGENT}")
    states.wait("connecting", lambda found: found["status"] == "connecting")
    with _app(show, health) as has_app, _machine(_for_server(script, api.url), token) as (process, output):
        try:
            states.wait("connected", lambda found: found["status"] == "connected")
            states.wait("ready", lambda found: found["lifecycle_state"] == "ready")
            if has_app:
                states.wait("app healthy", lambda found: "healthy" in {app["health"] for app in found["apps"]})
        except DemoFailedError as error:
            raise DemoFailedError(f"{error} It printed:\n{output.read_text(errors='replace')[-2000:]}") from None
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
    states.wait("disconnected", lambda found: found["status"] == "disconnected")


class _States:
    """Waits for states of an agent, and prints when each was seen."""

    def __init__(self, api: Api, show: TerminalOutput, agent_id: str) -> None:
        self._api, self._show, self._path = api, show, f"workspaceagents/{agent_id}"
        self._began = time.perf_counter()

    def wait(self, name: str, reached: Any) -> None:
        """Wait until the agent has reached a state. Raises DemoFailedError."""
        deadline = time.perf_counter() + PATIENCE
        while not reached(found := self._api.call("GET", self._path)):
            if time.perf_counter() > deadline:
                state = f"status {found['status']}, lifecycle {found['lifecycle_state']}"
                raise DemoFailedError(f"The agent was not {name} after {PATIENCE:.0f} s, but has {state}.")
            time.sleep(0.03)
        milliseconds = (time.perf_counter() - self._began) * 1000
        version = f", version {found['version']}" if name == "connected" else ""
        self._show.console.print(
            f"  [green]✓[/] agent {AGENT}: {name}{version} [dim](after {milliseconds:.0f} ms)[/]", highlight=False
        )


def _agent_of(api: Api, build: str) -> Any:
    """Return the agent of the machine. Raises DemoFailedError."""
    for resource in api.call("GET", f"workspacebuilds/{build}/resources"):
        for agent in resource["agents"]:
            if agent["name"] == AGENT:
                return agent
    raise DemoFailedError(f"The build has no agent {AGENT}.")


def _given_to_machine(api: Api, build: str) -> tuple[str, str]:
    """Return the init script and the token of the agent, as Terraform gave them to the machine. Raises
    DemoFailedError."""
    state = api.call("GET", f"workspacebuilds/{build}/state")
    for resource in state["resources"]:
        if (resource["type"], resource["name"]) == RESOURCE:
            given = resource["instances"][0]["attributes"]["input"]["value"]
            return given["script"], given["token"]
    raise DemoFailedError(f"The state of the build has no {'.'.join(RESOURCE)}.")


def _for_server(script: str, url: str) -> str:
    """Return the script with the address of the server on this machine, which the access URL need not be."""
    found = re.search(r'CODER_AGENT_URL="([^"]+)"', script)
    return script.replace(found[1], f"{url}/") if found else script


@contextlib.contextmanager
def _machine(script: str, token: str) -> Iterator[tuple["subprocess.Popen[bytes]", Path]]:
    """Run the init script while the block runs, in a folder of its own. Yields its process and what it prints."""
    with tempfile.TemporaryDirectory(prefix="demo-machine-") as folder:
        output = Path(folder) / "output"
        with output.open("wb") as writing:
            process = subprocess.Popen(
                ["sh", "-c", script],
                env={"PATH": os.environ["PATH"], "HOME": folder, "TMPDIR": folder, "CODER_AGENT_TOKEN": token},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=writing,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            yield process, output
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextlib.contextmanager
def _app(show: TerminalOutput, url: str) -> Iterator[bool]:
    """Serve the address of a health check while the block runs. Yields False if there is none, or another program uses
    its port."""
    port = urlsplit(url).port if url else None
    try:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Program) if port else None
    except OSError:
        show.console.print(f"  Port {port} is in use: the health of the app is that of another program, and not shown.")
        server = None
    if server is None:
        yield False
        return
    with server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        try:
            yield True
        finally:
            server.shutdown()
            serving.join()
