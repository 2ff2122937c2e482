"""What the processes tell each other about agents and clients, as notifications of PostgreSQL."""

import json
import uuid
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a process tells the others: a node of an agent or of a client; an agent connected, which asks for the
    clients' nodes; a client connected, which asks for the agent's node."""

    AGENT = "agent"
    CLIENT = "client"
    CONNECTED = "connected"
    WANTED = "wanted"


WITH_NODE = (Kind.AGENT, Kind.CLIENT)


class BadMessage(Exception):
    """A notification is not one of a process of this version."""


@dataclass(frozen=True, slots=True)
class Message:
    """A notification: ``node`` in those about nodes, ``at`` in those about an agent that connected."""

    sender: int
    kind: Kind
    agent_id: uuid.UUID
    peer_id: str
    node: bytes = b""
    at: float = 0.0

    @classmethod
    def read(cls, payload: str) -> "Message":
        """Return the message in a notification. Raises BadMessage."""
        try:
            found = json.loads(payload)
            kind, peer_id, node = Kind(found["kind"]), found["peer"], b""
            if kind in WITH_NODE:
                if not isinstance(found["node"], dict):
                    raise BadMessage
                node = json.dumps(found["node"], separators=(",", ":")).encode()
            at = float(found["at"]) if kind == Kind.CONNECTED else 0.0
            if not isinstance(peer_id, str):
                raise BadMessage
            return cls(found["from"], kind, uuid.UUID(found["agent"]), peer_id, node, at)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            raise BadMessage from None
