"""Which keys may connect, read from the table in which web processes announce them.

The relay reads a room when a notification names it, and everything every few seconds, so a lost notification only costs
these. If the database does not answer for most of a minute, all connections end: whether they still have their right is
unknown then (decision 23).
"""

import asyncio
import logging
import uuid
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from coderproj.base.backoff import Backoff
from coderproj.database.libpq import parameters
from provisioning.log.following.listener import listen
from templates_app.agents.coordination.relay_rows import EXPIRE_SQL, GRACE, READ_ALL_SQL, READ_ROOMS_SQL, RELAY_CHANNEL
from templates_app.agents.relay.peers import Claim, Directory

logger = logging.getLogger(__name__)

# Seconds between two complete reads.
READ_SECONDS = 10.0
# Changes within this time are read together.
GATHER_SECONDS = 0.02
# Rows of a complete read that are taken at once.
BATCH = 500
# Seconds for which the last complete read counts.
TRUST_SECONDS = 45.0
# Seconds for a statement, and for a connection.
STATEMENT_SECONDS, CONNECT_SECONDS = 10.0, 5
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0
# Rooms that are read by their ids; more of them are a complete read.
MAX_ROOMS = 1000


class Rights:
    """Keeps a directory equal to the table. ``database`` is an entry of Django's ``DATABASES``."""

    def __init__(self, directory: Directory, database: Mapping[str, Any]) -> None:
        self._directory = directory
        self._role: str | None = database["OPTIONS"].get("assume_role")
        self._parameters = {**parameters(database), "application_name": "coderproj-relay"}
        self._changed: set[uuid.UUID] = set()
        self._has_changed = asyncio.Event()
        self._must_read_all = True
        self._read_at = float("-inf")
        self.is_complete = asyncio.Event()

    async def run(self) -> None:
        """Never returns."""
        conninfo = make_conninfo(**{name: str(value) for name, value in self._parameters.items()})
        channels = {RELAY_CHANNEL: self._room_changed}
        await asyncio.gather(
            listen(conninfo, channels, connected=self._read_all_soon),
            self._keep_reading(conninfo),
            self._keep_trusting(),
        )

    # ------------------------------------------------------------------ notifications
    def _room_changed(self, payload: str) -> None:
        try:
            self._changed.add(uuid.UUID(payload))
        except ValueError:
            logger.warning("a notification about the relay is malformed")
            return
        self._has_changed.set()

    def _read_all_soon(self) -> None:
        self._must_read_all = True
        self._has_changed.set()

    # ------------------------------------------------------------------ reading
    async def _keep_reading(self, conninfo: str) -> None:
        backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(
                    conninfo, autocommit=True, connect_timeout=CONNECT_SECONDS
                ) as connection:
                    if self._role:
                        await connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(self._role)))
                    self._must_read_all = True
                    while True:
                        await self._read(connection)
                        backoff.reset()
                        await self._wait()
            except (psycopg.Error, OSError) as error:  # TimeoutError is an OSError
                logger.warning("the announced keys cannot be read, trying again: %s", error or type(error).__name__)
            await backoff.wait()

    async def _wait(self) -> None:
        """Wait for changes, or for the next complete read."""
        try:
            async with asyncio.timeout_at(self._read_at + READ_SECONDS):
                await self._has_changed.wait()
                await asyncio.sleep(GATHER_SECONDS)
        except TimeoutError:
            self._must_read_all = True

    async def _read(self, connection: psycopg.AsyncConnection[tuple[Any, ...]]) -> None:
        began = asyncio.get_running_loop().time()
        changed, self._changed = self._changed, set()
        is_complete = self._must_read_all or len(changed) > MAX_ROOMS
        self._must_read_all = False
        self._has_changed.clear()
        async with asyncio.timeout(STATEMENT_SECONDS):
            if is_complete:
                await connection.execute(EXPIRE_SQL, [GRACE])
                cursor = await connection.execute(READ_ALL_SQL)
            else:
                cursor = await connection.execute(READ_ROOMS_SQL, [list(changed)])
        if is_complete:
            await self._take_all(cursor)
            self._read_at = began
            self.is_complete.set()
        else:
            self._directory.replace(changed, [Claim(*row) for row in await cursor.fetchall()])

    async def _take_all(self, cursor: psycopg.AsyncCursor[tuple[Any, ...]]) -> None:
        """Take the rows of a complete read, in the order of rooms. Packets are passed on between two batches."""
        gone = self._directory.rooms()
        claims: list[Claim] = []
        while rows := await cursor.fetchmany(BATCH):
            claims += [Claim(*row) for row in rows]
            unfinished = claims[-1].agent_id  # the next batch may have more of it
            whole = [claim for claim in claims if claim.agent_id != unfinished]
            claims = claims[len(whole) :]
            gone -= self._take(whole)
            await asyncio.sleep(0)
        gone -= self._take(claims)
        self._directory.replace(gone, [])

    def _take(self, claims: list[Claim]) -> set[uuid.UUID]:
        rooms = {claim.agent_id for claim in claims}
        self._directory.replace(rooms, claims)
        return rooms

    async def _keep_trusting(self) -> None:
        """End all connections once the last complete read is too old."""
        loop = asyncio.get_running_loop()
        await self.is_complete.wait()
        while True:
            await asyncio.sleep(1)
            if loop.time() > self._read_at + TRUST_SECONDS and len(self._directory):
                logger.error("the database has not answered for %.0f s: all connections end", TRUST_SECONDS)
                self._directory.replace_all([])
