"""Some daemons of the simulation, a thread each: ``python -m provisioning.simulation.fleet``, started by the conductor.

Standard input has a ``Crew``. ``ready`` is printed once all connections are open; a line on standard input starts the
work; ``Took`` is printed as JSON when the queue is empty.
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

# Claims of each daemon that find nothing, once the queue is empty.
MISSES = 20
LEASE_SECONDS = 60.0


class Crew(msgspec.Struct, frozen=True):
    """How many daemons there are in a process, and how many connections they share."""

    daemons: int
    connections: int


class Took(msgspec.Struct):
    """Seconds that the calls took; ``ended_at`` is the time at which the last job was done."""

    claims: list[float] = []
    completions: list[float] = []
    misses: list[float] = []
    ended_at: float = 0.0
    cpu_seconds: float = 0.0


class SimulatedDaemon:
    """Takes jobs and ends them until there are none, as a real daemon's client does: a connection for each call."""

    def __init__(self) -> None:
        from provisioning.models import DEFAULT_TAGS, Provisioner
        from provisioning.protocol.leases import Worker
        from provisioning.queue.daemon_service import JobService

        self.took = Took()
        self._service = JobService()
        self._worker = Worker(uuid.uuid4(), [Provisioner.ECHO], DEFAULT_TAGS)

    def run(self) -> None:
        while self._take_and_complete():
            pass
        self.took.ended_at = time.time()

    def look_in_vain(self) -> None:
        for _ in range(MISSES):
            self._take_and_complete()

    def _take_and_complete(self) -> bool:
        from provisioning.daemon.direct import reachable
        from provisioning.engine.base import PlanResult

        began = time.perf_counter()
        with reachable():
            assignment = self._service.acquire(self._worker, lease_seconds=LEASE_SECONDS)
        acquired = time.perf_counter()
        if assignment is None:
            self.took.misses.append(acquired - began)
            return False
        with reachable():
            self._service.complete(assignment.lease, PlanResult())
        self.took.claims.append(acquired - began)
        self.took.completions.append(time.perf_counter() - acquired)
        return True


def work(crew: Crew) -> Took:
    """Run the daemons until the queue is empty, then have each look for nothing."""
    daemons = [SimulatedDaemon() for _ in range(crew.daemons)]
    before = _cpu()
    _all_at_once([daemon.run for daemon in daemons])
    cpu_seconds = _cpu() - before
    _all_at_once([daemon.look_in_vain for daemon in daemons])
    return Took(
        claims=[value for daemon in daemons for value in daemon.took.claims],
        completions=[value for daemon in daemons for value in daemon.took.completions],
        misses=[value for daemon in daemons for value in daemon.took.misses],
        ended_at=max(daemon.took.ended_at for daemon in daemons),
        cpu_seconds=cpu_seconds,
    )


def open_connections(count: int) -> None:
    """Have the pool open so many connections ahead."""
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
    crew = msgspec.json.decode(sys.stdin.buffer.readline(), type=Crew)
    open_connections(crew.connections)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    if sys.stdin.buffer.readline():
        sys.stdout.buffer.write(msgspec.json.encode(work(crew)) + b"\n")
        sys.stdout.buffer.flush()
    os._exit(0)  # the pool's threads must not hold up the end


if __name__ == "__main__":
    main()
