"""Followers of one running job: the latency of the lines, and whether each arrives once and in order.

``python -m tests.bench.followers --followers 1,50,500 --lines 2000 --transport events`` prints a line of JSON for each
number of followers, and without ``--transport`` for each transport; 0 is a job without followers. It uses a new
embedded database. The web server, the writer (this process) and the clients are separate processes, as in production.
"""

import argparse
import json
import subprocess
import sys
import time
import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tests.bench.database import own_database, served
from tests.bench.load import cpu_seconds

if TYPE_CHECKING:
    from provisioning.protocol.leases import Lease

TRANSPORTS = {
    "websocket": "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    "events": "Accept: text/event-stream\r\nConnection: close\r\n",
    "array": "Accept: application/json\r\nConnection: close\r\n",
}
# A job that prints 20 lines every 50 ms.
BATCH, PAUSE = 20, 0.05
LONGEST = 120
SETTLE_SECONDS = 1.0


def measure(server: tuple[str, int], *, followers: int, lines: int, transport: str = "events") -> dict[str, Any]:
    """Write ``lines`` to a new job with ``followers`` clients at the server (its URL and process id).

    Return percentiles of the time from writing to receipt in milliseconds; the counts of lines that were lost,
    repeated and out of order; ``job_s``, the seconds of writing all lines; ``write_ms``, the mean of a batch; and
    ``server_us``, CPU time of the server per line and follower in microseconds.
    """
    from coderproj.identity import tokens
    from provisioning.queue import jobs

    url, pid = server
    version, lease = _running_import()
    _, token = tokens.issue(user=version.created_by)
    options = {
        "host": "127.0.0.1",
        "port": urlsplit(url).port,
        "request": f"GET /api/v2/templateversions/{version.pk}/logs?follow HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Coder-Session-Token: {token}\r\n{TRANSPORTS[transport]}\r\n",
        "followers": followers,
        "lines": lines,
        "seconds": LONGEST,
    }
    with subprocess.Popen(
        [sys.executable, "-m", "tests.bench.follower_clients"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as clients:
        assert clients.stdin
        assert clients.stdout
        json.dump(options, clients.stdin)
        clients.stdin.close()
        clients.stdout.readline()
        time.sleep(SETTLE_SECONDS + followers / 200)  # Django authenticates each request first
        before = cpu_seconds([pid])
        job_s, write_ms = _write(lease, lines)
        jobs.fail(lease, "done")
        result = json.loads(clients.stdout.read())
        server_us = (cpu_seconds([pid]) - before) * 1e6 / max(1, lines * followers)
    timing = {"job_s": round(job_s, 2), "write_ms": round(write_ms, 2), "server_us": round(server_us, 2)}
    return {"transport": transport, "followers": followers, "lines": lines, **result, **timing}


def without_followers(lines: int) -> dict[str, Any]:
    """Return ``job_s`` and ``write_ms`` of the same job without followers."""
    from provisioning.queue import jobs

    _, lease = _running_import()
    job_s, write_ms = _write(lease, lines)
    jobs.fail(lease, "done")
    return {"followers": 0, "lines": lines, "job_s": round(job_s, 2), "write_ms": round(write_ms, 2)}


def _running_import() -> tuple[Any, "Lease"]:
    from tests.factories import claim, make_organization, make_user, make_version

    organization = make_organization(f"bench-{uuid.uuid4().hex[:8]}")
    user = make_user(f"bench-{uuid.uuid4().hex[:8]}", organizations=(organization,), site_roles=("owner",))
    version = make_version(user=user, organization=organization, finished=False)
    return version, claim(lease_seconds=600)


def _write(lease: "Lease", lines: int) -> tuple[float, float]:
    """Write at the pace of the job. Return the seconds for all lines, and the mean milliseconds of a batch."""
    from provisioning.engine.base import LogLevel, LogLine, LogSource
    from provisioning.log import writing

    began = time.perf_counter()
    seconds = 0.0
    for number, start in enumerate(range(0, lines, BATCH)):
        time.sleep(max(0.0, began + number * PAUSE - time.perf_counter()))
        now, since = time.time(), time.perf_counter()
        output = f"sent {int(now * 1e6)} {'x' * 80}"
        batch = [LogLine(LogSource.ENGINE, LogLevel.INFO, "Planning", output, now)] * min(BATCH, lines - start)
        writing.append(lease.job_id, lease.token, batch)
        seconds += time.perf_counter() - since
    return time.perf_counter() - began, seconds * 1000 / -(-lines // BATCH)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--followers", default="500")
    parser.add_argument("--lines", type=int, default=2000)
    parser.add_argument("--transport", choices=[*TRANSPORTS, "all"], default="all")
    options = parser.parse_args()
    with own_database(), served() as server:
        for followers in map(int, options.followers.split(",")):
            if not followers:
                print(json.dumps(without_followers(options.lines)), flush=True)
                continue
            for transport in TRANSPORTS if options.transport == "all" else [options.transport]:
                figures = measure(server, followers=followers, lines=options.lines, transport=transport)
                print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
