"""The clients that follow a log, as cheap as they can be: they share the machine with what is measured.

Run as a process of its own. Standard input has one JSON object: ``host``, ``port``, ``request`` (the text of a GET
that asks for ``Connection: close``), ``followers``, ``lines`` and ``seconds`` (the longest to wait). It prints
``connected`` once all have sent their request, and at the end the figures as JSON. While lines come in, pieces are
only kept with the moment of their receipt; they are looked at when all connections have ended.
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

# The number of a line, and the moment (microseconds) that its writer put into it.
LINE = re.compile(rb'\{"id":(\d+),[^{}]*"output":"sent (\d+) x+"\}')
PIECE = 256 * 1024


@dataclass(slots=True, eq=False)
class Follower:
    """A connection, and what came over it: moments and pieces."""

    connection: socket.socket
    moments: list[float] = field(default_factory=list)
    pieces: list[bytes] = field(default_factory=list)

    def lines(self) -> list[tuple[int, float]]:
        """Number and lateness in seconds of each line; a line has come when its last byte has."""
        ends = list(itertools.accumulate(map(len, self.pieces)))
        return [
            (int(found[1]), self.moments[bisect_left(ends, found.end())] - int(found[2]) / 1e6)
            for found in LINE.finditer(b"".join(self.pieces))
        ]


def follow(order: dict[str, Any]) -> list[Follower]:
    """Connect, and keep what comes until every connection has ended or the time is up."""
    poll = select.epoll()
    followers: dict[int, Follower] = {}
    for _ in range(order["followers"]):
        connection = socket.create_connection((order["host"], order["port"]))
        connection.sendall(order["request"].encode())
        connection.setblocking(False)
        followers[connection.fileno()] = Follower(connection)
        poll.register(connection, select.EPOLLIN)
    print("connected", flush=True)
    give_up = time.monotonic() + order["seconds"]
    open_ones = len(followers)
    while open_ones and time.monotonic() < give_up:
        for number, _ in poll.poll(1.0):
            follower = followers[number]
            try:
                piece = follower.connection.recv(PIECE)
            except BlockingIOError:
                continue
            except ConnectionError:
                piece = b""
            follower.moments.append(time.time())
            follower.pieces.append(piece)
            if not piece:
                poll.unregister(number)
                open_ones -= 1
    return list(followers.values())


def figures(followers: list[Follower], lines: int) -> dict[str, Any]:
    """Percentiles of the lateness in milliseconds, and the counts of what went wrong."""
    late: list[float] = []
    lost = repeated = out_of_order = 0
    for follower in followers:
        found = follower.lines()
        numbers = [number for number, _ in found]
        lost += lines - len(set(numbers))
        repeated += len(numbers) - len(set(numbers))
        out_of_order += numbers != sorted(numbers)
        late += (seconds for _, seconds in found)
    late.sort()
    at = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99, "max_ms": 1.0}
    percentiles = {name: round(late[min(len(late) - 1, int(len(late) * q))] * 1000, 1) for name, q in at.items()}
    return {
        **(percentiles if late else {}),
        "received": len(late),
        "lost": lost,
        "repeated": repeated,
        "out_of_order": out_of_order,
    }


def main() -> None:
    order = json.load(sys.stdin)
    followers = follow(order)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps(figures(followers, order["lines"]) | {"client_cpu_s": round(usage.ru_utime + usage.ru_stime, 2)}))


if __name__ == "__main__":
    main()
