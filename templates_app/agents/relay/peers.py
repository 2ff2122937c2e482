"""Which keys may connect, and whom each may send to: an agent and its clients, as they announced themselves.

A key belongs to the agent or user that announced it first. A later announcement of the same key by another one is
ignored: node keys are no secret, and packets for a key must not be drawn to, or be sent by, those who merely know it.
"""

import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol


class Claim(NamedTuple):
    """A row: the key of a node, announced in the room of an agent by the agent itself or a user."""

    id: int
    agent_id: uuid.UUID
    owner_id: uuid.UUID
    key: bytes

    @property
    def is_agent(self) -> bool:
        return self.owner_id == self.agent_id


class Receiver(Protocol):
    """A connection, as far as others need it."""

    def deliver(self, frames: bytes, packets: int) -> None: ...

    def tell_gone(self, key: bytes) -> None: ...

    def end(self, reason: str) -> None: ...


@dataclass(slots=True, eq=False)
class Peer:
    """A key that may connect. ``partners`` are those that it may send to, ``met`` those with whom it exchanged packets.
    Of its connections, the last receives."""

    key: bytes
    owner_id: uuid.UUID
    partners: dict[bytes, "Peer"] = field(default_factory=dict)
    met: set["Peer"] = field(default_factory=set)
    connections: list[Receiver] = field(default_factory=list)
    receiver: Receiver | None = None

    def connect(self, connection: Receiver) -> None:
        self.connections.append(connection)
        self.receiver = connection

    def disconnect(self, connection: Receiver) -> None:
        """Forget a connection. After the last one, those whom the peer has met are notified."""
        self.connections.remove(connection)
        self.receiver = self.connections[-1] if self.connections else None
        if self.receiver is None:
            met, self.met = self.met, set()
            for other in met:
                other.met.discard(self)
                if other.receiver is not None:
                    other.receiver.tell_gone(self.key)

    def meet(self, other: "Peer") -> None:
        self.met.add(other)
        other.met.add(self)


class Directory:
    """All keys that may connect. Connections of keys that are removed end."""

    def __init__(self) -> None:
        self.peers: dict[bytes, Peer] = {}
        self._rooms: dict[uuid.UUID, frozenset[Claim]] = {}
        self._claims: defaultdict[bytes, set[Claim]] = defaultdict(set)
        self._awaited: defaultdict[bytes, set[Callable[[], None]]] = defaultdict(set)

    def __len__(self) -> int:
        return len(self.peers)

    def rooms(self) -> set[uuid.UUID]:
        """Return the agents in whose rooms keys are announced."""
        return set(self._rooms)

    def replace_all(self, claims: Iterable[Claim]) -> None:
        """Take these claims instead of all others."""
        self.replace(self._rooms.keys(), claims)

    def replace(self, agent_ids: Collection[uuid.UUID], claims: Iterable[Claim]) -> None:
        """Take these claims instead of those in the rooms of these agents."""
        found: dict[uuid.UUID, set[Claim]] = {agent_id: set() for agent_id in agent_ids}
        for claim in claims:
            found.setdefault(claim.agent_id, set()).add(claim)
        changed: set[bytes] = set()
        for agent_id, new in found.items():
            changed |= self._replace_room(agent_id, frozenset(new))
        if changed:
            self._update(changed)

    def when_known(self, key: bytes, call: Callable[[], None]) -> None:
        """Call a function once the key may connect."""
        self._awaited[key].add(call)

    def stop_waiting(self, key: bytes, call: Callable[[], None]) -> None:
        if key in self._awaited:
            self._awaited[key].discard(call)
            if not self._awaited[key]:
                del self._awaited[key]

    # ------------------------------------------------------------------ changes
    def _replace_room(self, agent_id: uuid.UUID, new: frozenset[Claim]) -> set[bytes]:
        """Return the keys whose claims have changed."""
        old = self._rooms.get(agent_id, frozenset())
        if old == new:
            return set()
        if new:
            self._rooms[agent_id] = new
        else:
            del self._rooms[agent_id]
        for claim in old - new:
            self._claims[claim.key].discard(claim)
            if not self._claims[claim.key]:
                del self._claims[claim.key]
        for claim in new - old:
            self._claims[claim.key].add(claim)
        return {claim.key for claim in old ^ new}

    def _valid_claims(self, key: bytes) -> list[Claim]:
        """Return the claims of the owner who was first."""
        claims = self._claims.get(key)
        if not claims:
            return []
        owner_id = min(claims).owner_id
        return [claim for claim in claims if claim.owner_id == owner_id]

    def _update(self, changed: set[bytes]) -> None:
        """Compute again whom the changed keys may send to, and who may send to them."""
        affected = set(changed)
        for key in changed:
            for claim in self._claims.get(key, ()):
                affected.update(other.key for other in self._rooms[claim.agent_id])
            if peer := self.peers.get(key):
                affected.update(peer.partners)
        valid: dict[bytes, list[Claim]] = {}

        def valid_claims(key: bytes) -> list[Claim]:
            if key not in valid:
                valid[key] = self._valid_claims(key)
            return valid[key]

        for key in affected:
            claims, peer = valid_claims(key), self.peers.get(key)
            if peer is not None and not (claims and claims[0].owner_id == peer.owner_id):
                del self.peers[key]
                for connection in list(peer.connections):
                    connection.end("its key may not connect any more")
            if claims and key not in self.peers:
                self.peers[key] = Peer(key, claims[0].owner_id)
        for key in affected & self.peers.keys():
            self.peers[key].partners = {
                other.key: self.peers[other.key]
                for claim in valid_claims(key)
                for other in self._rooms[claim.agent_id]
                if other.is_agent != claim.is_agent and other.key != key and other in valid_claims(other.key)
            }
        for key in changed & self._awaited.keys() & self.peers.keys():
            for call in self._awaited.pop(key):
                call()
