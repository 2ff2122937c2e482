"""Thousands of connected agents: the processor time and the memory of the web process, compared with goals.

One round is of programs with a WebSocket, one of our own agents, whose requests the server holds. All of them report
statistics. The agents are a process of their own, which connects before the time counts.

``python -m tests.bench.connected [agents] [seconds]`` prints figures and goals.
"""

import os
import sys
import time
from multiprocessing.connection import Connection as Pipe
from typing import Any
from urllib.parse import urlsplit

from coderproj.base.processes import proportional_memory
from tests.bench import connected_clients
from tests.bench.compare import cpu_seconds_of
from tests.bench.database import own_database, served
from tests.bench.jobs import Goals
from tests.bench.load import cpu_seconds
from tests.bench.relay import serving

AGENTS, SECONDS = 2_000, 60
# Of a core, and KB for each agent.
GOAL_SHARE, GOAL_KB = 0.25, 60
# The longest time for all agents to connect.
PATIENCE = 300
# Agents that connect first, so that what the process loads once is no memory of the others.
WARM_UP = 20


def main() -> int:
    for name in ("DATABASE_URL", "PYTHONDONTWRITEBYTECODE"):
        os.environ.pop(name, None)
    given = [int(value) for value in sys.argv[1:]]
    count, seconds = [*given, *(AGENTS, SECONDS)[len(given) :]]
    goals = Goals()
    with own_database() as database:
        from tests.bench.connected_seed import seed

        tokens = seed(count + WARM_UP)
        assert database.pid is not None
        for name, has_websockets in (("with a WebSocket", True), ("of our own, by requests", False)):
            print(f"-- {count:,} agents {name} (load {os.getloadavg()[0]:.1f})", flush=True)
            found = measure(tokens, database.pid, has_websockets=has_websockets, seconds=seconds)
            report(goals, found, count, name)
    print(goals.summary())
    return 0


def measure(tokens: list[str], database: int, *, has_websockets: bool, seconds: int) -> dict[str, Any]:
    """Return what agents cost: shares of a core of the web process (``share``) and of the database (``database``)
    during some seconds, ``bytes`` of the web process's memory, what the agents have ``seen``, and how many seconds it
    took and cost to connect them (``connecting``)."""
    with served() as (url, server):
        port = urlsplit(url).port
        with serving(connected_clients.run, port, tokens[:WARM_UP], has_websockets, True) as (first, _):
            wait_for(first, WARM_UP)
            memory, cpu, began = proportional_memory(server), cpu_seconds_of(server), time.perf_counter()
            arguments = (port, tokens[WARM_UP:], has_websockets, has_websockets)
            with serving(connected_clients.run, *arguments) as (agents, _):
                wait_for(agents, len(tokens) - WARM_UP)
                connecting = time.perf_counter() - began, cpu_seconds_of(server) - cpu
                before, began = seen_by(agents), time.perf_counter()
                cpu, of_database = cpu_seconds_of(server), cpu_seconds([database])
                time.sleep(seconds)
                took = time.perf_counter() - began
                after = seen_by(agents)
                found = {
                    "share": (cpu_seconds_of(server) - cpu) / took,
                    "database": (cpu_seconds([database]) - of_database) / took,
                    "bytes": proportional_memory(server) - memory,
                    "seen": {name: after[name] - before.get(name, 0) for name in sorted(after)},
                    "connecting": connecting,
                }
        wait_until_gone()
    return found


def seen_by(agents: Pipe) -> dict[str, int]:
    """Return what the agents have seen so far."""
    agents.send(None)
    found: dict[str, int] = agents.recv()
    lost = {name: number for name, number in found.items() if name.startswith("lost")}
    assert not lost, lost
    return found


def wait_until_gone() -> None:
    """Wait until the server has recorded the end of all connections: one that stops gives each little time."""
    from provisioning.models import WorkspaceAgent

    until = time.monotonic() + PATIENCE
    while WorkspaceAgent.objects.filter(served_by__isnull=False).exists():
        assert time.monotonic() < until, "agents are still connected"
        time.sleep(0.5)


def wait_for(agents: Pipe, count: int) -> None:
    """Wait until all agents are connected."""
    until = time.monotonic() + PATIENCE
    while (connected := seen_by(agents).get("connected", 0)) < count:
        assert time.monotonic() < until, f"{connected} of {count} agents are connected"
        time.sleep(0.5)


def report(goals: Goals, found: dict[str, Any], count: int, name: str) -> None:
    kilobytes = found["bytes"] / count / 1000
    goals.at_most(f"agents {name}: share of a core", found["share"], GOAL_SHARE)
    goals.at_most(f"agents {name}: memory of each", kilobytes, GOAL_KB, " KB")
    took, cost = found["connecting"]
    print(
        f"       {found['share'] / GOAL_SHARE:.2f} and {kilobytes / GOAL_KB:.2f} of the goals; the database"
        f" {found['database']:.2f} of a core; connected in {took:.0f} s with {cost / count * 1000:.1f} ms each"
    )
    print(f"       seen meanwhile: {', '.join(f'{value:,} {name}' for name, value in found['seen'].items() if value)}")


if __name__ == "__main__":
    sys.exit(main())
