"""The clients that follow a log. They use little CPU, because they share the machine with the measured server.

This runs as a separate process. Standard input has one JSON object: ``host``, ``port``, ``request`` (the text of a GET
with ``Connection: close``), ``followers``, ``lines`` and ``seconds`` (the time limit). The process prints ``connected``
when all followers have sent their request, and at the end the figures as JSON. While lines arrive, it only stores the
received chunks with their times; it parses them after all connections have ended.
"""

import itertools
import json
import re
import resource
import select
import socket
import sys
import time
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Any

# The number of a line, and the time (microseconds) at which it was written.
LINE = re.compile(rb'\{"id":(\d+),[^{}]*"output":"sent (\d+) x+"\}')
CHUNK_BYTES = 256 * 1024


@dataclass(slots=True, eq=False)
class Follower:
    """A connection, and the received chunks with their times."""

    connection: socket.socket
    times: list[float] = field(default_factory=list)
    chunks: list[bytes] = field(default_factory=list)

    def lines(self) -> list[tuple[int, float]]:
        """Return number and latency in seconds of each line. A line has arrived when its last byte has."""
        ends = list(itertools.accumulate(map(len, self.chunks)))
        return [
            (int(found[1]), self.times[bisect_left(ends, found.end())] - int(found[2]) / 1e6)
            for found in LINE.finditer(b"".join(self.chunks))
        ]


def follow(options: dict[str, Any]) -> list[Follower]:
    """Connect, and store the received chunks until every connection has ended or the time limit is reached."""
    poll = select.epoll()
    followers: dict[int, Follower] = {}
    for _ in range(options["followers"]):
        connection = socket.create_connection((options["host"], options["port"]))
        connection.sendall(options["request"].encode())
        connection.setblocking(False)
        followers[connection.fileno()] = Follower(connection)
        poll.register(connection, select.EPOLLIN)
    print("connected", flush=True)
    deadline = time.monotonic() + options["seconds"]
    open_count = len(followers)
    while open_count and time.monotonic() < deadline:
        for number, _ in poll.poll(1.0):
            follower = followers[number]
            try:
                chunk = follower.connection.recv(CHUNK_BYTES)
            except BlockingIOError:
                continue
            except ConnectionError:
                chunk = b""
            follower.times.append(time.time())
            follower.chunks.append(chunk)
            if not chunk:
                poll.unregister(number)
                open_count -= 1
    return list(followers.values())


def figures(followers: list[Follower], lines: int) -> dict[str, Any]:
    """Return percentiles of the latency in milliseconds, and the counts of lost, repeated and misplaced lines."""
    latencies: list[float] = []
    lost = repeated = out_of_order = 0
    for follower in followers:
        found = follower.lines()
        numbers = [number for number, _ in found]
        lost += lines - len(set(numbers))
        repeated += len(numbers) - len(set(numbers))
        out_of_order += numbers != sorted(numbers)
        latencies += (seconds for _, seconds in found)
    latencies.sort()
    at = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99, "max_ms": 1.0}
    last = len(latencies) - 1
    percentiles = {
        name: round(latencies[min(last, int(len(latencies) * q))] * 1000, 1) for name, q in at.items() if latencies
    }
    return {
        **percentiles,
        "received": len(latencies),
        "lost": lost,
        "repeated": repeated,
        "out_of_order": out_of_order,
    }


def main() -> None:
    options = json.load(sys.stdin)
    followers = follow(options)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu = round(usage.ru_utime + usage.ru_stime, 2)
    print(json.dumps(figures(followers, options["lines"]) | {"client_cpu_s": cpu}))


if __name__ == "__main__":
    main()
