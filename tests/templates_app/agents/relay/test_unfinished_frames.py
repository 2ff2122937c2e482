"""Frames that begin and do not end: the relay keeps them, so they have a time."""

from templates_app.agents.relay import connection
from tests.templates_app.agents.relay.clients import SEND, frame, running
from tests.templates_app.agents.relay.test_handshake import on_loop


@on_loop
async def test_a_frame_that_does_not_end_ends_the_connection(monkeypatch):
    monkeypatch.setattr(connection, "FRAME_SECONDS", 0.2)
    async with running() as relay:
        agent, client = await relay.pair()
        client.writer.write(frame(SEND, agent.public + bytes(60_000))[:-1])
        await client.closed()
        await agent.answered()
        assert len(relay.relay.connections) == 1


@on_loop
async def test_each_frame_has_its_own_time():
    async with running() as relay:
        agent, client = await relay.pair()
        (one,) = (found for found in relay.relay.connections if found.peer.key == client.public)
        data = frame(SEND, agent.public + b"first") + frame(SEND, agent.public + b"second")
        client.writer.write(data[:10])
        await relay.until(lambda: one._rest)
        one._rest_since -= connection.FRAME_SECONDS
        client.writer.write(data[10:-1])
        assert await agent.receive(client) == b"first"
        await relay.until(lambda: one._rest)
        one._check_frame()
        client.writer.write(data[-1:])
        assert await agent.receive(client) == b"second"
