"""Daemons that wait for work: on the event loop, without a thread or a connection each."""

import asyncio
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.db import connection

from provisioning.notifications import CANCELING, QUEUED
from provisioning.protocol import wire
from provisioning.protocol.leases import Worker
from provisioning.queue.matching import FITS_SQL, fitting

if TYPE_CHECKING:
    from provisioning.log.following.store import Store

# State, not news: what happened between two waits is not lost.
LOOK_SQL = f"""
SELECT %(has_slot)s AND EXISTS (SELECT FROM provisioning_provisionerjob {FITS_SQL}),
       ARRAY(SELECT id FROM provisioning_provisionerjob
              WHERE worker_id = %(daemon)s AND canceled_at IS NOT NULL AND completed_at IS NULL
                AND lease IS NOT NULL
                AND (%(organization)s::uuid IS NULL OR organization_id = %(organization)s::uuid))
"""  # noqa: S608 - made of constants


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a daemon waits for, see ``wire.Wait``."""

    worker: Worker
    seconds: float
    has_slot: bool
    canceling: frozenset[uuid.UUID]

    def query(self) -> dict[str, Any]:
        """The parameters of LOOK_SQL."""
        return fitting(self.worker) | {"has_slot": self.has_slot, "daemon": self.worker.daemon_id}

    def look(self) -> wire.Waited:
        """What there is to tell right now, from a thread of Django's."""
        with connection.cursor() as cursor:
            cursor.execute(LOOK_SQL, self.query())
            work, canceling = cursor.fetchone()
        return wire.Waited(work, tuple(canceling))

    def is_worth(self, answer: wire.Waited) -> bool:
        """Whether the daemon wants to hear that."""
        return answer.work or bool(set(answer.canceling) - self.canceling)


@dataclass(slots=True, eq=False)
class Waiter:
    wants_jobs: bool
    event: asyncio.Event = field(default_factory=asyncio.Event)


class Waiters:
    """The daemons that wait at this process."""

    def __init__(self, store: "Store", stopping: asyncio.Event) -> None:
        self._store = store
        self._stopping = stopping
        self._waiters: set[Waiter] = set()

    def __len__(self) -> int:
        return len(self._waiters)

    async def wait(self, waiting: Waiting) -> wire.Waited:
        """Return when there is something to tell, the time is up or the server stops."""
        waiter = Waiter(waiting.has_slot)
        query = waiting.query()
        answer = wire.Waited()
        self._waiters.add(waiter)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(waiting.seconds):
                    while not self._stopping.is_set():
                        waiter.event.clear()
                        (row,) = await self._store.rows(LOOK_SQL, query)
                        answer = wire.Waited(row[0], tuple(row[1]))
                        if waiting.is_worth(answer):
                            break
                        await waiter.event.wait()
        finally:
            self._waiters.discard(waiter)
        return answer

    def tell(self, payload: str) -> None:
        """News of jobs."""
        event = payload.partition(":")[0]
        for waiter in self._waiters:
            if event == CANCELING or (event == QUEUED and waiter.wants_jobs):
                waiter.event.set()

    def wake_all(self) -> None:
        for waiter in self._waiters:
            waiter.event.set()
