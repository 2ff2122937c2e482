"""All connections of the relay: limits, figures, start and stop."""

import asyncio
import logging
import socket
import uuid
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields

from nacl.public import PrivateKey

from coderproj.web import addresses
from templates_app.agents.relay.connection import BUFFER_BYTES, Connection
from templates_app.agents.relay.http_head import Refused
from templates_app.agents.relay.peers import Directory
from templates_app.agents.relay.queue import Budget

logger = logging.getLogger(__name__)

# Connections of one key at a time. The newest receives; the oldest is closed.
CONNECTIONS_OF_KEY = 2
# Seconds between two lines of figures in the log.
FIGURES_SECONDS = 60.0
# Seconds for what waits in transports to be sent when the relay stops.
STOP_SECONDS = 2.0
# TCP: a peer that has gone is noticed within these seconds, and packets do not pile up in the kernel, where they could
# not be dropped any more.
USER_TIMEOUT_SECONDS, IDLE_SECONDS, UNSENT_BYTES = 45, 30, 64 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """What the relay accepts at a time, of an address before the handshake, of an agent or user after it.
    ``bytes_per_second`` of one connection, 0 for no limit."""

    connections: int = 4096
    handshakes: int = 256
    handshakes_of_address: int = 32
    connections_of_owner: int = 256
    waiting_bytes: int = 64 * 1024 * 1024
    bytes_per_second: int = 0


@dataclass(slots=True)
class Figures:
    """What has happened since the last line in the log. ``packets`` were passed on, ``bytes`` are those of dropped ones
    as well. ``dropped``: packets for receivers that read too slowly; ``unknown``: packets for keys that are absent, or
    that the sender may not send to."""

    packets: int = 0
    bytes: int = 0
    dropped: int = 0
    unknown: int = 0
    accepted: int = 0
    refused: int = 0

    def __bool__(self) -> bool:
        return any(getattr(self, one.name) for one in fields(self))


@dataclass(slots=True, eq=False)
class Relay:
    """The relay. Create and use it on one event loop."""

    key: PrivateKey
    directory: Directory
    limits: Limits = field(default_factory=Limits)
    trusted_proxies: Sequence[addresses.Network] = ()
    connections: set[Connection] = field(default_factory=set)
    figures: Figures = field(default_factory=Figures)
    budget: Budget = field(init=False)
    buffer: memoryview = field(init=False)
    # Connections that have not ended their handshake, the oldest first, with their addresses.
    handshakes: dict[Connection, str] = field(default_factory=dict)
    # The number of accepted connections of each agent and user.
    owners: Counter[uuid.UUID] = field(default_factory=Counter)
    _servers: list[asyncio.Server] = field(default_factory=list)
    _reporting: asyncio.Task[None] | None = None
    _is_empty: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.budget = Budget(self.limits.waiting_bytes)
        self.buffer = memoryview(bytearray(BUFFER_BYTES))

    # ------------------------------------------------------------------ life
    async def start(self, *sockets: socket.socket) -> None:
        """Accept connections from these listening sockets."""
        loop = asyncio.get_running_loop()
        for listening in sockets:
            prepare(listening)
            self._servers.append(await loop.create_server(lambda: Connection(self), sock=listening, backlog=1024))
        self._reporting = asyncio.create_task(self._keep_reporting())

    async def stop(self) -> None:
        """Accept nothing more, send what waits in transports, and close all connections."""
        for server in self._servers:
            server.close()
        if self._reporting is not None:
            self._reporting.cancel()
        for connection in list(self.connections):
            connection.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                while self.connections:
                    self._is_empty.clear()
                    await self._is_empty.wait()
        for connection in list(self.connections):
            connection.transport.abort()
        self.report()

    async def _keep_reporting(self) -> None:
        while True:
            await asyncio.sleep(FIGURES_SECONDS)
            self.report()

    def report(self) -> None:
        """Write a line into the log if something has happened since the last one."""
        figures = self.figures
        if figures:
            logger.info(
                "%d connections of %d keys; %d packets and %.1f MiB passed on; dropped: %d for slow receivers, %d for"
                " others; connections: %d accepted, %d refused or ended; %d KiB wait",
                len(self.connections),
                len(self.directory),
                figures.packets,
                figures.bytes / 2**20,
                figures.dropped,
                figures.unknown,
                figures.accepted,
                figures.refused,
                self.budget.used // 1024,
            )
            self.figures = Figures()

    # ------------------------------------------------------------------ what connections report
    def connected(self, connection: Connection) -> None:
        """Admit a connection to its handshake. One too many takes the place of the oldest handshake, so that many
        strangers who wait do not lock others out."""
        self.connections.add(connection)
        self.handshakes[connection] = ""
        if len(self.connections) > self.limits.connections:
            connection.end("the relay has too many connections")
            return
        if len(self.handshakes) > self.limits.handshakes:
            next(iter(self.handshakes)).end("there are too many handshakes")
        if not addresses.is_trusted(connection.address, self.trusted_proxies):
            self._count_handshake(connection)

    def forwarded(self, connection: Connection, header: str) -> None:
        """Take the address of the client from a trusted proxy."""
        if addresses.is_trusted(connection.address, self.trusted_proxies):
            connection.address = addresses.caller(connection.address, header, self.trusted_proxies) or ""
            self._count_handshake(connection)

    def _count_handshake(self, connection: Connection) -> None:
        address = addresses.network(connection.address)
        if connection in self.handshakes:
            self.handshakes[connection] = address
        same = [other for other, its in self.handshakes.items() if its == address]
        if address and len(same) > self.limits.handshakes_of_address:
            same[0].end("its address has too many handshakes")

    def accepted(self, connection: Connection) -> None:
        """Count a connection that has ended its handshake."""
        self.handshakes.pop(connection, None)
        self.figures.accepted += 1
        assert connection.peer is not None
        self.owners[connection.peer.owner_id] += 1
        if len(connection.peer.connections) > CONNECTIONS_OF_KEY:
            connection.peer.connections[0].end("its key has newer connections")
        elif self.owners[connection.peer.owner_id] > self.limits.connections_of_owner:
            connection.end("its owner has too many connections")

    def refused(self, connection: Connection, refused: Refused) -> None:
        """Count a request that is not one for an upgrade."""
        if refused.status != 200:
            self.ended(connection, f"HTTP {refused.status}")

    def ended(self, connection: Connection, reason: str) -> None:
        """Count a connection that the relay ends. Strangers can cause many, so the log has them at DEBUG only."""
        self.figures.refused += 1
        self.handshakes.pop(connection, None)
        logger.debug("the connection from %s is closed: %s", connection.address, reason)

    def disconnected(self, connection: Connection) -> None:
        self.connections.discard(connection)
        self.handshakes.pop(connection, None)
        if connection.peer is not None:
            self.owners[connection.peer.owner_id] -= 1
            self.owners += Counter()  # removes those without connections
        if not self.connections:
            self._is_empty.set()


def prepare(listening: socket.socket) -> None:
    """Set what accepted connections inherit."""
    for level, name, value in (
        (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
        (socket.IPPROTO_TCP, "TCP_KEEPIDLE", IDLE_SECONDS),
        (socket.IPPROTO_TCP, "TCP_KEEPINTVL", 5),
        (socket.IPPROTO_TCP, "TCP_KEEPCNT", 3),
        (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", USER_TIMEOUT_SECONDS * 1000),
        (socket.IPPROTO_TCP, "TCP_NOTSENT_LOWAT", UNSENT_BYTES),
    ):
        # Linux has all of them; Python 3.11 does not name the last one.
        number = getattr(socket, name, 25 if name == "TCP_NOTSENT_LOWAT" else None)
        if number is not None:
            listening.setsockopt(level, number, value)
