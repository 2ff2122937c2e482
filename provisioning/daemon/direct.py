"""The daemon's client with direct database access."""

import os
import select
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from django.db import InterfaceError, OperationalError, connection

from provisioning.engine.base import CostDecision, LogLine, ParameterSchema, ParameterValue
from provisioning.notifications import CANCELING, JOB_CHANNEL, QUEUED
from provisioning.protocol.client import Assignment, DaemonFacts, Lease, Registration, Unreachable, Wakeup
from provisioning.protocol.leases import Worker
from provisioning.queue.daemon_service import JobService

# COPY and LISTEN use psycopg directly, so their errors are not Django's.
UNREACHABLE = (OperationalError, InterfaceError, psycopg.OperationalError, psycopg.InterfaceError)


class DirectClient:
    """Implements ``JobClient`` with the database. Thread-safe, but only one thread may call ``wait_for_jobs``."""

    # Notifications can be lost with a connection; a job then waits for at most this time.
    poll_seconds = 5.0

    def __init__(self, *, lease_seconds: float) -> None:
        database = connection.settings_dict
        self.server = f"database {database['NAME']} at {database['HOST']}:{database['PORT']}"
        self._lease_seconds = lease_seconds
        self._service = JobService()
        self._facts: DaemonFacts | None = None
        self._id = uuid.uuid4()
        self._listener: psycopg.Connection[Any] | None = None
        self._woken, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    # ------------------------------------------------------------------ the daemon
    def register(self, facts: DaemonFacts) -> Registration:
        with reachable():
            daemon_id = self._service.register(facts)
        self._facts, self._id = facts, daemon_id
        return Registration(daemon_id, facts.tags)

    def refresh(self) -> None:
        with reachable():
            seen = self._service.refresh(self._id)
        if not seen and self._facts:
            self.register(self._facts)

    def deregister(self) -> None:
        with reachable():
            self._service.deregister(self._id)

    # ------------------------------------------------------------------ a job
    def acquire(self) -> Assignment | None:
        if self._facts is None:
            raise RuntimeError("call register first")
        worker = Worker(self._id, self._facts.provisioners, self._facts.tags)
        with reachable():
            return self._service.acquire(worker, lease_seconds=self._lease_seconds)

    def heartbeat(self, lease: Lease) -> bool:
        with reachable():
            return self._service.heartbeat(lease, lease_seconds=self._lease_seconds)

    def append_logs(self, lease: Lease, lines: Sequence[LogLine], *, after: int) -> int:
        with reachable():
            return self._service.append_logs(lease, lines, after=after)

    def store_readme(self, lease: Lease, readme: str) -> None:
        with reachable():
            self._service.store_readme(lease, readme)

    def store_schemas(self, lease: Lease, schemas: Sequence[ParameterSchema]) -> tuple[ParameterValue, ...]:
        with reachable():
            return self._service.store_schemas(lease, schemas)

    def store_state(self, lease: Lease, state: bytes, *, is_last: bool = False) -> None:
        with reachable():
            self._service.store_state(lease, state, is_last=is_last)

    def commit_cost(self, lease: Lease, cost: int) -> CostDecision:
        with reachable():
            return self._service.commit_cost(lease, cost)

    def complete(self, lease: Lease, result: Any) -> None:
        with reachable():
            self._service.complete(lease, result)

    def fail(self, lease: Lease, error: str) -> None:
        with reachable():
            self._service.fail(lease, error)

    def finish_canceled(self, lease: Lease) -> None:
        with reachable():
            self._service.finish_canceled(lease)

    def release(self, lease: Lease, reason: str) -> None:
        with reachable():
            self._service.release(lease, reason)

    # ------------------------------------------------------------------ waiting
    def wait_for_jobs(self, timeout: float, *, has_slot: bool) -> Wakeup:
        try:
            if self._listener is None:
                self._listener = listen(JOB_CHANNEL)
                return Wakeup()  # earlier notifications were missed
            return self._wait(self._listener, timeout, has_slot)
        except (*UNREACHABLE, psycopg.Error, OSError) as error:
            self._drop_listener()
            raise Unreachable(str(error)) from error

    def _wait(self, listener: psycopg.Connection[Any], timeout: float, has_slot: bool) -> Wakeup:
        """Wait. Notifications of jobs are ignored while no worker slot is free: a claim without effect costs time."""
        until = time.monotonic() + timeout
        while True:
            events = [event.partition(":") for event in _notifications(listener)]
            canceling = tuple(uuid.UUID(job_id) for event, _, job_id in events if event == CANCELING)
            if canceling or (has_slot and any(event == QUEUED for event, _, _ in events)):
                return Wakeup(canceling)
            ready, _, _ = select.select([listener.fileno(), self._woken], [], [], max(0.0, until - time.monotonic()))
            if not ready or self._woken in ready:
                with suppress(BlockingIOError):
                    os.read(self._woken, 4096)
                return Wakeup()
            listener.pgconn.consume_input()

    def wake(self) -> None:
        with suppress(BlockingIOError, OSError):  # full: a wakeup is pending; closed: no thread waits
            os.write(self._waker, b"!")

    def _drop_listener(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def close(self) -> None:
        self._drop_listener()
        os.close(self._woken)
        os.close(self._waker)
        connection.close()


def _notifications(listener: psycopg.Connection[Any]) -> list[str]:
    """Return the payloads received from the server so far."""
    payloads = []
    while notification := listener.pgconn.notifies():
        payloads.append(notification.extra.decode())
    return payloads


@contextmanager
def reachable() -> Iterator[None]:
    """Return the connection to the pool after the block; convert its errors to Unreachable."""
    try:
        yield
    except UNREACHABLE as error:
        raise Unreachable(str(error).strip()) from error
    finally:
        connection.close()


def listen(channel: str) -> psycopg.Connection[Any]:
    """Return a connection outside the pool that listens on ``channel``."""
    listener = psycopg.connect(autocommit=True, **({"connect_timeout": 10} | connection.get_connection_params()))
    listener.execute(psycopg.sql.SQL("LISTEN {}").format(psycopg.sql.Identifier(channel)))
    return listener
