"""Announces the keys of connected agents and clients to the relay, in a table, if the deployment has a relay.

A row is written when a node comes with a new key and when its socket ends. A peer that has lost its right is removed at
once. Otherwise its key counts for GRACE more, so that tunnels survive a lost socket or a restart of the web server.
"""

import asyncio
import json
import logging
import uuid
from collections.abc import Coroutine, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from django.conf import settings

from provisioning.log.following.hub import Hub
from templates_app.agents.coordination.relay_rows import (
    ANNOUNCE_SQL,
    CLEAN_SQL,
    FORGET_SQL,
    GRACE,
    HELD_SQL,
    SERVED_SQL,
    STALE_SQL,
)
from templates_app.agents.coordination.rooms import POLICY, Peer

logger = logging.getLogger(__name__)

# Seconds between looks whether the rows of this process are complete.
RENEWAL_SECONDS = 10.0
PER_STATEMENT = 1000
# Keys that one socket can announce. A node never changes its key; each change makes the relay read its room again.
MAX_KEYS = 8


@dataclass(frozen=True, slots=True)
class Announcement:
    """The key of a node, in the room of an agent, of the agent itself or a user."""

    agent_id: uuid.UUID
    owner_id: uuid.UUID
    key: bytes


class Announcer:
    """Announces the keys of the nodes of this process. Does nothing without a relay."""

    key: ClassVar[str] = "relay_announcements"

    def __init__(self) -> None:
        self._announced: dict[str, Announcement] = {}
        self._waiting: set[str] = set()
        self._ended: dict[str, bool] = {}
        self._has_waiting = asyncio.Event()
        self._hub: Hub | None = None
        self._process = 0
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Nothing: the first socket starts the work."""

    def attach(self, hub: Hub, process: int) -> None:
        """Begin to write, with the statements of this hub and the number of this process."""
        if self._hub is None and settings.RELAY_URL:
            self._hub, self._process = hub, process
            work = self._keep_writing(), self._keep_renewing(), self._end_with(hub)
            self._tasks = [asyncio.create_task(one) for one in work]

    async def end_streams(self, timeout: float) -> None:
        """Nothing: keys of a process that stops get their grace from the relay, like those of one that died."""

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._hub, self._tasks = None, []

    async def _end_with(self, hub: Hub) -> None:
        """End the work with the hub, whose pool is closed afterwards."""
        await hub.stopping.wait()
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()

    # ------------------------------------------------------------------ sockets
    def announce(self, peer: Peer, *, agent_id: uuid.UUID, owner_id: uuid.UUID, node: bytes) -> None:
        """Announce the key of a node that a peer has sent, if it is new. Too many make the socket close."""
        if self._hub is None or peer.end is not None:
            return
        key = bytes.fromhex(json.loads(node)["key"].removeprefix("nodekey:"))
        announcement = Announcement(agent_id, owner_id, key)
        if self._announced.get(peer.id) != announcement:
            if peer.keys >= MAX_KEYS:
                peer.close(POLICY, "The node changes its key too often.")
                return
            peer.keys += 1
            self._announced[peer.id] = announcement
            self._waiting.add(peer.id)
            self._has_waiting.set()

    def forget(self, peer: Peer) -> None:
        """The socket of a peer has ended, or will as soon as the peer reads. A later loss of the right counts too."""
        if self._hub is None:
            return
        if self._announced.pop(peer.id, None) is not None or peer.has_lost_right:
            self._waiting.discard(peer.id)
            self._ended[peer.id] = peer.has_lost_right
            self._has_waiting.set()

    # ------------------------------------------------------------------ rows
    async def _keep_writing(self) -> None:
        while True:
            await self._has_waiting.wait()
            self._has_waiting.clear()
            await self._surviving(self.write(), "Keys cannot be announced to the relay")

    async def _surviving(self, work: Coroutine[Any, Any, None], message: str) -> None:
        """Log an exception instead of raising it: the next look completes the rows."""
        try:
            await work
        except Exception:
            logger.exception(message)

    async def write(self) -> None:
        """Write what has changed. Of one key that several sockets announce, the last counts."""
        waiting, self._waiting = self._waiting, set()
        ended, self._ended = self._ended, {}
        try:
            for batch in _batches(waiting):
                await self._write_announced(batch)
            for batch in _batches(ended):
                lost = [peer_id for peer_id in batch if ended[peer_id]]
                kept = [peer_id for peer_id in batch if not ended[peer_id]]
                await self._rows(FORGET_SQL, {"grace": GRACE, "lost": lost, "ended": kept})
        except BaseException:
            self._waiting |= waiting
            self._ended = ended | self._ended
            raise

    async def _write_announced(self, peer_ids: list[str]) -> None:
        await self._rows(ANNOUNCE_SQL, self._given(peer_ids))

    def _given(self, peer_ids: Iterable[str]) -> dict[str, Any]:
        """Return the parameters of a statement on what these peers announce. Of one key, the last socket counts."""
        found = {one: peer_id for peer_id in peer_ids if (one := self._announced.get(peer_id)) is not None}
        return {
            "agents": [one.agent_id for one in found],
            "owners": [one.owner_id for one in found],
            "keys": [one.key for one in found],
            "sockets": list(found.values()),
            "process": self._process,
        }

    async def _keep_renewing(self) -> None:
        while True:
            await asyncio.sleep(RENEWAL_SECONDS)
            await self._surviving(self.renew(), "Announced keys cannot be renewed")

    async def renew(self) -> None:
        """Write the rows that are missing, and give their grace to those that are too many: the process had lost its
        connection, a write had failed, or another process had the same key until now. A key that another process
        announces as well has one row, which either may have written."""
        await self._rows(CLEAN_SQL, [])
        held = {row[0] for row in await self._rows(HELD_SQL, [self._process])}
        for batch in _batches(held - self._announced.keys()):
            await self._rows(STALE_SQL, {"grace": GRACE, "process": self._process, "sockets": batch})
        present = {self._announced[peer_id] for peer_id in held & self._announced.keys()}
        missing = {peer_id for peer_id, announced in self._announced.items() if announced not in present}
        for batch in _batches(missing):
            served = {row[0] for row in await self._rows(SERVED_SQL, self._given(batch))}
            found = {self._announced[peer_id] for peer_id in served & self._announced.keys()}
            self._waiting.update(
                peer_id
                for peer_id in batch
                if (announced := self._announced.get(peer_id)) is not None and announced not in found
            )
        if self._waiting or self._ended:
            self._has_waiting.set()

    async def _rows(self, sql: str, parameters: Any) -> list[tuple[Any, ...]]:
        assert self._hub is not None
        return await self._hub.store.rows(sql, parameters)


def _batches(ids: Iterable[str]) -> Iterator[list[str]]:
    listed = list(ids)
    for first in range(0, len(listed), PER_STATEMENT):
        yield listed[first : first + PER_STATEMENT]
