"""Agents that stay connected by requests, for those that cannot hold a WebSocket."""

import socket
import threading
import uuid
from contextlib import contextmanager
from datetime import timedelta

import httpx
import psycopg
import pytest

from coderproj.web.server import Server
from provisioning.log.following.store import conninfo
from provisioning.models import WorkspaceAgent
from templates_app.agents.coordination import polls
from templates_app.agents.coordination.coordinator import Coordinator
from templates_app.agents.views.own import OwnAgentViewSet
from templates_app.workspaces.events import WORKSPACE_CHANNEL
from templates_app.workspaces.models import WorkspaceBuild
from tests.live import LiveApi
from tests.templates_app.agents.callers import AgentClient, Socket
from tests.templates_app.agents.machines import wait_for
from tests.templates_app.workspaces.lives import build
from tests.vocabulary import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

PATH = "/api/v2/workspaceagents/me/presence"
SOCKET = "/api/v2/workspaceagents/me/coordinate"
FIRST, SECOND = "first-process", "second-process"


@pytest.fixture
def short(monkeypatch):
    """Requests that are answered soon."""
    monkeypatch.setattr(polls, "POLL_SECONDS", 0.2)


@pytest.fixture(autouse=True)
def _gap(monkeypatch):
    """Sessions whose next request is awaited for long, also on a busy machine."""
    monkeypatch.setattr(polls, "GAP_SECONDS", 60.0)


@pytest.fixture(scope="module")
def second_server(django_db_setup, django_db_blocker):
    """Another web process, as far as the database and its notifications are concerned."""
    with django_db_blocker.unblock():
        server = Server()
        with server.in_thread():
            yield LiveApi(server)


def ask(api, token, session=FIRST, **fields):
    headers = {"Coder-Session-Token": token}
    return httpx.post(f"{api.url}{PATH}", json={"session": session, **fields}, headers=headers, timeout=30)


class Waiting(threading.Thread):
    """A request that is held, and the answer to it."""

    def __init__(self, *arguments, **fields):
        super().__init__()
        self._ask = lambda: ask(*arguments, **fields)

    def run(self):
        self.answer = self._ask()

    def status(self):
        self.join(30)
        return self.answer.status_code


@contextmanager
def held(*arguments):
    request = Waiting(*arguments)
    request.start()
    try:
        yield request
    finally:
        request.join(30)


@contextmanager
def connection(api, token):
    """A held request on a connection that the test closes."""
    url = httpx.URL(api.url)
    with socket.create_connection((url.host, url.port)) as one:
        body = b'{"session": "%s"}' % FIRST.encode()
        head = f"POST {PATH} HTTP/1.1\r\nHost: {url.host}\r\nCoder-Session-Token: {token}\r\n"
        one.sendall(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        yield one


def sessions(api):
    return api.server.app.services[polls.Polls.key]._sessions


@contextmanager
def watched(agent):
    """Yield a function that returns how many events watchers of the agent's workspace have received."""
    workspace_id = WorkspaceBuild.objects.get(job=agent.resource.job_id).workspace_id
    with psycopg.connect(conninfo(), autocommit=True) as listener:
        listener.execute(f"LISTEN {WORKSPACE_CHANNEL}")
        found = []

        def told():
            found.extend(one.payload for one in listener.notifies(timeout=0.05))
            return found.count(str(workspace_id))

        yield told


def coordinator_of(api):
    return api.server.app.services[Coordinator.key]


def test_requests_keep_the_agent_connected(live_api, token, agent, ada, short, without_renewals, monkeypatch):
    """One write when the session begins, none for each request."""
    assert ask(live_api, token).json() == {"is_connected": True}
    wait_for(ada, agent, status="connected")
    before = WorkspaceAgent.objects.values().get()
    for _ in range(3):
        assert ask(live_api, token).status_code == 200
    assert WorkspaceAgent.objects.values().get() == before
    monkeypatch.setattr(polls, "GAP_SECONDS", 0.2)
    assert ask(live_api, token).status_code == 200
    wait_for(ada, agent, status="disconnected")  # no further request
    assert not sessions(live_api)


def test_a_session_goes_on_without_a_thread(live_api, token, agent, ada, short, monkeypatch):
    """The view authorizes the first request only. It answers all that are not like those of the session."""
    asked = []
    presence = OwnAgentViewSet.presence

    def counted(self, request):
        asked.append(request.data)
        return presence(self, request)

    monkeypatch.setattr(OwnAgentViewSet, "presence", counted)
    first, second = ask(live_api, token), ask(live_api, token)
    assert (second.status_code, second.json()) == (200, {"is_connected": True})
    own = {"allow", "x-coder-request-id", "x-ratelimit-remaining", "x-ratelimit-limit", "x-ratelimit-reset", "date"}
    assert {k: v for k, v in second.headers.items() if k not in own} == {
        k: v for k, v in first.headers.items() if k not in own
    }
    assert len(asked) == 1
    assert ask(live_api, str(uuid.uuid4())).status_code == 401
    assert ask(live_api, token, "").status_code == 400
    assert ask(live_api, token, is_leaving=True).json() == {"is_connected": False}
    assert ask(live_api, token).status_code == 200
    assert len(asked) == 4
    ask(live_api, token, is_leaving=True)


def test_the_end_of_a_build_ends_what_goes_on_without_a_view(live_api, token, agent, ada, workspace, short):
    assert ask(live_api, token).status_code == 200
    build(ada, workspace, "stop")
    wait_until(lambda: ask(live_api, token).status_code == 403)
    assert not sessions(live_api)


def test_an_agent_that_leaves(live_api, token, agent, ada, short):
    assert ask(live_api, token).status_code == 200
    assert ask(live_api, token, SECOND, is_leaving=True).json() == {"is_connected": False}  # has no session
    assert sessions(live_api)
    assert ask(live_api, token, is_leaving=True).json() == {"is_connected": False}
    assert WorkspaceAgent.objects.get().disconnected_at is not None
    assert not sessions(live_api)
    assert ask(live_api, token, is_leaving=True).json() == {"is_connected": False}


def test_leaving_ends_a_request_that_is_held(live_api, token, agent, ada):
    with held(live_api, token) as request:
        wait_for(ada, agent, status="connected")
        assert ask(live_api, token, is_leaving=True).status_code == 200
        assert request.status() == 503


def test_a_closed_connection_is_the_end(live_api, token, agent, ada):
    with connection(live_api, token):
        wait_for(ada, agent, status="connected")
    wait_for(ada, agent, status="disconnected")


def test_a_newer_session_replaces_an_older_one(live_api, token, agent, ada):
    """CRD-04."""
    with held(live_api, token) as older:
        wait_until(lambda: sessions(live_api))
        with held(live_api, token, SECOND) as newer:
            assert older.status() == 409
            wait_for(ada, agent, status="connected")
            assert ask(live_api, token, SECOND, is_leaving=True).status_code == 200
            assert newer.status() == 503


def test_a_websocket_replaces_a_session_and_the_other_way_round(live_api, token, agent, ada):
    with held(live_api, token) as older:
        wait_for(ada, agent, status="connected")
        with Socket(f"{live_api.ws_url}{SOCKET}", token) as newer:
            assert older.status() == 409
            assert newer.receive() == []
            with held(live_api, token, SECOND) as newest:
                assert newer.closed_with() == 1000
                wait_for(ada, agent, status="connected")
                ask(live_api, token, SECOND, is_leaving=True)
                assert newest.status() == 503


def test_a_session_moves_to_another_process(live_api, second_server, token, agent, ada, short, without_renewals):
    """A balancer spreads the requests. The agent stays connected since the first one, and only the last process holds
    it. Watchers of the workspace get an event for the first connection and for the end only."""
    with watched(agent) as told:
        assert ask(live_api, token).status_code == 200
        wait_until(lambda: told() == 1)
        first = WorkspaceAgent.objects.get()
        for api, left in ((second_server, live_api), (live_api, second_server), (second_server, live_api)):
            before = WorkspaceAgent.objects.get()
            assert ask(api, token).status_code == 200
            wait_until(lambda left=left: not sessions(left) and not coordinator_of(left).rooms)
            row = WorkspaceAgent.objects.get()
            assert row.served_by == coordinator_of(api).number
            assert row.alive_until > before.alive_until
            assert (row.last_connected_at, row.disconnected_at) == (first.last_connected_at, None)
        assert ask(second_server, token, is_leaving=True).status_code == 200
        wait_for(ada, agent, status="disconnected")
        wait_until(lambda: told() > 1)
        assert told() == 2


def test_an_agent_whose_process_died_connects_again(live_api, token, agent, ada, short):
    """Nobody vouches for it in between."""
    dead = Coordinator().number
    WorkspaceAgent.objects.update(
        first_connected_at=agent.created_at,
        last_connected_at=agent.created_at,
        alive_until=agent.created_at + timedelta(hours=1),
        served_by=dead,
    )
    assert ask(live_api, token).status_code == 200
    row = WorkspaceAgent.objects.get()
    assert (row.served_by, row.first_connected_at) == (coordinator_of(live_api).number, agent.created_at)
    assert row.last_connected_at > agent.created_at
    ask(live_api, token, is_leaving=True)


def test_a_machine_that_starts_again_is_announced_wherever_it_connects(live_api, second_server, token, agent, short):
    """Its former process has not noticed the end."""
    assert ask(live_api, token).status_code == 200
    with watched(agent) as told:
        WorkspaceAgent.objects.update(lifecycle_state="shutdown_timeout")
        before = WorkspaceAgent.objects.get()
        assert ask(second_server, token, SECOND).status_code == 200
        row = WorkspaceAgent.objects.get()
        assert row.lifecycle_state == "created"
        assert row.last_connected_at > before.last_connected_at
        wait_until(lambda: told() == 1)
    ask(second_server, token, SECOND, is_leaving=True)


def test_a_newer_build_ends_the_session(live_api, token, agent, ada, workspace):
    """RAG-08."""
    with held(live_api, token) as request:
        wait_for(ada, agent, status="connected")
        build(ada, workspace, "stop")
        assert request.status() == 403
        assert "newer build" in request.answer.json()["message"]
    again = ask(live_api, token)
    assert (again.status_code, "outdated" in again.json()["detail"]) == (403, True)
    assert ask(live_api, token, is_leaving=True).status_code == 403


def test_a_server_that_stops_answers_at_once(token, agent, ada):
    server = Server()
    with server.in_thread(), held(LiveApi(server), token) as request:
        wait_for(ada, agent, status="connected")
        server.stop()
        assert request.status() == 503
        assert request.answer.headers["Retry-After"] == "1"
    wait_for(ada, agent, status="disconnected")


@pytest.mark.parametrize(
    "session", ["", "short", "x" * 65, "with space", 'quo"tes-and-more', None, 12345678, ["first-process"]]
)
def test_sessions_that_are_none(live_api, token, agent, session):
    answer = ask(live_api, token, session)
    assert answer.status_code == 400
    assert answer.json()["validations"][0]["field"] == "session"
    assert not sessions(live_api)


def test_too_many_requests_of_one_agent(live_api, token, agent, settings, monkeypatch):
    monkeypatch.setattr(live_api.hub, "_streams_per_user", 2)
    with held(live_api, token) as first, held(live_api, token) as second:
        wait_until(lambda: live_api.hub.streams == 2)
        refused = ask(live_api, token)
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "60")
        monkeypatch.setattr(live_api.hub, "_streams_per_user", 3)
        ask(live_api, token, is_leaving=True)
        assert {first.status(), second.status()} == {503}


def test_the_token_decides(live_api, token, agent):
    assert ask(live_api, str(uuid.uuid4())).status_code == 401
    assert AgentClient(token).post("workspaceagents/me/presence", {"session": FIRST}).status_code == 501
