"""``manage.py relay`` as a process, with agents and clients that a web server has told about each other."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import connection
from django.db.models import Q
from nacl.public import PrivateKey

from coderproj import env
from coderproj.base.processes import descendants
from coderproj.database.clock import database_time
from coderproj.identity import tokens
from templates_app.agents.coordination import coordinator
from templates_app.agents.coordination.announcements import MAX_KEYS, Announcer
from templates_app.agents.models import RelayPeer
from tests.api import ApiClient
from tests.coderproj.up_process import get, lines_until, running
from tests.templates_app.agents.callers import Socket, node
from tests.templates_app.agents.relay.clients import GONE, Client, close_all
from tests.templates_app.agents.test_coordination import connected_agent, coordinator_of, run_on
from tests.templates_app.workspaces.lives import build
from tests.vocabulary import database_url, wait_until

pytestmark = pytest.mark.django_db(transaction=True)

ROOT = Path(__file__).parents[4]
URL = "http://relay.example.com:3479"
SECONDS = 40.0


@dataclass
class RelayProcess:
    """A relay, and the event loop for its clients in this process."""

    process: subprocess.Popen
    log: Path
    port: int
    loop: asyncio.Runner

    def connect(self, key: PrivateKey) -> Client:
        return self.loop.run(Client(key).connect(self.port))

    def pass_on(self, sender: Client, receiver: Client, packet: bytes) -> None:
        """Send a packet through the relay."""
        sender.send(receiver, packet)
        assert self.loop.run(receiver.receive(sender)) == packet


@contextmanager
def relay_process(folder: Path, *, host: str = "127.0.0.1") -> Iterator[RelayProcess]:
    log = folder / "relay.log"
    variables = {"DATABASE_URL": database_url("relay"), "CODERPROJ_DATA_DIR": str(folder), "RELAY_URL": URL}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "relay", "--host", host, "--port", "0"],
            cwd=ROOT,
            env=os.environ | variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    with asyncio.Runner() as loop:
        try:
            listens = rf"listens on http://{host}:(\d+)"
            found = wait_until(lambda: re.search(listens, log.read_text()), SECONDS, "the relay")
            yield RelayProcess(process, log, int(found[1]), loop)
            assert process.poll() is None or process.returncode == 0
        finally:
            loop.run(close_all())
            process.kill()
            process.wait()
    assert "Traceback" not in log.read_text()


@pytest.fixture
def relay(settings, live_api, agent, tmp_path):
    settings.RELAY_URL = URL
    with relay_process(tmp_path) as process:
        yield process


def key_node(number: int, key: PrivateKey) -> dict:
    return node(number, key=f"nodekey:{bytes(key.public_key).hex()}", preferred_derp=900)


@pytest.fixture
def keys():
    return PrivateKey.generate(), PrivateKey.generate()


@contextmanager
def coordinating(live_api, token, agent, user, keys, *, second=None):
    """An agent and a client of it, perhaps of another web process, which have exchanged their nodes. Yields both
    sockets."""
    _, session = tokens.issue(user=user)
    url = f"{(second or live_api).ws_url}/api/v2/workspaceagents/{agent.pk}/coordinate"
    with connected_agent(live_api, token) as program, Socket(url, session) as client:
        program.send(key_node(1, keys[0]))
        client.send(key_node(2, keys[1]))
        client.until(1)
        program.until(2)
        yield program, client


def rows(**conditions) -> int:
    return RelayPeer.objects.filter(**conditions).count()


# ---------------------------------------------------------------------- the map
def test_agents_and_clients_find_the_relay_in_their_maps(settings, program, ada, agent):
    """Decision 17: no relay without its setting, one region with it. §1.9, §5C.5."""

    def maps() -> list[dict]:
        connection = ApiClient(ada).get(f"workspaceagents/{agent.pk}/connection").body["derp_map"]
        return [connection, program.get("workspaceagents/me/metadata").body["derpmap"]]

    assert maps() == [{"Regions": {}}] * 2
    settings.RELAY_URL = URL
    found = {
        "Name": "900a",
        "RegionID": 900,
        "HostName": "relay.example.com",
        "DERPPort": 3479,
        "STUNPort": -1,
        "ForceHTTP": True,
    }
    region = {"EmbeddedRelay": False, "RegionID": 900, "RegionCode": "relay", "RegionName": "Relay", "Nodes": [found]}
    assert maps() == [{"Regions": {"900": region}}] * 2
    settings.RELAY_URL = "https://[2001:db8::1]"
    secure = {"Name": "900a", "RegionID": 900, "HostName": "2001:db8::1", "DERPPort": 443, "STUNPort": -1}
    assert maps()[0]["Regions"]["900"]["Nodes"] == [secure]


# ---------------------------------------------------------------------- through the relay
def test_an_agent_and_a_client_that_coordinate_reach_each_other(relay, live_api, token, agent, ada, keys):
    """RAG-09, relay only: from the WebSockets to packets both ways. A stranger is refused."""
    with coordinating(live_api, token, agent, ada, keys):
        program, client = map(relay.connect, keys)
        relay.pass_on(program, client, b"to the client")
        relay.pass_on(client, program, b"to the agent")
        stranger = relay.loop.run(Client().greet(relay.port))
        relay.loop.run(stranger.closed())
        relay.pass_on(client, program, b"again")
    relay.process.send_signal(signal.SIGTERM)
    assert relay.process.wait(SECONDS) == 0
    assert "The relay has stopped" in relay.log.read_text()


def test_an_agent_and_a_client_of_two_web_processes(relay, live_api, other, token, agent, ada, keys):
    """CRD-05."""
    with coordinating(live_api, token, agent, ada, keys, second=other):
        program, client = map(relay.connect, keys)
        relay.pass_on(client, program, b"to the agent")
        relay.pass_on(program, client, b"to the client")
        assert len(set(RelayPeer.objects.values_list("served_by", flat=True))) == 2


@pytest.mark.promise("S22")
def test_loss_of_the_right_ends_the_connection(relay, live_api, token, agent, ada, keys, measured):
    """Decision 23: of a client whose session has ended, which no notification tells; the agent learns that it has gone.

    The coordinator's next look comes at once here. It comes after CHECK_SECONDS at most.
    """
    with coordinating(live_api, token, agent, ada, keys):
        program, client = map(relay.connect, keys)
        relay.pass_on(client, program, b"hello")
        began = time.monotonic()
        ada.api_keys.all().delete()
        run_on(live_api, lambda one: one.check([agent.pk]))
        relay.loop.run(client.closed())
        assert relay.loop.run(program.read()) == (GONE, client.public)
        seconds = coordinator.CHECK_SECONDS + time.monotonic() - began
        measured.most("seconds after the loss", seconds)
        assert seconds < 60
        assert rows() == 1


def test_a_newer_build_ends_the_connections_of_the_agent_and_its_clients(
    relay, live_api, token, agent, ada, workspace, keys
):
    with coordinating(live_api, token, agent, ada, keys):
        program, client = map(relay.connect, keys)
        relay.pass_on(client, program, b"hello")
        build(ada, workspace, "stop")
        relay.loop.run(program.closed())
        relay.loop.run(client.closed())
        assert rows() == 0


def test_a_lost_socket_has_its_grace(relay, live_api, token, agent, ada, keys):
    """A tunnel survives, and ends when the time is over."""
    with coordinating(live_api, token, agent, ada, keys):
        program, client = map(relay.connect, keys)
    wait_until(lambda: rows(expires_at__isnull=False) == 2)
    relay.pass_on(client, program, b"still there")
    latest = database_time() + timedelta(seconds=30)
    assert not RelayPeer.objects.filter(Q(expires_at=None) | Q(expires_at__gt=latest)).exists()
    RelayPeer.objects.update(expires_at=database_time())
    relay.loop.run(client.closed())
    relay.loop.run(program.closed())
    wait_until(lambda: rows() == 0)


def test_a_socket_that_returns_within_the_grace_goes_on(relay, live_api, token, agent, ada, keys):
    with coordinating(live_api, token, agent, ada, keys):
        program, client = map(relay.connect, keys)
    wait_until(lambda: rows(expires_at__isnull=False) == 2)
    first = sorted(RelayPeer.objects.values_list("pk", flat=True))
    with coordinating(live_api, token, agent, ada, keys):
        wait_until(lambda: rows(expires_at=None) == 2)
        assert sorted(RelayPeer.objects.values_list("pk", flat=True)) == first
        relay.pass_on(client, program, b"still there")


def test_keys_of_a_web_process_that_died(relay, live_api, token, agent, ada, keys):
    """The relay notices that its lock has gone."""
    dead = {"socket": "0" * 32, "served_by": 2**31 - 1}
    RelayPeer.objects.create(agent_id=agent.pk, owner_id=agent.pk, key=bytes(keys[0].public_key), **dead)
    wait_until(lambda: rows(expires_at__isnull=False) == 1, SECONDS)
    relay.loop.run(relay.connect(keys[0]).answered())


def test_the_relay_survives_a_lost_database_connection(relay, live_api, token, agent, ada, keys):
    with coordinating(live_api, token, agent, ada, keys):
        program, client = map(relay.connect, keys)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name IN ('relay', 'coderproj-relay')"
            )
            assert len(cursor.fetchall()) >= 1
        relay.pass_on(client, program, b"meanwhile")
        other = PrivateKey.generate()
        _, session = tokens.issue(user=ada)
        with Socket(f"{live_api.ws_url}/api/v2/workspaceagents/{agent.pk}/coordinate", session) as second:
            second.send(key_node(3, other))
            relay.pass_on(relay.connect(other), program, b"afterwards")


# ---------------------------------------------------------------------- announcements
def announcer_of(api) -> Announcer:
    return api.server.app.services[Announcer.key]


def test_nothing_is_announced_without_a_relay(live_api, token, agent, ada, keys, monkeypatch):
    monkeypatch.setattr(announcer_of(live_api), "_hub", None)
    with coordinating(live_api, token, agent, ada, keys):
        assert announcer_of(live_api)._announced == {}
        assert rows() == 0


def test_what_is_announced(settings, live_api, token, agent, ada, keys):
    settings.RELAY_URL = URL
    with coordinating(live_api, token, agent, ada, keys) as (program, client):
        wait_until(lambda: rows() == 2)
        found = {(row.agent_id, row.owner_id, bytes(row.key)) for row in RelayPeer.objects.all()}
        public = [bytes(key.public_key) for key in keys]
        assert found == {(agent.pk, agent.pk, public[0]), (agent.pk, ada.pk, public[1])}
        # The same node again writes nothing, another key replaces the first.
        before = set(RelayPeer.objects.values_list("pk", flat=True))
        program.send(key_node(1, keys[0]))
        client.until(1)
        other = PrivateKey.generate()
        client.send(key_node(2, other))
        wait_until(lambda: rows(key=bytes(other.public_key)) == 1)
        assert rows() == 2
        assert rows(pk__in=before) == 1


def test_a_socket_that_changes_its_key_too_often_is_closed(settings, live_api, token, agent, ada, keys):
    settings.RELAY_URL = URL
    with coordinating(live_api, token, agent, ada, keys) as (program, client):
        for number in range(MAX_KEYS - 1):
            client.send(key_node(3 + number, PrivateKey.generate()))
            program.until(3 + number)
        last = PrivateKey.generate()
        client.send(key_node(99, last))
        assert client.closed_with() == 1008
        assert rows(key=bytes(last.public_key)) == 0


def test_rows_are_completed_and_stale_ones_get_their_grace(settings, live_api, token, agent, ada, keys):
    """After a lost connection of the web process, or a write that failed."""
    settings.RELAY_URL = URL
    with coordinating(live_api, token, agent, ada, keys):
        wait_until(lambda: rows(expires_at=None) == 2)
        RelayPeer.objects.all().delete()
        process = coordinator_of(live_api).number
        stale = {"socket": "0" * 32, "served_by": process, "key": bytes(32)}
        RelayPeer.objects.create(agent_id=agent.pk, owner_id=ada.pk, **stale)
        ended = database_time() - timedelta(minutes=2)
        over = {"socket": "1" * 32, "served_by": process, "key": b"1" * 32, "expires_at": ended}
        RelayPeer.objects.create(agent_id=agent.pk, owner_id=ada.pk, **over)
        run_on(live_api, lambda _: announcer_of(live_api).renew())
        wait_until(lambda: rows(expires_at=None) == 2)
        assert rows(expires_at__isnull=False, key=bytes(32)) == 1
        assert rows(key=b"1" * 32) == 0


def test_a_write_that_fails_is_repeated(settings, live_api, token, agent, ada, keys, monkeypatch, caplog):
    settings.RELAY_URL = URL
    announcer = announcer_of(live_api)
    with coordinating(live_api, token, agent, ada, keys):
        wait_until(lambda: rows(expires_at=None) == 2)
        write, failed = announcer._rows, []

        async def fail_once(sql, parameters):
            if not failed:
                failed.append(sql)
                raise ValueError("not written")
            return await write(sql, parameters)

        monkeypatch.setattr(announcer, "_rows", fail_once)
    wait_until(lambda: failed)
    run_on(live_api, lambda _: announcer.renew())
    wait_until(lambda: rows(expires_at__isnull=False) == 2)
    assert "Keys cannot be announced" in caplog.text


# ---------------------------------------------------------------------- the command
@pytest.mark.parametrize("as_command", [False, True], ids=["without Django", "as a command"])
def test_without_an_address_there_is_no_relay(settings, as_command, tmp_path):
    if as_command:
        settings.RELAY_URL = ""
        with pytest.raises(SystemExit, match="RELAY_URL is not set"):
            call_command("relay")
        return
    ended = subprocess.run(
        [sys.executable, "manage.py", "relay"],
        cwd=ROOT,
        env={**os.environ, "RELAY_URL": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr.startswith("RELAY_URL is not set")) == (1, True)


WRONG_URLS = ["relay.example.com", "ftp://relay", "http://relay/derp", "https://", "http://relay:0", "http://a:b"]


@pytest.mark.parametrize("value", WRONG_URLS)
def test_an_address_that_is_none_is_named(value, monkeypatch):
    monkeypatch.setenv("RELAY_URL", value)
    with pytest.raises(ImproperlyConfigured, match="RELAY_URL: expected an address"):
        env.origin("RELAY_URL")


@pytest.mark.parametrize("value", ["abc", "00" * 31, "zz" * 32], ids=["odd", "short", "letters"])
def test_a_wrong_key_is_named_and_not_repeated(value, monkeypatch):
    monkeypatch.setenv("RELAY_KEY", value)
    with pytest.raises(ImproperlyConfigured, match=r"^RELAY_KEY: expected 64 hexadecimal digits$"):
        env.hexadecimal("RELAY_KEY", 32)


def test_a_taken_port_is_named(relay, settings, tmp_path):
    settings.DATA_DIR = tmp_path
    with pytest.raises(SystemExit, match=f"cannot listen on 127.0.0.1, port {relay.port}"):
        call_command("relay", port=relay.port)


def test_up_runs_a_relay_if_it_has_an_address(tmp_path):
    """Off by default, and with ``--no-relay``."""
    arguments = ("--no-daemon", "--no-worker")
    with running(tmp_path, *arguments, RELAY_URL="http://localhost:1", RELAY_PORT="0") as (_, process):
        line = lines_until(process, "The relay listens on")[-1]
        port = int(line.strip().rpartition(":")[2])
        assert get(f"http://127.0.0.1:{port}/derp/latency-check") == (200, "")
        process.send_signal(signal.SIGTERM)
        assert "The relay has stopped" in "".join(process.stdout)
        assert process.wait(SECONDS) == 0
    for options, variables in (((), {"RELAY_URL": ""}), (("--no-relay",), {"RELAY_URL": "http://localhost:1"})):
        with running(tmp_path, *arguments, *options, **variables) as (_, process):
            lines_until(process, "Ready after")
            commands = [Path(f"/proc/{pid}/cmdline").read_text() for pid in descendants(process.pid)]
            assert any("coderproj" in command for command in commands)
            assert not any("manage.py\0relay" in command for command in commands)
