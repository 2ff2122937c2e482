"""Agents and clients that coordinate over WebSockets of running servers."""

import asyncio
import json
import time
from contextlib import ExitStack, contextmanager
from datetime import timedelta

import httpx
import pytest
from django.db import connection

from coderproj.database.clock import database_time
from coderproj.identity import tokens
from coderproj.web.server import Server
from provisioning.models import WorkspaceAgent
from templates_app.agents.coordination import coordinator as coordination
from templates_app.agents.coordination import sockets
from templates_app.agents.coordination.coordinator import Coordinator
from templates_app.agents.coordination.rooms import Peer, Room
from tests.api import ApiClient
from tests.live import LiveApi
from tests.templates_app.agents.callers import AgentClient, Socket, node, refusal
from tests.templates_app.workspaces.lives import build
from tests.vocabulary import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

OWN = "/api/v2/workspaceagents/me/coordinate"


@pytest.fixture(autouse=True)
def _served(live_api, agent):
    """The workspace exists, and the server runs."""


@pytest.fixture(scope="module")
def second_server(django_db_setup, django_db_blocker):
    """Another web process, as far as the database and its notifications are concerned."""
    with django_db_blocker.unblock():
        server = Server()
        with server.in_thread():
            yield LiveApi(server)


@pytest.fixture
def other(second_server, live_api):
    yield second_server
    second_server.wait_for_streams(0)


def coordinator_of(api) -> Coordinator:
    return api.server.app.services[Coordinator.key]


def run_on(api, coroutine_of):
    """Run a coroutine of the coordinator on its event loop."""
    coordinator = coordinator_of(api)
    loop = coordinator._tasks[0].get_loop()
    return asyncio.run_coroutine_threadsafe(coroutine_of(coordinator), loop).result(10)


@contextmanager
def connected_agent(api, token):
    """An agent that has received its first array, which is empty."""
    with Socket(f"{api.ws_url}{OWN}", token) as socket:
        assert socket.receive() == []
        yield socket


@contextmanager
def connected_client(api, agent, user):
    _, token = tokens.issue(user=user)
    with Socket(f"{api.ws_url}/api/v2/workspaceagents/{agent.pk}/coordinate", token) as socket:
        yield socket


def shown(user, agent):
    return ApiClient(user).get(f"workspaceagents/{agent.pk}").body


def wait_for_status(user, agent, status):
    wait_until(lambda: shown(user, agent)["status"] == status)
    return shown(user, agent)


@pytest.mark.parametrize("state", ["off", "shutdown_error", "shutdown_timeout"])
def test_agent_of_a_machine_that_runs_again_is_not_off(live_api, token, agent, state):
    """Its agent can skip the report that it starts."""
    WorkspaceAgent.objects.update(lifecycle_state=state)
    with connected_agent(live_api, token):
        assert WorkspaceAgent.objects.get().lifecycle_state == "created"
        assert AgentClient(token).post("workspaceagents/me/report-lifecycle", {"state": "ready"}).status_code == 204
    assert WorkspaceAgent.objects.get().lifecycle_state == "ready"


# ---------------------------------------------------------------------- presence
def test_agent_is_seen_as_connected_and_disconnected(live_api, token, agent, ada, without_renewals):
    """AGT-07, RAG-06: the row is written on change only."""
    assert shown(ada, agent)["status"] == "connecting"
    with connected_agent(live_api, token):
        body = wait_for_status(ada, agent, "connected")
        assert body["first_connected_at"] == body["last_connected_at"]
        assert "disconnected_at" not in body
        assert ApiClient(ada).get("workspaces?q=has-agent:connected").body["count"] == 1
    body = wait_for_status(ada, agent, "disconnected")
    assert body["disconnected_at"] > body["last_connected_at"] >= body["first_connected_at"]
    with connected_agent(live_api, token):
        again = wait_for_status(ada, agent, "connected")
        assert again["first_connected_at"] == body["first_connected_at"] < again["last_connected_at"]


def test_header_instead_of_the_cookie(live_api, token, agent, ada):
    with Socket(f"{live_api.ws_url}{OWN}", token, cookie=False) as socket:
        assert socket.receive() == []
        wait_for_status(ada, agent, "connected")


def test_watchers_are_told(live_api, token, agent, ada, workspace):
    """WAT-01: an agent connects, and goes."""
    _, session = tokens.issue(user=ada)
    url = f"{live_api.url}/api/v2/workspaces/{workspace.pk}/watch"

    def until(lines, status):
        for line in lines:
            if line.startswith("data: "):
                found = json.loads(line.removeprefix("data: "))["latest_build"]["resources"][0]["agents"][0]
                if found["status"] == status:
                    return

    with httpx.stream("GET", url, headers={"Coder-Session-Token": session}, timeout=10) as response:
        lines = response.iter_lines()
        until(lines, "connecting")
        with connected_agent(live_api, token):
            until(lines, "connected")
        until(lines, "disconnected")


def test_an_old_socket_that_lingers_changes_nothing(live_api, token, agent, ada):
    """AGT-27, CRD-04, W49: the newer socket replaces it, and the agent stays connected throughout."""
    with connected_agent(live_api, token) as first:
        with connected_agent(live_api, token) as second:
            assert first.closed_with() == 1000
            live_api.wait_for_streams(1)
            assert shown(ada, agent)["status"] == "connected"
            assert WorkspaceAgent.objects.get().disconnected_at is None
            second.send(node(5))
        wait_for_status(ada, agent, "disconnected")


def test_renewal_needs_one_statement_for_all_agents(live_api, token, agent):
    with connected_agent(live_api, token):
        before = WorkspaceAgent.objects.get()
        coordinator = coordinator_of(live_api)
        count = coordinator.queries
        run_on(live_api, lambda one: one.renew())
        assert coordinator.queries - count <= 2  # another task can look for dead processes meanwhile
        after = WorkspaceAgent.objects.get()
        assert after.last_connected_at > before.last_connected_at
        assert after.alive_until - after.last_connected_at > timedelta(seconds=30)


def test_agent_that_disconnects_while_it_is_renewed(live_api, token, agent, ada, monkeypatch):
    """Its end stays recorded."""
    coordinator = coordinator_of(live_api)
    with connected_agent(live_api, token):
        rows = coordinator._rows
        wait_for_status(ada, agent, "connected")

    live_api.wait_for_streams(0)
    wait_for_status(ada, agent, "disconnected")

    async def renew_as_if_it_were_here(one: Coordinator) -> None:
        peer = Peer(is_greeted=True)
        peer.connected_at = 1.0
        room = one.rooms[agent.pk] = Room(agent.pk, agent.pk, agent.pk, agent.pk, agent=peer)

        async def leave_before(sql, parameters):
            room.agent = None
            return await rows(sql, parameters)

        with monkeypatch.context() as patched:
            patched.setattr(one, "_rows", leave_before)
            await one.renew()
        del one.rooms[agent.pk]

    run_on(live_api, renew_as_if_it_were_here)
    row = WorkspaceAgent.objects.get()
    assert (row.served_by, row.alive_until) == (None, None)
    assert shown(ada, agent)["status"] == "disconnected"


def test_agents_of_a_process_that_died(live_api, token, agent, ada):
    """Its lock has gone, so another process withdraws what it vouched for; agents of living ones stay."""
    seen = database_time() - timedelta(seconds=20)
    with connected_agent(live_api, token):
        run_on(live_api, lambda one: one.withdraw())
        assert shown(ada, agent)["status"] == "connected"
        WorkspaceAgent.objects.update(
            served_by=2**31 - 1, last_connected_at=seen, alive_until=database_time() + timedelta(seconds=30)
        )
        assert shown(ada, agent)["status"] == "connected"
        run_on(live_api, lambda one: one.withdraw())
        body = shown(ada, agent)
        assert (body["status"], body["disconnected_at"]) == ("disconnected", body["last_connected_at"])


def test_what_a_process_vouches_for_ends_by_itself(agent, ada):
    """Without any process that could withdraw it."""
    now = database_time()
    for until, status in ((5, "connected"), (-5, "connected"), (-7, "disconnected")):
        WorkspaceAgent.objects.update(
            first_connected_at=now - timedelta(hours=1),
            last_connected_at=now - timedelta(minutes=1),
            alive_until=now + timedelta(seconds=until),
        )
        assert shown(ada, agent)["status"] == status


def test_a_lost_connection_to_the_database_is_made_up_for(live_api, token, agent, ada):
    with connected_agent(live_api, token), connected_client(live_api, agent, ada) as client:
        with connection.cursor() as cursor:
            cursor.execute("UPDATE provisioning_workspaceagent SET served_by = NULL, alive_until = NULL")
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'coderproj-listener' AND datname = current_database()"
            )
        wait_until(lambda: WorkspaceAgent.objects.get().alive_until is not None)
        build(ada, agent.resource.job.workspace_build.workspace, "stop")
        assert client.closed_with() == 1001


# ---------------------------------------------------------------------- nodes
def test_agent_without_clients_and_client_without_agent(live_api, token, agent, ada):
    """CRD-01: both end cleanly."""
    with connected_agent(live_api, token) as socket:
        socket.send(node(1))
    with connected_client(live_api, agent, ada) as client:
        client.send(node(2))
    live_api.wait_for_streams(0)
    wait_until(lambda: not coordinator_of(live_api).rooms)


def test_agent_and_client_find_each_other(live_api, token, agent, ada):
    """CRD-02."""
    with connected_agent(live_api, token) as program:
        program.send(node(1))
        wait_until(lambda: coordinator_of(live_api).rooms[agent.pk].agent.node)
        with connected_client(live_api, agent, ada) as client:
            assert client.receive() == [1]
            client.send(node(2))
            assert program.receive() == [2]
            program.send(node(1, preferred_derp=9))
            assert client.receive() == [1]
            program.send(node(3), node(4))
            client.until(4)


def test_agent_that_reconnects_gets_the_waiting_clients(live_api, token, agent, ada):
    """CRD-03."""
    with connected_client(live_api, agent, ada) as client:
        client.send(node(2))
        wait_until(lambda: any(one.node for one in coordinator_of(live_api).rooms[agent.pk].clients.values()))
        for _ in range(2):
            with Socket(f"{live_api.ws_url}{OWN}", token) as program:
                assert program.receive() == [2]
                program.send(node(1))
                client.until(1)
            live_api.wait_for_streams(1)


def test_across_two_processes(live_api, other, token, agent, ada):
    """CRD-05: as CRD-02 and CRD-03, by notifications."""
    with connected_agent(live_api, token) as program:
        program.send(node(1))
        with connected_client(other, agent, ada) as client:
            client.until(1)
            client.send(node(2))
            program.until(2)
            program.send(node(1, preferred_derp=7))
            client.until(1)
    with connected_client(other, agent, ada) as client:
        client.send(node(3))
        wait_until(lambda: any(one.node for one in coordinator_of(other).rooms[agent.pk].clients.values()))
        with connected_agent(live_api, token) as program:
            program.until(3)


def test_agent_that_moves_to_another_process(live_api, other, token, agent, ada):
    """CRD-04 across processes: the old socket closes, and its end is not recorded."""
    with connected_agent(live_api, token) as first, connected_agent(other, token):
        assert first.closed_with() == 1000
        live_api.wait_for_streams(0)
        row = WorkspaceAgent.objects.get()
        assert (row.served_by, row.disconnected_at) == (coordinator_of(other).number, None)
        assert shown(ada, agent)["status"] == "connected"


def test_a_replaced_socket_is_closed_even_without_a_notification(live_api, token, agent):
    with connected_agent(live_api, token) as first:
        WorkspaceAgent.objects.update(served_by=coordinator_of(live_api).number + 1)
        run_on(live_api, lambda one: one.renew())
        assert first.closed_with() == 1000


def test_many_clients(live_api, token, agent, ada):
    """AGT-33: 80 clients wait; no message is longer than the agent accepts, and the agent stays."""
    with ExitStack() as stack:
        for number in range(80):
            client = stack.enter_context(connected_client(live_api, agent, ada))
            client.send(node(number, endpoints=[f"10.0.0.{last}:41641" for last in range(32)]))
        room = coordinator_of(live_api).rooms[agent.pk]
        wait_until(lambda: sum(one.node is not None for one in room.clients.values()) == 80)
        with Socket(f"{live_api.ws_url}{OWN}", token) as program:
            found = set()
            while len(found) < 80:
                found.update(program.receive())
            program.send(node(1000))
            client.until(1000)


# ---------------------------------------------------------------------- bad peers
@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("text", 1003),
        (json.dumps(node(1)), 1003),
        (b"[]", 1008),
        (b'{"id": 1}', 1008),
        (b'{"x": "' + b"a" * 40_000, 1009),
        (b"x" * 1024 * 1024, 1009),
    ],
    ids=["text", "node as text", "array", "no node", "long node", "long message"],
)
def test_what_is_not_a_node_closes_the_socket(live_api, token, agent, ada, message, code):
    """CRD-06."""
    with connected_client(live_api, agent, ada) as client:
        client.connection.send(message)
        assert client.closed_with() == code
    with connected_agent(live_api, token) as program:
        program.connection.send(message)
        assert program.closed_with() == code
    wait_for_status(ada, agent, "disconnected")


def test_odd_latencies_break_no_list(live_api, token, agent, ada):
    """AGT-32: with a key that is no region, and 10,000 of them."""
    with connected_agent(live_api, token) as program, connected_client(live_api, agent, ada) as client:
        program.send(node(1, derp_latency={"x": 1.0, "900-v4": 0.1}))
        client.until(1)
        for path in ("workspaces", f"workspaceagents/{agent.pk}"):
            answer = ApiClient(ada).get(path)
            assert answer.status_code == 200
            assert "latency" not in answer.raw.decode()
        program.send(node(2, derp_latency={f"{number}-v4": 0.1 for number in range(10_000)}))
        assert program.closed_with() == 1009
        assert ApiClient(ada).get("workspaces").status_code == 200


def test_a_flood_is_read_slowly(live_api, token, agent, ada, monkeypatch):
    monkeypatch.setattr(sockets, "BURST", 5)
    monkeypatch.setattr(sockets, "PER_SECOND", 20.0)
    with connected_agent(live_api, token) as program, connected_client(live_api, agent, ada) as client:
        began = time.monotonic()
        for number in range(1, 16):
            program.send(node(number, key=f"nodekey:{1:064x}"))  # many keys would end the socket
        client.until(15)
        assert time.monotonic() - began > 0.4


def test_clients_of_an_agent_are_bounded(live_api, agent, ada, monkeypatch):
    monkeypatch.setattr(coordination, "MAX_CLIENTS", 1)
    _, token = tokens.issue(user=ada)
    with connected_client(live_api, agent, ada):
        wait_until(lambda: coordinator_of(live_api).rooms)
        refused = refusal(f"{live_api.ws_url}/api/v2/workspaceagents/{agent.pk}/coordinate", token)
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "60")
