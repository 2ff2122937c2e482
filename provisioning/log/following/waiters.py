"""Daemons that wait for jobs: on the event loop, without a thread or a connection for each."""

import asyncio
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.db import connection

from provisioning.notifications import CANCELING, QUEUED
from provisioning.protocol import wire
from provisioning.protocol.leases import Worker
from provisioning.queue.matching import MATCH_SQL, match_parameters

if TYPE_CHECKING:
    from provisioning.log.following.store import Store

# The query reads state rather than events, so a change between two waits is not lost.
WAIT_SQL = f"""
SELECT %(has_slot)s AND EXISTS (SELECT FROM provisioning_provisionerjob {MATCH_SQL}),
       ARRAY(SELECT id FROM provisioning_provisionerjob
              WHERE worker_id = %(daemon)s AND canceled_at IS NOT NULL AND completed_at IS NULL
                AND lease IS NOT NULL
                AND (%(organization)s::uuid IS NULL OR organization_id = %(organization)s::uuid))
"""  # noqa: S608 - made of constants


@dataclass(frozen=True, slots=True)
class WaitRequest:
    """What a daemon waits for; see ``wire.Wait``."""

    worker: Worker
    seconds: float
    has_slot: bool
    canceling: frozenset[uuid.UUID]

    def query(self) -> dict[str, Any]:
        """Return the parameters of WAIT_SQL."""
        return match_parameters(self.worker) | {"has_slot": self.has_slot, "daemon": self.worker.daemon_id}

    def check(self) -> wire.WaitReply:
        """Return the current state without waiting. Runs on a thread of Django's."""
        with connection.cursor() as cursor:
            cursor.execute(WAIT_SQL, self.query())
            has_job, canceling = cursor.fetchone()
        return wire.WaitReply(has_job, tuple(canceling))

    def ends_with(self, answer: wire.WaitReply) -> bool:
        """Return True if the answer ends the wait: there is a job, or a cancellation new to the daemon."""
        return answer.work or bool(set(answer.canceling) - self.canceling)


@dataclass(slots=True, eq=False)
class Waiter:
    wants_jobs: bool
    event: asyncio.Event = field(default_factory=asyncio.Event)


class Waiters:
    """The daemons that wait for an answer from this process."""

    def __init__(self, store: "Store", stopping: asyncio.Event) -> None:
        self._store = store
        self._stopping = stopping
        self._waiters: set[Waiter] = set()

    def __len__(self) -> int:
        return len(self._waiters)

    async def wait(self, request: WaitRequest) -> wire.WaitReply:
        """Return when there is a job or a cancellation, the time is up or the server stops."""
        waiter = Waiter(request.has_slot)
        query = request.query()
        answer = wire.WaitReply()
        self._waiters.add(waiter)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(request.seconds):
                    while not self._stopping.is_set():
                        waiter.event.clear()
                        (row,) = await self._store.rows(WAIT_SQL, query)
                        answer = wire.WaitReply(row[0], tuple(row[1]))
                        if request.ends_with(answer):
                            break
                        await waiter.event.wait()
        finally:
            self._waiters.discard(waiter)
        return answer

    def wake(self, payload: str) -> None:
        """Wake the daemons that a notification on JOB_CHANNEL concerns."""
        event = payload.partition(":")[0]
        for waiter in self._waiters:
            if event == CANCELING or (event == QUEUED and waiter.wants_jobs):
                waiter.event.set()

    def wake_all(self) -> None:
        for waiter in self._waiters:
            waiter.event.set()
