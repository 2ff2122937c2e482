"""The same reads from two checkouts, in turns, on the same database, to measure a change.

``python -m tests.bench.compare BEFORE AFTER``: each is a folder, with ``,NAME=VALUE`` for its environment. Both run
with this interpreter's packages and with the database schema of the current checkout.
"""

import argparse
import statistics
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.api import CONSTANT
from tests.bench.database import database_beside_plain, served
from tests.bench.load import Load, load

if TYPE_CHECKING:  # the import requires django.setup()
    from tests.bench.seed import Seeded


def main() -> int:
    """Print CPU time per request (server and database) and requests per second of both checkouts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkouts", nargs=2, metavar="FOLDER[,NAME=VALUE…]")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--reads", nargs="+", help="names of reads (default: all)")
    options = parser.parse_args()
    with database_beside_plain() as database, ExitStack() as stack:
        from django.db import connection

        from tests.bench.seed import seed

        seeded = seed()
        connection.close()
        assert database.pid is not None
        servers = []
        for text in options.checkouts:
            checkout, *variables = text.split(",")
            environment = dict(variable.split("=", 1) for variable in variables)
            servers.append(stack.enter_context(served(Path(checkout), **environment)))
        compare(seeded, servers, database.pid, options)
    return 0


def compare(seeded: "Seeded", servers: list[tuple[str, int]], database: int, options: argparse.Namespace) -> None:
    """Load both servers with each read, in turns, and print a line for each."""
    reads = {
        "constant": CONSTANT,
        "one template": f"/api/v2/templates/{seeded.template}",
        "list 50": f"/api/v2/organizations/{seeded.organization}/templates",
        "resources": f"/api/v2/templateversions/{seeded.version}/resources",
    }
    headers = {"Coder-Session-Token": seeded.token}
    print(f"{'read':13} {'conn.':>5} {'CPU ms':>15} {'after/before':>13} {'of server':>10} {'req/s':>13} {'ratio':>6}")
    for name in options.reads or reads:
        for connections in options.connections:
            results: list[list[tuple[Load, float]]] = [[], []]
            for round_ in range(options.rounds + 1):
                for result, (url, server) in zip(results, servers, strict=True):
                    own = cpu_seconds_of(server)
                    measured = load(
                        url,
                        reads[name],
                        headers,
                        connections=connections,
                        seconds=options.seconds,
                        watched=[server, database],
                    )
                    if round_:
                        result.append((measured, (cpu_seconds_of(server) - own) * 1000 / max(measured.requests, 1)))
            report(f"{name:13} {connections:5}", *results)


def cpu_seconds_of(server: int) -> float:
    """Return the CPU time of the server's threads so far, exact to the nanosecond (the kernel's ``schedstat``)."""
    return (
        sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{server}/task").iterdir()) / 1e9
    )


def report(name: str, before: list[tuple[Load, float]], after: list[tuple[Load, float]]) -> None:
    """Print one line with medians and the medians of the rounds' ratios."""
    cpu = [statistics.median(measured.cpu_ms for measured, _ in one) for one in (before, after)]
    per_second = [statistics.median(measured.per_second for measured, _ in one) for one in (before, after)]
    pairs = list(zip(before, after, strict=True))
    ratio = statistics.median(b.cpu_ms / a.cpu_ms for (a, _), (b, _) in pairs if a.cpu_ms)  # counted in ticks
    own_ratio = statistics.median(b / a for (_, a), (_, b) in pairs if a)
    rate = statistics.median(b.per_second / a.per_second for (a, _), (b, _) in pairs)
    print(
        f"{name} {cpu[0]:7.3f} {cpu[1]:7.3f} {ratio:12.3f}x {own_ratio:9.3f}x {per_second[0]:6.0f} {per_second[1]:6.0f}"
        f" {rate:5.2f}x",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
