"""An agent with its clients, as far as they are connected to this process."""

import asyncio
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

# Nodes that can wait for a peer before only the newest of each sender is kept, and then the newest at all.
MAX_WAITING = 256

NORMAL, GOING_AWAY = 1000, 1001
UNSUPPORTED, POLICY, TOO_LONG = 1003, 1008, 1009


class Peer:
    """One socket, of an agent or a client: its node, and the nodes that wait to be sent to it.

    ``connected_at`` orders the sockets of one agent: the database's time in seconds. ``keys`` is how many keys it has
    announced to the relay.
    """

    def __init__(self, *, is_greeted: bool, key_id: str = "") -> None:
        self.id = uuid.uuid4().hex
        self.key_id = key_id
        self.node: bytes | None = None
        self.connected_at = 0.0
        self.keys = 0
        self.end: tuple[int, str] | None = None
        self.has_lost_right = False
        self.when_ended: Callable[[], None] | None = None
        self._is_greeted = is_greeted
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._changed = asyncio.Event()

    def put(self, sender: str, node: bytes) -> None:
        """Let a node wait for the peer. ``sender`` is the id of the peer that it describes."""
        if len(self._waiting) >= MAX_WAITING:
            newest = dict(self._waiting)
            self._waiting = deque(newest.items(), maxlen=None)
            while len(self._waiting) >= MAX_WAITING:
                self._waiting.popleft()
        self._waiting.append((sender, node))
        self._changed.set()

    def close(self, code: int, reason: str, *, lost_right: bool = False) -> None:
        """Make the socket close, unless it does already. ``lost_right``: the peer may not come back. ``when_ended`` is
        called at once: a peer that reads nothing delays the end of its socket."""
        is_first = self.end is None or lost_right > self.has_lost_right
        self.has_lost_right |= lost_right
        if self.end is None:
            self.end = code, reason
            self._changed.set()
        if is_first and self.when_ended is not None:
            self.when_ended()

    async def take(self) -> list[bytes] | None:
        """Return the nodes that wait, None when the socket must close. The first call for an agent returns at once: an
        agent receives all known clients, possibly none."""
        while self.end is None and self._is_greeted and not self._waiting:
            self._changed.clear()
            await self._changed.wait()
        if self.end is not None:
            return None
        self._is_greeted = True
        nodes = [node for _, node in self._waiting]
        self._waiting.clear()
        return nodes


@dataclass(slots=True, eq=False)
class Room:
    """An agent and its clients. ``lock`` orders what connections and disconnections of the agent write."""

    agent_id: uuid.UUID
    workspace_id: uuid.UUID
    organization_id: uuid.UUID
    owner_id: uuid.UUID
    agent: Peer | None = None
    clients: dict[str, Peer] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    visitors: int = 0

    def peers(self) -> list[Peer]:
        return [*self.clients.values(), *([self.agent] if self.agent is not None else [])]

    def close(self, code: int, reason: str, *, lost_right: bool = False) -> None:
        """Close all sockets."""
        for peer in self.peers():
            peer.close(code, reason, lost_right=lost_right)

    def tell_clients(self, sender: str, node: bytes) -> None:
        """Pass the agent's node on to all clients."""
        for client in self.clients.values():
            client.put(sender, node)
