"""An agent and a client in two network namespaces without a route between them: they talk through the relay alone."""

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from coderproj.identity import tokens
from tests.provisioning.daemon.proxy import Proxy
from tests.templates_app.agents.relay.test_relay_command import SECONDS, relay_process
from tests.vocabulary import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

ROOT = Path(__file__).parents[4]
# This machine, and the two namespaces. Each has a route to this machine only.
OURS, AGENT, CLIENT = "10.231.78.1", "10.231.78.2", "10.231.78.3"
INSIDE = {AGENT: "10.231.79.1", CLIENT: "10.231.79.2"}
MEGABYTES = 8
SERVER = """
import hashlib, socket, sys
with socket.create_server((sys.argv[1], 7)) as listening:
    print("listens", flush=True)
    with listening.accept()[0] as found:
        digest = hashlib.sha256()
        while data := found.recv(65536):
            digest.update(data)
        found.sendall(digest.digest())
"""
SENDER = """
import hashlib, os, socket, sys, time
data = os.urandom(int(sys.argv[2]) * 2**20)
began = time.monotonic()
with socket.create_connection((sys.argv[1], 7), 30) as found:
    found.sendall(data)
    found.shutdown(socket.SHUT_WR)
    assert found.recv(64) == hashlib.sha256(data).digest()
print(len(data) * 8 / (time.monotonic() - began) / 1e6)
"""


def ip(*arguments: str) -> None:
    subprocess.run(("ip", *arguments), check=True, capture_output=True, timeout=10)


def inside(name: str, *command: str) -> tuple[str, ...]:
    return ("ip", "netns", "exec", name, sys.executable, *command)


@pytest.fixture
def namespaces():
    """The names of two network namespaces by their address."""
    if os.geteuid() != 0:
        pytest.skip("making a network namespace needs root")
    if not Path("/dev/net/tun").exists():
        pytest.skip("there is no /dev/net/tun")
    with ExitStack() as stack:
        found = {}
        for number, address in enumerate((AGENT, CLIENT)):
            name, wire = f"relay-{number}-{os.getpid()}", f"rl{number}{os.getpid() % 1_000_000}"
            try:
                ip("netns", "add", name)
                stack.callback(subprocess.run, ("ip", "netns", "delete", name), check=False, capture_output=True)
                ip("link", "add", wire, "type", "veth", "peer", "name", "outside", "netns", name)
            except (OSError, subprocess.SubprocessError) as error:
                reason = getattr(error, "stderr", None) or str(error).encode()
                pytest.skip(f"network namespaces do not work here: {reason.decode().strip()}")
            stack.callback(subprocess.run, ("ip", "link", "delete", wire), check=False, capture_output=True)
            if number == 0:
                ip("addr", "add", f"{OURS}/32", "dev", wire)
            ip("link", "set", wire, "up")
            ip("route", "add", address, "dev", wire, "src", OURS)
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "addr", "add", f"{address}/32", "dev", "outside")
            ip("-n", name, "link", "set", "outside", "up")
            ip("-n", name, "route", "add", OURS, "dev", "outside")
            found[address] = name
        yield found


def connects(name: str, address: str, port: int) -> str:
    """Return the error of a connection from within a namespace, empty if it succeeds."""
    program = f"import socket; socket.create_connection(({address!r}, {port}), 5)"
    done = subprocess.run(inside(name, "-c", program), check=False, capture_output=True, text=True, timeout=30)
    return done.stderr.strip().rpartition("\n")[2]


def test_agent_and_client_without_a_route_talk_through_the_relay(
    namespaces, live_api, settings, token, agent, ada, tmp_path
):
    """RAG-09, relay only: from the map of relays to a TCP connection in a tunnel, of which no byte is lost."""
    settings.ALLOWED_HOSTS = ["*"]
    _, session = tokens.issue(user=ada)
    with ExitStack() as stack:
        relay = stack.enter_context(relay_process(tmp_path, host=OURS))
        settings.RELAY_URL = f"http://{OURS}:{relay.port}"
        proxy = Proxy(live_api.url, host=OURS)
        stack.callback(proxy.close)
        assert connects(namespaces[AGENT], OURS, relay.port) == ""
        assert "unreachable" in connects(namespaces[AGENT], CLIENT, 7)
        assert "unreachable" in connects(namespaces[CLIENT], AGENT, 7)
        for address, credentials in ((AGENT, [token]), (CLIENT, [session, "--agent-id", str(agent.pk)])):
            ready = tmp_path / address
            options = ["--url", proxy.url, "--address", f"{INSIDE[address]}/24", "--ready", str(ready), "--token"]
            command = inside(
                namespaces[address], "-m", "tests.templates_app.agents.relay.tunnel", *options, *credentials
            )
            process = stack.enter_context(subprocess.Popen(command, cwd=ROOT))
            stack.callback(process.kill)
        wait_until(lambda: all((tmp_path / address).exists() for address in namespaces), SECONDS, "the tunnels")
        server = stack.enter_context(
            subprocess.Popen(inside(namespaces[AGENT], "-c", SERVER, INSIDE[AGENT]), stdout=subprocess.PIPE)
        )
        stack.callback(server.kill)
        assert server.stdout.readline() == b"listens\n"
        sender = inside(namespaces[CLIENT], "-c", SENDER, INSIDE[AGENT], str(MEGABYTES))
        done = subprocess.run(sender, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        print(f"{float(done.stdout):.0f} Mbit/s through the tunnel")
