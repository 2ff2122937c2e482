"""Simulations from the outside: what is asked for, and the figures that come back."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import psycopg

from provisioning.simulation.scratch import free_connections, scratch_database

MOST_DAEMONS = 200
SOURCE_DIRECTORY = Path(__file__).resolve().parents[2]
# Connections that stay free for those who work on the server meanwhile.
SPARED_CONNECTIONS = 10


class CannotSimulate(Exception):
    """There can be no simulation; the text says why."""


class Latency(msgspec.Struct, frozen=True):
    """Percentiles, in milliseconds."""

    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Latency":
        """Of at least one measurement."""
        ordered = sorted(seconds)
        at = (ordered[min(len(ordered) - 1, int(len(ordered) * part))] * 1000 for part in (0.5, 0.95, 0.99))
        return cls(*(round(value, 2) for value in at))


class Round(msgspec.Struct, frozen=True):
    """One number of daemons. ``enqueue_us`` is the time of an enqueue, ``claim`` that of a claim which got a job,
    ``miss`` of one that found none, ``complete`` of ending a job. ``client_cpu_us`` is the fleet's processor time for a
    job. ``connections`` is how many the fleet had, which is fewer than daemons when the server takes no more.
    """

    daemons: int
    processes: int
    connections: int
    jobs: int
    seconds: float
    jobs_per_second: float
    enqueue_us: float
    claim: Latency
    complete: Latency
    miss: Latency
    client_cpu_us: float


class Order(msgspec.Struct, frozen=True):
    """What the conductor is told."""

    daemons: tuple[int, ...]
    jobs: int
    processes: int
    connections: int


def simulate(url: str, *, daemons: Sequence[int], jobs: int, processes: int) -> Iterator[Round]:
    """A round of so many ``jobs`` for each number of ``daemons``, in a database of its own on the server of ``url``.

    The daemons are spread over at most so many ``processes``. Raises CannotSimulate.
    """
    try:
        with scratch_database(url) as scratch:
            connections = free_connections(scratch) - SPARED_CONNECTIONS
            if connections < processes:
                raise CannotSimulate(f"the database has only {max(0, connections)} connections left")
            yield from _conduct(scratch, Order(tuple(daemons), jobs, processes, connections))
    except psycopg.Error as error:
        raise CannotSimulate(f"no database for the simulation: {str(error).strip()}") from error


def _conduct(url: str, order: Order) -> Iterator[Round]:
    with subprocess.Popen(
        [sys.executable, "-m", "provisioning.simulation.conductor"],
        cwd=SOURCE_DIRECTORY,
        env=os.environ | {"DATABASE_URL": url, "LOG_LEVEL": "WARNING"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as conductor:
        assert conductor.stdin
        assert conductor.stdout
        try:
            conductor.stdin.write(msgspec.json.encode(order) + b"\n")
            conductor.stdin.flush()
            for line in conductor.stdout:
                yield msgspec.json.decode(line, type=Round)
        finally:
            conductor.stdin.close()  # it ends when nobody listens any more
    if conductor.returncode:
        raise CannotSimulate("the simulation broke off, see above")
