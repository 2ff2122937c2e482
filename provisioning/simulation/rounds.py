"""Run a simulation: its settings, and the figures it returns."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import psycopg

from provisioning.simulation.scratch import free_connections, scratch_database

MAX_DAEMONS = 200
SOURCE_DIRECTORY = Path(__file__).resolve().parents[2]
# Connections left to other clients of the server.
SPARED_CONNECTIONS = 10


class CannotSimulate(Exception):
    """The simulation cannot run; the message says why."""


class Latency(msgspec.Struct, frozen=True):
    """Percentiles, in milliseconds."""

    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Latency":
        """Return the percentiles of at least one measurement."""
        ordered = sorted(seconds)
        at = (ordered[min(len(ordered) - 1, int(len(ordered) * part))] * 1000 for part in (0.5, 0.95, 0.99))
        return cls(*(round(value, 2) for value in at))


class Round(msgspec.Struct, frozen=True):
    """The figures for one number of daemons.

    ``enqueue_us`` is the time to enqueue a job, ``claim`` the time of a claim that got a job, ``miss`` of a claim that
    found none, ``complete`` of completing a job. ``client_cpu_us`` is the fleet's processor time per job.
    ``connections`` is the fleet's number of connections, fewer than daemons when the server's limit is lower.
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


class Settings(msgspec.Struct, frozen=True):
    """The input of the conductor."""

    daemons: tuple[int, ...]
    jobs: int
    processes: int
    connections: int


def simulate(url: str, *, daemons: Sequence[int], jobs: int, processes: int) -> Iterator[Round]:
    """Run a round of ``jobs`` jobs for each number in ``daemons``, in a temporary database on the server of ``url``.

    The daemons are spread over at most ``processes`` processes. Raises CannotSimulate.
    """
    try:
        with scratch_database(url) as scratch:
            connections = free_connections(scratch) - SPARED_CONNECTIONS
            if connections < processes:
                raise CannotSimulate(f"the database server has only {max(0, connections)} free connections")
            yield from _conduct(scratch, Settings(tuple(daemons), jobs, processes, connections))
    except psycopg.Error as error:
        raise CannotSimulate(f"cannot use a database for the simulation: {str(error).strip()}") from error


def _conduct(url: str, settings: Settings) -> Iterator[Round]:
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
            conductor.stdin.write(msgspec.json.encode(settings) + b"\n")
            conductor.stdin.flush()
            for line in conductor.stdout:
                yield msgspec.json.decode(line, type=Round)
        finally:
            conductor.stdin.close()
    if conductor.returncode:
        raise CannotSimulate("the simulation failed; see the output above")
