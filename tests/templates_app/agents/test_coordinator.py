"""The coordinator of a process by itself, without sockets and a database."""

import asyncio
import json
import uuid
from typing import Any

import psycopg
import pytest

from templates_app.agents.coordination import coordinator as coordination
from templates_app.agents.coordination import presence
from templates_app.agents.coordination.coordinator import CHANNEL, Coordinator
from templates_app.agents.coordination.messages import BadMessage, Kind, Message
from templates_app.agents.coordination.rooms import Peer, Room

AGENT = uuid.uuid4()


def make_room() -> Room:
    return Room(AGENT, uuid.uuid4(), uuid.uuid4(), uuid.uuid4())


def message(**fields: Any) -> str:
    return json.dumps({"from": 1, "kind": "agent", "agent": str(AGENT), "peer": "a", "node": {"id": 1}, **fields})


def test_cancellation_while_an_agent_connects():
    """Nobody is left in the room, and the end is recorded in case that the connection was."""
    statements = []

    async def run() -> None:
        coordinator, room = Coordinator(), make_room()

        async def rows(sql: str, parameters: Any) -> list[Any]:
            statements.append(sql)
            if sql == presence.CONNECT_SQL:
                await asyncio.Event().wait()
            return []

        coordinator._rows = rows

        async def connect() -> None:
            async with coordinator.agent(room):
                raise AssertionError("The agent has not connected.")

        task = asyncio.create_task(connect())
        while not statements:
            await asyncio.sleep(0)
        assert room.agent is not None
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert room.agent is None
        assert not coordinator.rooms

    asyncio.run(run())
    assert statements == [presence.CONNECT_SQL, presence.DISCONNECT_SQL]


MALFORMED = [
    "",
    "[]",
    "1",
    "[" * 7000,
    message(agent="x"),
    message(agent=1),
    message(kind="other"),
    message(kind=[]),
    message(peer=["a"]),
    message(node=None),
    message(node="x"),
    message(kind="connected"),
    message(kind="connected", at="soon"),
    message(kind="connected", at=None),
    message(kind="connected", at=10**400),
]


@pytest.mark.parametrize("payload", MALFORMED, ids=range(len(MALFORMED)))
def test_malformed_notifications_are_ignored(payload):
    with pytest.raises(BadMessage):
        Message.read(payload)

    async def run() -> None:
        coordinator = Coordinator()
        room = coordinator.rooms[AGENT] = make_room()
        room.agent = Peer(is_greeted=True)
        room.agent.connected_at = 1.0
        client = room.clients["c"] = Peer(is_greeted=True)
        coordinator._receive(payload)
        assert room.agent.end is None
        coordinator._receive(message())
        assert await client.take() == [b'{"id":1}']

    asyncio.run(run())


@pytest.mark.parametrize(
    "payload", ["a" * 8000, "\x00", "\ud800", "\u00e9" * 4000], ids=["long", "NUL", "surrogate", "long in bytes"]
)
def test_notifications_that_postgresql_refuses_are_dropped(payload, caplog):
    async def run() -> None:
        coordinator = Coordinator()
        coordinator._queue(("a",), CHANNEL, payload)
        coordinator._queue(("b",), CHANNEL, "b" * 7999)
        assert list(coordinator._outgoing) == [("b",)]

    asyncio.run(run())
    assert len(caplog.messages) == 1
    assert len(caplog.messages[0]) < 200


def test_work_goes_on_after_an_error_of_the_database(monkeypatch, caplog):
    """Of publishing, of renewals, of looks for dead processes and of checks."""
    asked = []

    async def run() -> None:
        coordinator, room = Coordinator(), make_room()
        coordinator.rooms[AGENT] = room
        room.agent = Peer(is_greeted=True)
        room.agent.connected_at = 1.0
        is_broken = True

        async def rows(sql: str, parameters: Any) -> list[Any]:
            asked.append(sql)
            if is_broken:
                raise psycopg.DataError("payload string too long")
            return [(AGENT,)]

        coordinator._rows = rows
        loops = (
            coordinator._keep_publishing(),
            coordinator._keep_renewing(),
            coordinator._keep_withdrawing(),
            coordinator._keep_checking(),
        )
        tasks = [asyncio.create_task(one) for one in loops]
        for _ in range(2):
            asked.clear()
            coordinator._send(Kind.WANTED, room, room.agent)
            coordinator._must_renew.set()
            coordinator._check_soon(room)
            await asyncio.sleep(0.1)
            assert {presence.NOTIFY_SQL, presence.RENEW_SQL, presence.WITHDRAW_SQL} <= set(asked)
            assert len(asked) >= 4
            is_broken = False
        assert not any(task.done() for task in tasks)
        await coordinator.end_streams(0)
        for task in tasks:
            task.cancel()

    monkeypatch.setattr("templates_app.agents.coordination.coordinator.GATHER_SECONDS", 0.01)
    monkeypatch.setattr("templates_app.agents.coordination.coordinator.WITHDRAW_SECONDS", 0.01)
    asyncio.run(run())
    assert "Nodes cannot be sent" in caplog.text


@pytest.mark.parametrize("is_regular", [False, True], ids=["of a change", "of all"])
def test_a_check_that_fails_is_repeated_soon(monkeypatch, is_regular):
    """Decision 23: otherwise a lost right would outlast a minute."""
    monkeypatch.setattr(coordination, "GATHER_SECONDS", 0.01)
    monkeypatch.setattr(coordination, "RETRY_SECONDS", 0.01)
    if is_regular:
        monkeypatch.setattr(coordination, "CHECK_SECONDS", 0.01)

    async def run() -> None:
        coordinator, room = Coordinator(), make_room()
        coordinator.rooms[AGENT] = room
        room.agent = Peer(is_greeted=True)
        failures = 0

        async def rows(sql: str, parameters: Any) -> list[Any]:
            nonlocal failures
            if not failures:
                failures += 1
                raise psycopg.OperationalError("the connection is lost")
            return []  # the build is outdated

        coordinator._rows = rows
        if not is_regular:
            coordinator._check_soon(room)
        task = asyncio.create_task(coordinator._keep_checking())
        await asyncio.sleep(0)
        monkeypatch.setattr(coordination, "CHECK_SECONDS", 3600.0)  # of the looks after the first
        async with asyncio.timeout(20):
            assert await room.agent.take() is None
        assert failures == 1
        task.cancel()

    asyncio.run(run())
