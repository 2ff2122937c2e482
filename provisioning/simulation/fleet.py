"""A group of simulated daemons, a thread each: ``python -m provisioning.simulation.fleet``, started by the conductor.

Reads a ``WorkerGroup`` from standard input and prints ``ready`` once all connections are open. The next line on
standard input starts the daemons; when the queue is empty, a ``Timing`` is printed as JSON.
"""

import os
import resource
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence

import django
import msgspec

# Claims that each daemon makes on the empty queue.
MISSES = 20
LEASE_SECONDS = 60.0


class WorkerGroup(msgspec.Struct, frozen=True):
    """The number of daemons in a process, and of the connections they share."""

    daemons: int
    connections: int


class Timing(msgspec.Struct):
    """Durations of the calls in seconds; ``ended_at`` is the time at which the last job was done."""

    claims: list[float] = []
    completions: list[float] = []
    misses: list[float] = []
    ended_at: float = 0.0
    cpu_seconds: float = 0.0


class SimulatedDaemon:
    """Claims and completes jobs until there are none. Uses a connection per call, as a real daemon's client does."""

    def __init__(self) -> None:
        from provisioning.models import DEFAULT_TAGS, Provisioner
        from provisioning.protocol.leases import Worker
        from provisioning.queue.daemon_service import JobService

        self.timing = Timing()
        self._service = JobService()
        self._worker = Worker(uuid.uuid4(), [Provisioner.ECHO], DEFAULT_TAGS)

    def run(self) -> None:
        while self._claim_and_complete():
            pass
        self.timing.ended_at = time.time()

    def claim_from_empty_queue(self) -> None:
        for _ in range(MISSES):
            self._claim_and_complete()

    def _claim_and_complete(self) -> bool:
        from provisioning.daemon.direct import reachable
        from provisioning.queue.kinds import kinds

        began = time.perf_counter()
        with reachable():
            assignment = self._service.acquire(self._worker, lease_seconds=LEASE_SECONDS)
        acquired = time.perf_counter()
        if assignment is None:
            self.timing.misses.append(acquired - began)
            return False
        shape = kinds().of(assignment.job_type).result
        assert shape is not None
        with reachable():
            self._service.complete(assignment.lease, shape.type())
        self.timing.claims.append(acquired - began)
        self.timing.completions.append(time.perf_counter() - acquired)
        return True


def run_group(group: WorkerGroup) -> Timing:
    """Run the daemons until the queue is empty, then measure claims on the empty queue."""
    daemons = [SimulatedDaemon() for _ in range(group.daemons)]
    before = _cpu()
    _all_at_once([daemon.run for daemon in daemons])
    cpu_seconds = _cpu() - before
    _all_at_once([daemon.claim_from_empty_queue for daemon in daemons])
    return Timing(
        claims=[value for daemon in daemons for value in daemon.timing.claims],
        completions=[value for daemon in daemons for value in daemon.timing.completions],
        misses=[value for daemon in daemons for value in daemon.timing.misses],
        ended_at=max(daemon.timing.ended_at for daemon in daemons),
        cpu_seconds=cpu_seconds,
    )


def open_connections(count: int) -> None:
    """Make the pool open ``count`` connections in advance."""
    from django.db import connections

    reached = threading.Barrier(count)

    def hold_one() -> None:
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT 1")
        reached.wait(60)
        connections["default"].close()

    _all_at_once([hold_one] * count)


def _all_at_once(calls: Sequence[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "coderproj.settings")
    django.setup()
    group = msgspec.json.decode(sys.stdin.buffer.readline(), type=WorkerGroup)
    open_connections(group.connections)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    if sys.stdin.buffer.readline():
        sys.stdout.buffer.write(msgspec.json.encode(run_group(group)) + b"\n")
        sys.stdout.buffer.flush()
    os._exit(0)  # do not wait for the pool's threads


if __name__ == "__main__":
    main()
