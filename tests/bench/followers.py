"""Followers of one live job: how late the lines are, and whether each arrives once and in order.

``python -m tests.bench.followers --followers 500 --lines 2000`` prints one line per carrier. Needs DATABASE_URL; works
in a database of its own beside the one that it names. The clients run in a process of their own.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import re
import time
import uuid
from collections.abc import Callable
from typing import Any

import django

CARRIERS = {
    "websocket": "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    "events": "Accept: text/event-stream\r\n",
    "array": "Accept: application/json\r\n",
}
# A line carries its number and the moment in which it was written.
LINE = re.compile(rb'\{"id":(\d+),[^{}]*"output":"sent (\d+)')


class Reader(asyncio.Protocol):
    """Checks the numbers of the lines as they come in; the whole stream is never parsed twice."""

    def __init__(self, lines: int, latencies: list[float], done: Callable[[], None]) -> None:
        self.expected = 1
        self.lines = lines
        self.latencies = latencies
        self.done = done
        self.wrong = 0
        self.rest = b""

    def data_received(self, data: bytes) -> None:
        now = time.time()
        data = self.rest + data
        end = 0
        for match in LINE.finditer(data):
            end = match.end()
            self.wrong += int(match[1]) != self.expected
            self.expected = int(match[1]) + 1
            self.latencies.append(now - int(match[2]) / 1e6)
        self.rest = data[max(end, len(data) - 400) :]

    def connection_lost(self, error: Exception | None) -> None:
        self.done()


def read_all(carrier: str, port: int, path: str, token: str, followers: int, lines: int, answer: Any) -> None:
    """The clients' process: sends back latencies and the numbers of missing and misplaced lines."""

    async def follow() -> None:
        loop = asyncio.get_running_loop()
        latencies: list[float] = []
        left = asyncio.Semaphore(0)
        request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nCoder-Session-Token: {token}\r\n{CARRIERS[carrier]}\r\n"
        readers = []
        for _ in range(followers):
            transport, reader = await loop.create_connection(
                lambda: Reader(lines, latencies, left.release), "127.0.0.1", port
            )
            transport.write(request.encode())
            readers.append(reader)
        answer.send("connected")
        while min(reader.expected for reader in readers) <= lines and time.time() - started < 120:
            await asyncio.sleep(0.05)
        latencies.sort()
        answer.send(
            {
                "p50_ms": round(latencies[len(latencies) // 2] * 1000, 1),
                "p95_ms": round(latencies[int(len(latencies) * 0.95)] * 1000, 1),
                "p99_ms": round(latencies[int(len(latencies) * 0.99)] * 1000, 1),
                "max_ms": round(latencies[-1] * 1000, 1),
                "received": len(latencies),
                "lost": followers * lines - len(latencies),
                "out_of_order": sum(reader.wrong for reader in readers),
            }
        )

    started = time.time()
    asyncio.run(follow())


def measure(followers: int, lines: int, carrier: str = "websocket", *, batch: int = 20, pause: float = 0.05) -> Any:
    """Write ``lines`` in batches to a job with so many followers. Needs a set-up database with our tables.

    Returns percentiles of the latency from writing to receipt in milliseconds, and the counts of lost and misplaced
    lines.
    """
    from coderproj.identity import tokens
    from coderproj.server import Server
    from provisioning import jobs, logs
    from provisioning.engine.base import LogLevel, LogLine, LogSource
    from provisioning.models import DEFAULT_TAGS
    from tests.factories import make_job, make_organization, make_user

    organization = make_organization(f"bench-{uuid.uuid4().hex[:8]}")
    user = make_user(f"bench-{uuid.uuid4().hex[:8]}", organizations=(organization,))
    job = make_job(user=user, organization=organization)
    lease = jobs.claim(daemon_id=uuid.uuid4(), provisioners=["echo"], tags=DEFAULT_TAGS, lease_seconds=600)
    assert lease is not None
    _, token = tokens.issue(user=user)
    server = Server()
    with server.in_thread():
        here, there = multiprocessing.get_context("spawn").Pipe()
        path = f"/api/v2/jobs/{job.pk}/logs?follow"
        arguments = (carrier, int(server.url.rpartition(":")[2]), path, token, followers, lines, there)
        clients = multiprocessing.get_context("spawn").Process(target=read_all, args=arguments)
        clients.start()
        here.recv()
        deadline = time.monotonic() + 60
        while server.app.hub.streams < followers and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.5)
        for start in range(0, lines, batch):
            now = time.time()
            outputs = [f"sent {int(now * 1e6)} {'x' * 80}" for _ in range(min(batch, lines - start))]
            logs.append(
                job.pk,
                lease.token,
                [LogLine(LogSource.ENGINE, LogLevel.INFO, "Planning", output, now) for output in outputs],
            )
            time.sleep(pause)
        result = here.recv()
        jobs.fail(lease, "done")
        clients.join()
    return {"carrier": carrier, "followers": followers, "lines": lines, **result}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--followers", type=int, default=500)
    parser.add_argument("--lines", type=int, default=2000)
    parser.add_argument("--carrier", choices=[*CARRIERS, "all"], default="all")
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "coderproj.settings")
    django.setup()
    from django.conf import settings
    from django.test.utils import setup_databases, teardown_databases

    settings.ROOT_URLCONF = "tests.provisioning.streaming.urls"
    settings.RATELIMIT_API = 0
    databases = setup_databases(verbosity=0, interactive=False)
    try:
        for carrier in CARRIERS if options.carrier == "all" else [options.carrier]:
            print(json.dumps(measure(options.followers, options.lines, carrier)))
    finally:
        teardown_databases(databases, verbosity=0)


if __name__ == "__main__":
    main()
