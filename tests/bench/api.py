"""Reads of the API compared with plain Django REST framework, interleaved, on the same server and data.

The first goal is CPU time per request (server and database), because other load on the machine hardly changes it. The
second is requests per second as a share of a constant view.
"""

import json
import statistics
import sys
import time
import urllib.request
import uuid
from typing import TYPE_CHECKING, Any

from tests.bench.database import database_beside_plain, served
from tests.bench.load import Connection, Load, load

if TYPE_CHECKING:  # the import requires django.setup()
    from tests.bench.seed import Seeded

ROUNDS = 7
SECONDS = 1.0
CONSTANT = "/api/constant"


def main() -> int:
    """Seed a new database, serve it, measure, print ``N of M goals met``."""
    with database_beside_plain() as database:
        from django.db import connection

        from tests.bench.seed import seed

        seeded = seed()
        connection.close()
        assert database.pid is not None
        headers = {"Coder-Session-Token": seeded.token}
        with served() as (url, server), served(WEB_KEPT_ANSWERS_MIB="0") as (uncached_url, uncached_server):
            uncached = Bench(uncached_url, headers, [uncached_server, database.pid], uncached_server)
            return Bench(url, headers, [server, database.pid], server).run(seeded, uncached)


class Bench:
    """Measures reads and compares them with their goals."""

    def __init__(self, url: str, headers: dict[str, str], watched: list[int], server: int) -> None:
        self.url, self.headers, self.watched, self.server = url, headers, watched, server
        self.goals: list[tuple[str, bool]] = []

    def run(self, seeded: "Seeded", uncached: "Bench") -> int:
        """Measure all reads. ``uncached`` measures a server without a cache of responses, with the same goals."""
        reads = {
            "list 50": (f"organizations/{seeded.organization}/templates", 8, 0.15),
            "one template": (f"templates/{seeded.template}", 10, 0.33),
            "versions 25": (f"templates/{seeded.template}/versions?limit=25", 10, 0.15),
            "resources": (f"templateversions/{seeded.version}/resources", 12, 0.22),
            "logs 200": (f"templateversions/{seeded.version}/logs", 10, 0.17),
        }
        self.check_same_lengths({name: path for name, (path, _, _) in reads.items()})
        print(f"{'read':14} {'CPU ms':>12} {'plain CPU ms':>13} {'ratio':>7} {'req/s':>8} {'of constant':>12}")
        for name, (path, cpu_goal, share_goal) in reads.items():
            product, plain, constant = self.compare(f"/api/v2/{path}", f"/api/plain/{path}", CONSTANT)
            share = paired(product, constant, "per_second")
            ratio = paired(plain, product, "cpu_ms")
            print(
                f"{name:14} {median(product, 'cpu_ms'):12.2f} {median(plain, 'cpu_ms'):13.2f} {ratio:6.1f}x"
                f" {median(product, 'per_second'):8.0f} {share:11.0%}"
            )
            self.goal(f"{name}: CPU {ratio:.1f}x less than plain, goal {cpu_goal}x", ratio >= cpu_goal)
            self.goal(f"{name}: {share:.0%} of the constant view, goal {share_goal:.0%}", share >= share_goal)
        for name in ("resources", "logs 200"):
            path, cpu_goal, share_goal = reads[name]
            product, plain, constant = uncached.compare(f"/api/v2/{path}", f"/api/plain/{path}", CONSTANT)
            cpu, per_second = median(product, "cpu_ms"), median(product, "per_second")
            ratio = paired(plain, product, "cpu_ms")
            share = paired(product, constant, "per_second")
            print(f"{name}, not cached: {cpu:.2f} ms CPU, {per_second:.0f} req/s, {share:.0%} of constant")
            self.goal(f"{name}, not cached: CPU {ratio:.1f}x less than plain, goal {cpu_goal}x", ratio >= cpu_goal)
            text = f"{name}, not cached: {share:.0%} of the constant view, goal {share_goal:.0%}"
            self.goal(text, share >= share_goal)
        self.long_log(f"templateversions/{seeded.long_version}/logs")
        self.deep_page(f"templates/{seeded.deep_template}/versions")
        self.many_templates(seeded.organization)
        for text, met in self.goals:
            print(f"{'met   ' if met else 'MISSED'} {text}")
        print(f"{sum(met for _, met in self.goals)} of {len(self.goals)} goals met")
        return 0

    def goal(self, text: str, met: bool) -> None:
        self.goals.append((text, met))

    def read(self, path: str) -> Any:
        """Return the JSON of one response."""
        with urllib.request.urlopen(urllib.request.Request(f"{self.url}{path}", headers=self.headers)) as response:
            return json.load(response)

    def check_same_lengths(self, paths: dict[str, str]) -> None:
        """Compare the lengths of both responses to each read. Raises AssertionError if they differ."""
        for name, path in paths.items():
            if name.startswith("logs"):
                continue  # the framework's variant has fewer fields
            bodies = [self.read(f"{prefix}{path}") for prefix in ("/api/v2/", "/api/plain/")]
            if len(bodies[0]) != len(bodies[1]):
                raise AssertionError(f"{name}: the responses have different lengths")

    def compare(self, *paths: str) -> list[list[Load]]:
        """Load each path in turn, round after round. Return the measurements by path."""
        results: list[list[Load]] = [[] for _ in paths]
        for round_ in range(ROUNDS + 1):
            for index, path in enumerate(paths):
                measured = load(
                    self.url,
                    path,
                    self.headers,
                    connections=2,
                    seconds=SECONDS if round_ else 0.3,
                    watched=self.watched,
                )
                if round_:
                    results[index].append(measured)
        return results

    def long_log(self, path: str) -> None:
        """Measure one response of 100,000 lines."""
        from coderproj.base.processes import proportional_memory

        idle = proportional_memory(self.server)
        firsts, totals = [], []
        for _ in range(ROUNDS):
            connection = Connection(self.url, f"/api/v2/{path}", self.headers)
            began = time.perf_counter()
            _, first = connection.send()
            totals.append(time.perf_counter() - began)
            firsts.append(first)
        grown = (proportional_memory(self.server) - idle) / 2**20
        plain = Connection(self.url, f"/api/plain/{path}", self.headers)
        began = time.perf_counter()
        plain.send()
        plain_total = time.perf_counter() - began
        first, total = statistics.median(firsts) * 1000, statistics.median(totals)
        whole = f"whole {total:.2f} s (plain {plain_total:.2f} s)"
        print(f"100,000 lines: first byte {first:.1f} ms, {whole}, +{grown:.1f} MiB")
        self.goal(f"100,000 lines: first byte {first:.1f} ms, goal 20 ms", first <= 20)
        self.goal(f"100,000 lines: memory +{grown:.1f} MiB, goal 10 MiB", grown <= 10)
        self.goal(f"100,000 lines: {plain_total / total:.1f}x faster than plain, goal 5x", plain_total / total >= 5)

    def deep_page(self, path: str) -> None:
        """Compare the page after 9,900 versions with the first page."""
        after = self.read(f"/api/v2/{path}?limit=1&offset=9899")[0]["id"]
        first, deep = self.compare(f"/api/v2/{path}?limit=25", f"/api/v2/{path}?limit=25&after_id={after}")
        ratio = paired(deep, first, "cpu_ms")
        print(f"page at depth 9,900: {ratio:.2f}x the first page's CPU")
        self.goal(f"page at depth: {ratio:.2f}x the first page, goal 1.5x", ratio <= 1.5)

    def many_templates(self, few: uuid.UUID) -> None:
        """Compare a list of 1,000 templates with a list of 50, measured before and after the 1,000 exist."""
        from django.db import connection

        from tests.bench.seed import MANY_TEMPLATES, TEMPLATES, seed_many

        (before,) = self.compare(f"/api/v2/organizations/{few}/templates")
        alone = median(before, "cpu_ms")
        many = seed_many()
        connection.close()
        paths = [f"/api/v2/organizations/{organization}/templates" for organization in (few, many)]
        lengths = [len(self.read(path)) for path in paths]
        if lengths != [TEMPLATES + 1, MANY_TEMPLATES]:
            raise AssertionError(f"lists of {lengths} templates")
        shorter, longer = self.compare(*paths)
        with_many, whole = median(shorter, "cpu_ms"), median(longer, "cpu_ms")
        print(f"list of 1,000: {whole:.1f} ms CPU; list of 50: {with_many:.2f} ms, before {alone:.2f} ms")
        ratio = whole / min(with_many, alone)
        self.goal(f"list of 1,000: {ratio:.1f}x the list of 50, goal 12x", ratio <= 12)


def median(loads: list[Load], figure: str) -> float:
    return statistics.median(getattr(load_, figure) for load_ in loads)


def paired(loads: list[Load], others: list[Load], figure: str) -> float:
    """Return the median of the rounds' ratios.

    The measurements of a round are within three seconds, at the same speed of the machine. Between rounds, the
    constant view alone varies by two thirds.
    """
    return statistics.median(getattr(a, figure) / getattr(b, figure) for a, b in zip(loads, others, strict=True))


if __name__ == "__main__":
    sys.exit(main())
