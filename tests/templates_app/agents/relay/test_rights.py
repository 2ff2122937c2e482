"""The relay and its table, without a process."""

import asyncio
import uuid

import pytest
from django.db import connection

from templates_app.agents.models import RelayPeer
from templates_app.agents.relay import rights
from templates_app.agents.relay.peers import Directory
from templates_app.agents.relay.rights import Rights
from tests.templates_app.agents.relay.clients import SECONDS

pytestmark = pytest.mark.django_db(transaction=True)

AGENT, USER = uuid.uuid4(), uuid.uuid4()


def announce(owner_id: uuid.UUID, key: bytes) -> None:
    RelayPeer.objects.create(agent_id=AGENT, owner_id=owner_id, key=key, socket=key.hex()[:32], served_by=1)


async def until(condition) -> None:
    async with asyncio.timeout(SECONDS):
        while not condition():
            await asyncio.sleep(0.01)


def run_with(work) -> None:
    """Run a coroutine function of a directory and its rights while the rights are kept."""

    async def run() -> None:
        directory = Directory()
        kept = Rights(directory, connection.settings_dict)
        keeping = asyncio.create_task(kept.run())
        try:
            await until(kept.is_complete.is_set)
            await work(directory, kept)
            assert not keeping.done()
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)

    asyncio.run(run())


def test_old_knowledge_ends_all_connections(monkeypatch, caplog):
    """Decision 23: without the database, it is unknown who still has the right."""
    announce(AGENT, bytes(32))
    assert rights.TRUST_SECONDS + 1 < 60

    async def work(directory: Directory, kept: Rights) -> None:
        assert len(directory) == 1
        monkeypatch.setattr(rights, "TRUST_SECONDS", 0.0)
        await until(lambda: not len(directory))
        monkeypatch.undo()
        kept._read_all_soon()
        await until(lambda: len(directory) == 1)

    run_with(work)
    assert "has not answered" in caplog.text


def test_changes_without_a_notification_are_found(monkeypatch):
    monkeypatch.setattr(rights, "READ_SECONDS", 0.05)

    async def work(directory: Directory, kept: Rights) -> None:
        assert len(directory) == 0
        await asyncio.to_thread(write)
        await until(lambda: len(directory) == 2)
        agent, client = (directory.peers[letter * 32] for letter in (b"a", b"b"))
        assert agent.partners == {client.key: client}

    def write() -> None:
        announce(AGENT, b"a" * 32)
        announce(USER, b"b" * 32)
        connection.close()

    run_with(work)


@pytest.mark.parametrize("batch", [1, 2, 3, 100])
def test_complete_reads_in_batches(monkeypatch, batch):
    """Rooms of one to four keys, some of which are in two batches; those without rows are removed."""
    monkeypatch.setattr(rights, "BATCH", batch)
    rooms = [uuid.uuid4() for _ in range(5)]
    for number, agent_id in enumerate(rooms):
        for client in range(number):
            key = bytes([number, client]) * 16
            RelayPeer.objects.create(agent_id=agent_id, owner_id=USER, key=key, socket=key.hex()[:32], served_by=1)
        key = bytes([number, 255]) * 16
        RelayPeer.objects.create(agent_id=agent_id, owner_id=agent_id, key=key, socket=key.hex()[:32], served_by=1)

    def remove() -> None:
        RelayPeer.objects.filter(agent_id__in=rooms[:3]).delete()
        connection.close()

    async def work(directory: Directory, kept: Rights) -> None:
        sizes = {number: len(directory.peers[bytes([number, 255]) * 16].partners) for number in range(5)}
        assert sizes == {0: 0, 1: 1, 2: 2, 3: 3, 4: 4}
        assert len(directory) == 15
        await asyncio.to_thread(remove)
        kept._read_all_soon()
        await until(lambda: len(directory) == 9)
        assert directory.rooms() == set(rooms[3:])

    run_with(work)


def test_malformed_notifications_are_ignored(caplog):
    kept = Rights(Directory(), connection.settings_dict)
    for payload in ("", "x", "[" * 7000, str(AGENT)):
        kept._room_changed(payload)
    assert kept._changed == {AGENT}
    assert caplog.text.count("malformed") == 3


def test_statements_that_fail_are_repeated(monkeypatch, caplog):
    monkeypatch.setattr(rights, "READ_ALL_SQL", "SELECT * FROM no_such_table")

    async def run() -> None:
        directory = Directory()
        kept = Rights(directory, connection.settings_dict)
        keeping = asyncio.create_task(kept.run())
        await until(lambda: "trying again" in caplog.text)
        monkeypatch.undo()
        await until(kept.is_complete.is_set)
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)

    asyncio.run(run())
