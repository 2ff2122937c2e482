"""Who may connect and stays connected, and what happens when the server stops."""

import asyncio
import json
import time

import pytest
from django.db import connections

from coderproj.identity import tokens
from coderproj.identity.models import ApiKey, Membership
from coderproj.web.server import Server
from provisioning.engine.base import BuildResult
from provisioning.models import WorkspaceAgent
from provisioning.queue import jobs
from templates_app.workspaces.services import builds
from tests.api import ApiClient
from tests.factories import claim, make_user
from tests.live import LiveApi
from tests.templates_app.agents.callers import AgentClient, Socket, node, refusal
from tests.templates_app.agents.test_coordination import (  # noqa: F401 - fixtures as well
    _served,
    connected_agent,
    connected_client,
    coordinator_of,
    other,
    run_on,
    second_server,
    shown,
    wait_for_status,
)
from tests.templates_app.workspaces.lives import build, finish_build

pytestmark = pytest.mark.django_db(transaction=True)

OWN = "/api/v2/workspaceagents/me/coordinate"


# ---------------------------------------------------------------------- rights
def test_not_a_websocket(agent, ada, token):
    """§5.6."""
    assert AgentClient(token).get("workspaceagents/me/coordinate").status_code == 426
    assert ApiClient(ada).get(f"workspaceagents/{agent.pk}/coordinate").status_code == 426


def test_who_may_connect(live_api, agent, owner, organization, token):
    """Decision 19: readable and not allowed is 403; a hidden agent is not found."""
    url = f"{live_api.ws_url}/api/v2/workspaceagents/{agent.pk}/coordinate"
    admin = make_user(organizations=(organization,), organization_roles=("organization-admin",))
    for user in (owner, admin):
        with connected_client(live_api, agent, user) as client:
            client.send(node(1))
    refused = {
        403: make_user(organizations=(organization,), site_roles=("template-admin",)),
        404: make_user(organizations=(organization,)),
    }
    for status, user in refused.items():
        assert refusal(url, tokens.issue(user=user)[1]).status_code == status
    assert refusal(url, token).status_code == 401
    assert refusal(f"{live_api.ws_url}{OWN}", tokens.issue(user=owner)[1]).status_code == 401


def test_newer_build_closes_the_agent(live_api, token, agent, ada, workspace):
    """AGT-08, RAG-08: 1001 within 3 s of its creation, then 403, and 401 once it has ended."""
    url = f"{live_api.ws_url}/api/v2/workspaceagents/{agent.pk}/coordinate"
    with connected_agent(live_api, token) as program, connected_client(live_api, agent, ada) as client:
        began = time.monotonic()
        build(ada, workspace, "stop")
        assert program.closed_with() == 1001
        assert time.monotonic() - began < 3
        assert client.closed_with() == 1001
    refused = refusal(f"{live_api.ws_url}{OWN}", token)
    assert refused.status_code == 403
    assert "outdated" in json.loads(refused.body)["detail"]
    assert refusal(url, tokens.issue(user=ada)[1]).status_code == 400
    jobs.complete(claim(), BuildResult())
    assert refusal(f"{live_api.ws_url}{OWN}", token).status_code == 401
    assert refusal(url, tokens.issue(user=ada)[1]).status_code == 400


@pytest.mark.parametrize("is_client", [False, True], ids=["agent", "client"])
def test_a_build_that_is_queued_before_a_socket_has_joined(
    live_api, token, agent, ada, workspace, monkeypatch, is_client
):
    """Its notification comes before there is a room, and is made up for."""
    coordinator = coordinator_of(live_api)
    with connected_agent(live_api, token):  # it listens from now on
        pass
    attach = coordinator.attach

    def queue() -> None:
        build(ada, workspace, "stop")
        connections.close_all()

    async def attach_late(hub):
        if not asked:
            asked.append(True)
            await asyncio.to_thread(queue)
            await asyncio.sleep(0.5)
        await attach(hub)

    asked: list[bool] = []
    monkeypatch.setattr(coordinator, "attach", attach_late)
    joining = connected_client(live_api, agent, ada) if is_client else Socket(f"{live_api.ws_url}{OWN}", token)
    with joining as socket:
        assert socket.closed_with() == 1001


def test_a_notification_that_is_too_long_stops_no_others(live_api, other, token, agent, ada, caplog):  # noqa: F811
    with connected_agent(live_api, token) as program, connected_client(other, agent, ada) as client:
        run_on(live_api, lambda one: _pass_on(one, agent.pk, b'{"x": "' + b"a" * 8000 + b'"}'))
        assert "is dropped" in caplog.text
        assert len(caplog.text) < 2000
        program.send(node(1))
        client.until(1)


async def _pass_on(coordinator, agent_id, text):
    room = coordinator.rooms[agent_id]
    coordinator.pass_on(room, room.agent, text)


def test_a_peer_with_odd_scopes_does_not_silence_its_process(live_api, other, token, agent, ada):  # noqa: F811
    odd = ["[fe80::1%" + "\x01" * 48 + "]:1"] * 32
    with connected_agent(live_api, token) as program, connected_client(other, agent, ada) as client:
        program.send(node(1, endpoints=odd, addresses=["fe80::1%\ud800/64"]))
        client.until(1)
        program.send(node(2))
        client.until(2)


def test_a_build_that_was_canceled_before_it_ran_does_not_keep_the_agent_out(live_api, token, agent, ada, workspace):
    from coderproj.identity.actor import Actor
    from templates_app.workspaces.models import WorkspaceBuild

    stop = build(ada, workspace, "stop")
    assert refusal(f"{live_api.ws_url}{OWN}", token).status_code == 403
    builds.cancel(Actor.of(ada), WorkspaceBuild.objects.get(pk=stop.pk))
    with connected_agent(live_api, token):
        wait_for_status(ada, agent, "connected")


@pytest.mark.parametrize("loss", ["key", "membership", "suspension"])
def test_client_who_loses_the_right(live_api, token, agent, ada, owner, loss):
    """W74: closed by the check of each minute; others go on."""
    with (
        connected_agent(live_api, token) as program,
        connected_client(live_api, agent, ada) as client,
        connected_client(live_api, agent, owner) as other_client,
    ):
        match loss:
            case "key":
                ApiKey.objects.filter(user=ada).delete()
            case "membership":
                Membership.objects.filter(user=ada).delete()
            case "suspension":
                type(ada).objects.filter(pk=ada.pk).update(status="suspended")
        run_on(live_api, lambda one: one.check(list(one.rooms)))
        if loss == "suspension":  # the workspace's owner: its agent is refused as well
            assert program.closed_with() == client.closed_with() == other_client.closed_with() == 1001
        else:
            assert client.closed_with() == 1008
            program.send(node(1))
            other_client.until(1)


def test_other_workspaces_do_not_matter(live_api, token, agent, ada, template, built):
    from tests.factories import make_workspace

    with connected_agent(live_api, token) as program, connected_client(live_api, agent, ada) as client:
        second = make_workspace(user=ada, template=template)
        build(ada, second, "stop")
        finish_build()
        program.send(node(1))
        client.until(1)


# ---------------------------------------------------------------------- the server stops
def test_a_server_that_stops_closes_all_sockets(token, agent, ada):
    """RAG-07: 1001, and the agents are shown as disconnected; the agent can connect to the next server at once."""
    server = Server()
    with server.in_thread():
        api = LiveApi(server)
        with connected_agent(api, token) as program, connected_client(api, agent, ada) as client:
            server.stop()
            assert program.closed_with() in {1001, 1012}
            assert client.closed_with() in {1001, 1012}
    row = WorkspaceAgent.objects.get()
    assert row.disconnected_at is not None
    assert (row.served_by, row.alive_until) == (None, None)
    assert shown(ada, agent)["status"] == "disconnected"
