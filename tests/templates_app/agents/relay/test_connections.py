"""Frames after the handshake: packets, slow readers, keep-alives, ends."""

import asyncio
import socket
from itertools import pairwise

import pytest
from nacl.public import PrivateKey

from templates_app.agents.relay import connection
from templates_app.agents.relay import server as relay_server
from templates_app.agents.relay.queue import PACKETS, Budget, PacketQueue
from templates_app.agents.relay.server import Limits
from tests.templates_app.agents.relay.clients import (
    GONE,
    KEEP_ALIVE,
    PING,
    PONG,
    PREFERRED,
    RECEIVE,
    SEND,
    SERVER_INFO,
    Client,
    frame,
    running,
)
from tests.templates_app.agents.relay.test_handshake import on_loop


# ---------------------------------------------------------------------- packets
@on_loop
async def test_packets_both_ways():
    async with running() as relay:
        agent, client = await relay.pair()
        client.send(agent, b"to the agent")
        assert await agent.receive(client) == b"to the agent"
        agent.send(client, b"")
        agent.send(client, bytes(64 * 1024))
        assert await client.receive(agent) == b""
        assert await client.receive(agent) == bytes(64 * 1024)


@on_loop
async def test_frames_in_any_pieces_arrive_whole_and_in_order():
    """Several receivers, controls in between, and cuts at every place."""
    async with running() as relay:
        keys = [PrivateKey.generate() for _ in range(4)]
        relay.rooms.add(Client(keys[0]), *map(Client, keys[1:]))
        agent, *clients = [await relay.client(key) for key in keys]
        stranger = Client()
        sent: list[tuple[Client, bytes]] = []
        data = b""
        for number in range(300):
            to = clients[(number // 3) % 3]
            packet = number.to_bytes(2, "big") * (number % 50)
            sent.append((to, packet))
            data += frame(SEND, to.public + packet)
            if number % 7 == 0:
                data += frame(PREFERRED, b"\x01") + frame(SEND, stranger.public + b"lost")
            if number % 11 == 0:
                data += frame(0x77, bytes(number)) + frame(KEEP_ALIVE)
        cuts = [0, 1, 2, 5, 6, 40, 41, 1000, 5000, len(data)]
        for start, stop in pairwise(cuts):
            agent.writer.write(data[start:stop])
            await agent.writer.drain()
            await asyncio.sleep(0.01)
        for client in clients:
            expected = [packet for to, packet in sent if to is client]
            assert [await client.receive(agent) for _ in expected] == expected
        await agent.answered()
        assert relay.relay.figures.unknown == 43
        assert relay.relay.figures.dropped == 0


@pytest.mark.promise("S22")
@on_loop
async def test_packets_reach_only_the_agent_or_its_clients(measured):
    """CRD-08, W56: another room, another client of the agent, an absent agent and an unknown key get nothing."""
    async with running() as relay:
        agent, client = await relay.pair()
        other_agent, other_client = await relay.pair()
        key = PrivateKey.generate()
        relay.rooms.add(None, Client(key), agent_id=relay.rooms.claims[0].agent_id)
        second_client = await relay.client(key)
        for to in (other_agent, other_client, second_client, client, Client()):
            client.send(to, b"lost")
        client.send(agent, b"arrives")
        assert await agent.receive(client) == b"arrives"
        await client.answered()
        for one in (other_agent, other_client, second_client):
            await one.answered()
        assert relay.relay.figures.unknown == 5
        measured.add(forbidden_packets=5, accepted_or_passed_on=relay.relay.figures.packets - 1)


@on_loop
async def test_packets_for_an_absent_partner_are_dropped():
    """CRD-08."""
    async with running() as relay:
        agent, client = await relay.pair()
        await agent.close()
        await relay.until(lambda: len(relay.relay.connections) == 1)
        client.send(agent, b"lost")
        await client.answered()
        assert relay.relay.figures.unknown == 1


# ---------------------------------------------------------------------- wrong frames
WRONG = {
    "packet without a key": (SEND, bytes(31)),
    "packet too long": (SEND, bytes(32 + 64 * 1024 + 1)),
    "empty packet frame": (SEND, b""),
    "note without its byte": (PREFERRED, b""),
    "note of two bytes": (PREFERRED, bytes(2)),
    "ping of seven bytes": (PING, bytes(7)),
    "ping of nine bytes": (PING, bytes(9)),
    "pong of nine bytes": (PONG, bytes(9)),
    "mesh 0x09": (0x09, b""),
    "mesh 0x0a": (0x0A, bytes(32)),
    "mesh 0x10": (0x10, bytes(32)),
    "mesh 0x11": (0x11, bytes(32)),
}


@pytest.mark.parametrize("kind", WRONG)
@on_loop
async def test_wrong_frames_end_the_connection(kind):
    """What came before them is passed on."""
    async with running() as relay:
        agent, client = await relay.pair()
        client.send(agent, b"before")
        client.write(*WRONG[kind])
        assert await agent.receive(client) == b"before"
        await client.closed()
        assert await agent.read() == (GONE, client.public)


@on_loop
async def test_a_huge_length_ends_the_connection():
    async with running() as relay:
        _, client = await relay.pair()
        client.writer.write(b"\x77\xff\xff\xff\xff")
        await client.closed()


@on_loop
async def test_unknown_types_are_skipped_by_their_length():
    async with running() as relay:
        agent, client = await relay.pair()
        client.write(0x77, bytes(2**20))
        client.write(0x78)
        client.send(agent, b"after")
        assert await agent.receive(client) == b"after"


@on_loop
async def test_a_frame_that_never_ends_keeps_little():
    async with running() as relay:
        agent, client = await relay.pair()
        client.writer.write(frame(SEND, agent.public + bytes(64 * 1024))[:-1])
        await relay.until(lambda: any(len(one._rest) == 65_572 for one in relay.relay.connections))
        client.writer.write(b"\x01")
        assert await agent.receive(client) == bytes(64 * 1024 - 1) + b"\x01"
        assert all(one._rest == b"" for one in relay.relay.connections)


# ---------------------------------------------------------------------- slow readers
@on_loop
async def test_a_slow_reader_loses_the_oldest_packets_and_memory_is_bounded():
    """CRD-08: a bounded number of packets waits; others go on meanwhile, and the newest arrive."""
    async with running() as relay:
        keys = [PrivateKey.generate() for _ in range(3)]
        relay.rooms.add(Client(keys[0]), Client(keys[1]), Client(keys[2]))
        agent, slow, other = [await relay.client(key) for key in keys]
        slow.writer.transport.pause_reading()
        number = 0
        while relay.relay.figures.dropped < 1000:
            for _ in range(100):
                agent.send(slow, number.to_bytes(4, "big") + bytes(1300))
                number += 1
            await agent.answered()
        agent.send(other, b"not delayed")
        assert await other.receive(agent) == b"not delayed"
        assert 0 < relay.relay.budget.used <= PACKETS * 1400
        transport = next(one.transport for one in relay.relay.connections if one.peer.key == slow.public)
        assert transport.get_write_buffer_size() <= connection.WRITE_BYTES + connection.BUFFER_BYTES
        slow.writer.transport.resume_reading()
        received = [int.from_bytes((await slow.receive(agent))[:4], "big")]
        while received[-1] < number - 1:
            received.append(int.from_bytes((await slow.receive(agent))[:4], "big"))
        assert received == sorted(set(received))
        assert received[-PACKETS:] == list(range(number - PACKETS, number))
        assert number - len(received) == relay.relay.figures.dropped
        assert relay.relay.figures.packets == len(received) + 1
        await relay.until(lambda: relay.relay.budget.used == 0)


@on_loop
async def test_a_client_that_reads_nothing_is_disconnected(monkeypatch):
    monkeypatch.setattr(connection, "STALL_SECONDS", 0.2)
    async with running() as relay:
        agent, client = await relay.pair()
        agent.writer.transport.pause_reading()
        while not relay.relay.figures.dropped:
            client.send(agent, bytes(60_000))
            await client.answered()
        while (await client.read()) != (GONE, agent.public):
            pass
        await relay.until(lambda: len(relay.relay.connections) == 1)
        assert relay.relay.budget.used == 0


def test_queues_share_a_budget_and_have_a_limit_each():
    budget = Budget(limit=100)
    first, second = PacketQueue(budget), PacketQueue(budget)
    assert [first.put(bytes(30)) for _ in range(3)] == [0, 0, 0]
    assert second.put(bytes(20)) == 1
    assert (len(second), budget.used) == (0, 90)
    assert first.put(bytes(40)) == 1
    assert (len(first), budget.used) == (3, 100)
    first.clear()
    assert budget.used == 0
    roomy = PacketQueue(Budget(limit=10**9))
    assert sum(roomy.put(bytes(10)) for _ in range(PACKETS + 5)) == 5
    assert sum(roomy.put(bytes(60_000)) for _ in range(5)) == PACKETS + 3
    assert len(roomy) == 2


@on_loop
async def test_a_client_that_sends_faster_than_its_rate_is_read_slowly():
    async with running(Limits(bytes_per_second=20_000)) as relay:
        agent, client = await relay.pair()
        began = asyncio.get_running_loop().time()
        for _ in range(70):
            client.send(agent, bytes(1000))
        for _ in range(70):
            assert len(await agent.receive(client)) == 1000
        await client.answered()
        assert asyncio.get_running_loop().time() - began >= 1  # 72 KB, of which 40 KB are the burst


# ---------------------------------------------------------------------- life
@on_loop
async def test_the_same_key_twice():
    """CRD-09: the newer connection receives, the older can still send; a third one ends the oldest."""
    async with running() as relay:
        agent, client = await relay.pair()
        newer = await relay.client(agent.key)
        client.send(agent, b"for the newer")
        assert await newer.receive(client) == b"for the newer"
        agent.send(client, b"of the older")
        assert await client.receive(agent) == b"of the older"
        newest = await relay.client(agent.key)
        await agent.closed()
        await newest.close()
        await relay.until(lambda: len(relay.relay.connections) == 2)
        client.send(agent, b"back")
        assert await newer.receive(client) == b"back"
        await newer.close()
        assert await client.read() == (GONE, agent.public)


@on_loop
async def test_those_who_exchanged_packets_learn_that_a_peer_has_gone():
    """CRD-09."""
    async with running() as relay:
        keys = [PrivateKey.generate() for _ in range(3)]
        relay.rooms.add(*map(Client, keys))
        agent, met, other = [await relay.client(key) for key in keys]
        agent.send(met, b"hello")
        assert await met.receive(agent) == b"hello"
        await agent.close()
        assert await met.read() == (GONE, agent.public)
        await other.answered()


@on_loop
async def test_a_removed_key_is_disconnected_at_once():
    """Decision 23, as far as the relay is concerned."""
    async with running() as relay:
        agent, client = await relay.pair()
        client.send(agent, b"hello")
        await agent.receive(client)
        relay.rooms.remove(client)
        await client.closed()
        assert await agent.read() == (GONE, client.public)
        agent.send(client, b"lost")
        await agent.answered()


@on_loop
async def test_keep_alives(monkeypatch):
    """CRD-10: a minute of silence, shortened."""
    assert (connection.KEEP_ALIVE_SECONDS, connection.KEEP_ALIVE_JITTER) == (60, 5)
    monkeypatch.setattr(connection, "KEEP_ALIVE_SECONDS", 0.02)
    monkeypatch.setattr(connection, "KEEP_ALIVE_JITTER", 0.01)
    async with running() as relay:
        agent, _ = await relay.pair()
        received = [await agent.read() for _ in range(6)]
        assert received[::2] == [(KEEP_ALIVE, b"")] * 3
        pings = [payload for _, payload in received[1::2]]
        assert [kind for kind, _ in received[1::2]] == [PING] * 3
        assert len(set(pings)) == 3
        assert {len(ping) for ping in pings} == {8}


@on_loop
async def test_a_client_that_does_not_answer_a_ping_is_disconnected(monkeypatch):
    """Behind a proxy, TCP does not notice that it has gone. Clients that acknowledge no pings are not asked."""
    assert connection.PONG_SECONDS < connection.KEEP_ALIVE_SECONDS
    monkeypatch.setattr(connection, "PONG_SECONDS", 3.0)
    async with running() as relay:
        keys = [PrivateKey.generate() for _ in range(3)]
        relay.rooms.add(*map(Client, keys))
        silent, answering = [await relay.client(key) for key in keys[:2]]
        old = await Client(keys[2]).greet(relay.port, CanAckPings=False)
        assert (await old.read())[0] == SERVER_INFO
        for one in relay.relay.connections:
            one._keep_alive()
        assert (await answering.read())[0] == KEEP_ALIVE
        kind, payload = await answering.read()
        answering.write(PONG, payload)
        assert (kind, await old.read()) == (PING, (KEEP_ALIVE, b""))
        await silent.closed()
        assert {one.peer.key for one in relay.relay.connections} == {answering.public, old.public}
        await answering.answered()
        await old.answered()


@on_loop
async def test_a_half_closed_connection_ends():
    async with running() as relay:
        agent, _ = await relay.pair()
        agent.writer.write_eof()
        await agent.closed()
        await relay.until(lambda: len(relay.relay.connections) == 1)


def test_accepted_connections_notice_dead_peers_and_keep_little_in_the_kernel():
    """TCP options are inherited from the listening socket."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        relay_server.prepare(listening)
        with socket.create_connection(listening.getsockname()), listening.accept()[0] as accepted:
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == relay_server.IDLE_SECONDS
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 45_000
            assert accepted.getsockopt(socket.IPPROTO_TCP, 25) == relay_server.UNSENT_BYTES


@on_loop
async def test_a_stop_sends_what_waits_and_closes():
    async with running() as relay:
        agent, client = await relay.pair()
        for _ in range(50):
            client.send(agent, bytes(1000))
        await client.answered()
        stopping = asyncio.create_task(relay.relay.stop())
        received = 0
        while (read := await agent.within(agent.reader.read(65536))) != b"":
            received += len(read)
        assert received == 50 * (5 + 32 + 1000)
        await client.closed()
        await stopping
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", relay.port)


@on_loop
async def test_figures_are_logged_and_start_again(caplog):
    caplog.set_level("INFO")
    async with running() as relay:
        agent, client = await relay.pair()
        client.send(agent, bytes(1000))
        assert len(await agent.receive(client)) == 1000
        client.send(Client(), b"lost")
        await client.answered()
        relay.relay.report()
        relay.relay.report()
        (line,) = [record.getMessage() for record in caplog.records]
        assert line.startswith("2 connections of 2 keys; 1 packets and 0.0 MiB passed on; dropped: 0 for slow")
        assert "1 for others; connections: 2 accepted, 0 refused" in line


def test_receive_frames_are_as_long_as_send_frames():
    """They are rewritten in place."""
    assert len(frame(SEND, bytes(32))) == len(frame(RECEIVE, bytes(32)))
