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


class Room(NamedTuple):
    """What is announced in the room of an agent: by the agent itself, and by users."""

    agents: frozenset[Claim] = frozenset()
    clients: frozenset[Claim] = frozenset()

    @classmethod
    def of(cls, claims: Iterable[Claim]) -> "Room":
        sides: tuple[set[Claim], set[Claim]] = (set(), set())
        for claim in claims:
            sides[not claim.is_agent].add(claim)
        return cls(*map(frozenset, sides))

    def opposite(self, claim: Claim) -> frozenset[Claim]:
        """Return those whom the claim's node may send to: clients do not reach each other."""
        return self.clients if claim.is_agent else self.agents


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
        self._rooms: dict[uuid.UUID, Room] = {}
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
            changed |= self._replace_room(agent_id, Room.of(new))
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
    def _replace_room(self, agent_id: uuid.UUID, new: Room) -> set[bytes]:
        """Return the keys whose claims have changed."""
        old = self._rooms.get(agent_id, Room())
        if old == new:
            return set()
        if new == Room():
            del self._rooms[agent_id]
        else:
            self._rooms[agent_id] = new
        removed = (old.agents - new.agents) | (old.clients - new.clients)
        added = (new.agents - old.agents) | (new.clients - old.clients)
        for claim in removed:
            self._claims[claim.key].discard(claim)
            if not self._claims[claim.key]:
                del self._claims[claim.key]
        for claim in added:
            self._claims[claim.key].add(claim)
        return {claim.key for claim in removed | added}

    def _update(self, changed: set[bytes]) -> None:
        """Compute again whom the changed keys may send to, and who may send to them. Partners are mutual, so no other
        key is looked at but those of their rooms' opposite sides: a large room must not make each change expensive."""
        for key in changed:
            self._separate(key)
        for key in changed & self.peers.keys():
            self._pair(self.peers[key])
        for key in changed & self._awaited.keys() & self.peers.keys():
            for call in self._awaited.pop(key):
                call()

    def _separate(self, key: bytes) -> None:
        """Take a key from its partners, and make the peer that the owner of its first claim asks for."""
        claims, peer = self._claims.get(key), self.peers.get(key)
        owner_id = min(claims).owner_id if claims else None
        if peer is not None:
            for partner in peer.partners.values():
                partner.partners.pop(key, None)
            peer.partners.clear()
            if peer.owner_id != owner_id:
                del self.peers[key]
                for connection in list(peer.connections):
                    connection.end("its key may not connect any more")
        if owner_id is not None and key not in self.peers:
            self.peers[key] = Peer(key, owner_id)

    def _pair(self, peer: Peer) -> None:
        """Make partners of a key and those whom it may send to, of the claims whose owner was first."""
        for claim in self._claims[peer.key]:
            if claim.owner_id != peer.owner_id:
                continue
            for other in self._rooms[claim.agent_id].opposite(claim):
                partner = self.peers[other.key]
                if other.owner_id == partner.owner_id and partner is not peer:
                    peer.partners[other.key] = partner
                    partner.partners[peer.key] = peer
