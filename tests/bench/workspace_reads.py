"""Reads of workspaces beside plain Django REST framework, and the statements that watching costs.

Prints a line of JSON with the figures; ``tests.bench.workspaces`` compares them with their goals.
"""

import asyncio
import json
import sys
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tests.bench.api import Bench, median, paired
from tests.bench.database import database_beside_plain, served

if TYPE_CHECKING:  # the import requires django.setup()
    from tests.bench.workspace_seed import SeededWorkspaces

IDLE_SECONDS = 5.0
CHANGES = 20
SEARCH = "template:web name:w"


def main() -> int:
    """Seed a new database, serve it, and measure."""
    with database_beside_plain() as database:
        from django.db import connection

        from tests.bench.workspace_seed import seed

        seeded = seed()
        connection.close()
        assert database.pid is not None
        headers = {"Coder-Session-Token": seeded.token}
        with served() as (url, server):
            bench = Bench(url, headers, [server, database.pid], server)
            print(json.dumps(compare_reads(bench, seeded) | asyncio.run(watch(bench, seeded))))
    return 0


def compare_reads(bench: Bench, seeded: "SeededWorkspaces") -> dict[str, float]:
    """Return processor time in ms, and how many times more the plain view takes, of both reads."""
    reads = {
        "list": f"workspaces?q={SEARCH.replace(' ', '%20')}",
        "one": f"workspaces/{seeded.workspaces[0]}",
    }
    found: dict[str, float] = {}
    for name, path in reads.items():
        product, plain = bench.compare(f"/api/v2/{path}", f"/api/plain/{path}")
        found |= {f"{name}_ms": median(product, "cpu_ms"), f"{name}_ratio": paired(plain, product, "cpu_ms")}
    return found


# ---------------------------------------------------------------------- watching
class Watcher:
    """A client that watches one workspace and counts its events."""

    def __init__(self) -> None:
        self.events = 0
        self.task: asyncio.Task[None] | None = None

    async def start(self, url: str, token: str, workspace_id: object) -> None:
        parts = urlsplit(url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(
            f"GET /api/v2/workspaces/{workspace_id}/watch HTTP/1.1\r\nHost: localhost\r\n"
            f"Coder-Session-Token: {token}\r\nAccept: text/event-stream\r\n\r\n".encode()
        )
        await reader.readuntil(b"event: ping")
        self.task = asyncio.create_task(self._count(reader, writer))

    async def _count(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                self.events += line.startswith(b"event: data")
        finally:
            writer.close()


async def watch(bench: Bench, seeded: "SeededWorkspaces") -> dict[str, float]:
    """Watch 500 workspaces. Count statements while nothing changes, and while CHANGES of them change."""
    from tests.bench.workspace_seed import announce, statements

    watchers = [Watcher() for _ in seeded.watched]
    for start in range(0, len(watchers), 50):
        pairs = zip(watchers[start : start + 50], seeded.watched[start : start + 50], strict=True)
        await asyncio.gather(
            *(
                watcher.start(bench.url, seeded.tokens[number % len(seeded.tokens)], workspace_id)
                for number, (watcher, workspace_id) in enumerate(pairs)
            )
        )
    await asyncio.sleep(2)
    before = await asyncio.to_thread(statements)
    await asyncio.sleep(IDLE_SECONDS)
    idle = await asyncio.to_thread(statements) - before
    received = sum(watcher.events for watcher in watchers)
    before = await asyncio.to_thread(statements)
    began = time.perf_counter()
    for workspace_id in seeded.watched[:CHANGES]:
        await asyncio.to_thread(announce, workspace_id)
    while sum(watcher.events for watcher in watchers) < received + CHANGES and time.perf_counter() < began + 10:
        await asyncio.sleep(0.01)
    took = time.perf_counter() - began
    delivered = sum(watcher.events for watcher in watchers) - received
    busy = await asyncio.to_thread(statements) - before - CHANGES  # each announcement is a statement, too
    for watcher in watchers:
        if watcher.task is not None:
            watcher.task.cancel()
    return {
        "watchers": len(watchers),
        "idle_statements": idle,
        "changes": CHANGES,
        "events": delivered,
        "statements": busy,
        "seconds": took,
    }


if __name__ == "__main__":
    sys.exit(main())
