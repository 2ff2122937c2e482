"""A client of the relay, written from the contract alone (§5C.4), and relays with known keys for it."""

import asyncio
import json
import socket
import struct
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from nacl.public import Box, PrivateKey, PublicKey

from templates_app.agents.relay.peers import Claim, Directory
from templates_app.agents.relay.server import Limits, Relay

SECONDS = 20.0
REQUEST = b"GET /derp HTTP/1.1\r\nHost: relay\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n\r\n"
SERVER_KEY, CLIENT_INFO, SERVER_INFO, SEND, RECEIVE, KEEP_ALIVE, PREFERRED, GONE = range(1, 9)
PING, PONG = 0x12, 0x13


# The connections of the running test.
_writers: list[asyncio.StreamWriter] = []


async def connect(port: int, host: str = "127.0.0.1") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection, which ``running`` closes at its end."""
    reader, writer = await asyncio.open_connection(host, port, limit=2**20)
    _writers.append(writer)
    return reader, writer


async def close_all() -> None:
    while _writers:
        writer = _writers.pop()
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()


def frame(kind: int, payload: bytes = b"") -> bytes:
    return struct.pack(">BI", kind, len(payload)) + payload


def client_info(key: PrivateKey, server: bytes, **fields: Any) -> bytes:
    """Return the payload of a client info."""
    info = {"version": 2, "CanAckPings": True, **fields}
    return bytes(key.public_key) + Box(key, PublicKey(server)).encrypt(json.dumps(info).encode())


class Client:
    """A connection to a relay. ``key`` is the private key of its node."""

    def __init__(self, key: PrivateKey | None = None) -> None:
        self.key = key or PrivateKey.generate()
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter
        self.server_key = b""
        self.head = b""

    @property
    def public(self) -> bytes:
        return bytes(self.key.public_key)

    async def open(self, port: int, request: bytes = REQUEST, *, host: str = "127.0.0.1") -> "Client":
        """Send the request and read the response up to its empty line."""
        self.reader, self.writer = await connect(port, host)
        self.writer.write(request)
        self.head = await self.within(self.reader.readuntil(b"\r\n\r\n"))
        return self

    async def greet(self, port: int, *, host: str = "127.0.0.1", **fields: Any) -> "Client":
        """Go on to the client info."""
        await self.open(port, host=host)
        kind, payload = await self.read()
        assert (kind, payload[:8]) == (SERVER_KEY, b"DERP" + "\U0001f511".encode())
        self.server_key = payload[8:40]
        self.write(CLIENT_INFO, client_info(self.key, self.server_key, **fields))
        return self

    async def connect(self, port: int, *, host: str = "127.0.0.1") -> "Client":
        """Go through the whole handshake."""
        await self.greet(port, host=host)
        kind, payload = await self.read()
        assert kind == SERVER_INFO
        self.info = json.loads(Box(self.key, PublicKey(self.server_key)).decrypt(payload))
        assert self.info["version"] == 2
        return self

    def write(self, kind: int, payload: bytes = b"") -> None:
        self.writer.write(frame(kind, payload))

    def send(self, to: "Client", packet: bytes) -> None:
        self.write(SEND, to.public + packet)

    async def read(self) -> tuple[int, bytes]:
        """Return the type and the payload of the next frame."""
        kind, length = struct.unpack(">BI", await self.within(self.reader.readexactly(5)))
        return kind, await self.within(self.reader.readexactly(length))

    async def receive(self, sender: "Client") -> bytes:
        """Return the next packet, which must be of this sender."""
        kind, payload = await self.read()
        assert (kind, payload[:32]) == (RECEIVE, sender.public)
        return payload[32:]

    async def answered(self) -> None:
        """Wait until the relay has acted on everything that was sent."""
        self.write(PING, b"answered")
        assert await self.read() == (PONG, b"answered")

    async def closed(self) -> None:
        """Wait until the relay has closed the connection. What it has sent before is dropped."""
        with suppress(ConnectionError):
            while await self.within(self.reader.read(65536)):
                pass

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError):
            await self.within(self.writer.wait_closed())

    async def within(self, work: Any) -> Any:
        async with asyncio.timeout(SECONDS):
            return await work


class Rooms:
    """Announcements without a database: agents with their clients."""

    def __init__(self) -> None:
        self.directory = Directory()
        self.claims: list[Claim] = []

    def add(self, agent: Client | None, *clients: Client, agent_id: Any = None, user_id: Any = None) -> uuid.UUID:
        """Announce an agent and clients, each of another user unless ``user_id`` is given. Return the agent's id."""
        agent_id = agent_id or uuid.uuid4()
        if agent is not None:
            self.claims.append(Claim(len(self.claims), agent_id, agent_id, agent.public))
        for client in clients:
            self.claims.append(Claim(len(self.claims), agent_id, user_id or uuid.uuid4(), client.public))
        self.directory.replace_all(self.claims)
        return agent_id

    def remove(self, client: Client) -> None:
        self.claims = [claim for claim in self.claims if claim.key != client.public]
        self.directory.replace_all(self.claims)


class Running:
    """A relay in this process."""

    def __init__(self, relay: Relay, rooms: Rooms, port: int) -> None:
        self.relay, self.rooms, self.port = relay, rooms, port

    async def client(self, key: PrivateKey | None = None) -> Client:
        """Connect a client, whose key must be announced."""
        return await Client(key).connect(self.port)

    async def pair(self) -> tuple[Client, Client]:
        """Connect an agent and a client of it."""
        keys = PrivateKey.generate(), PrivateKey.generate()
        self.rooms.add(Client(keys[0]), Client(keys[1]))
        return await self.client(keys[0]), await self.client(keys[1])

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(SECONDS):
            while not condition():
                await asyncio.sleep(0.005)


@asynccontextmanager
async def running(limits: Limits | None = None, **options: Any) -> AsyncIterator[Running]:
    """Run a relay on a free port of loopback."""
    listening = socket.create_server(("127.0.0.1", 0))
    rooms = Rooms()
    relay = Relay(PrivateKey.generate(), rooms.directory, limits or Limits(), **options)
    await relay.start(listening)
    found = Running(relay, rooms, listening.getsockname()[1])
    try:
        yield found
    finally:
        await close_all()
        await relay.stop()
