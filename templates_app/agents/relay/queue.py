"""The packets that wait for a receiver who reads too slowly. The oldest are dropped: tunnels need a loss to slow down,
and old packets are of least use to them."""

from collections import deque
from dataclasses import dataclass

# Packets that wait for one receiver, and their bytes, beside the buffer of its transport.
PACKETS, BYTES = 32, 128 * 1024


@dataclass(slots=True)
class Budget:
    """The bytes of all packets that wait, and how many there may be."""

    limit: int
    used: int = 0


class PacketQueue:
    """Packets of one receiver, as frames."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._waiting: deque[bytes] = deque()
        self._size = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, packet: bytes) -> int:
        """Let a packet wait. Return how many were dropped: old ones, or this one if there is no room at all."""
        size, waiting, budget = len(packet), self._waiting, self._budget
        dropped = 0
        while self._size + size > BYTES or budget.used + size > budget.limit or len(waiting) >= PACKETS:
            if not waiting:
                return dropped + 1
            self.take()
            dropped += 1
        waiting.append(packet)
        self._size += size
        budget.used += size
        return dropped

    def take(self) -> bytes:
        """Remove and return the oldest packet."""
        packet = self._waiting.popleft()
        self._size -= len(packet)
        self._budget.used -= len(packet)
        return packet

    def clear(self) -> None:
        while self._waiting:
            self.take()
