"""Imports, the queue, followers and the log, each compared with its goal. The last line is ``N of M goals met``.

The parts run one after the other in separate processes. The wall clock depends on other load, so each part also prints
the load, and CPU time where it is measured.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any

from provisioning.engine.hcl import read_module
from tests.bench import import_engine

RUNS = 7
READS = 30
FOLLOWERS, LINES = (0, 1, 50, 500), 2000
# The goal of a job's time with 500 followers divided by its time without. The margin allows for measurement noise.
FOLLOWED_RATIO = 1.05


class Goals:
    """Compares figures with their goals, prints each, and counts the goals that are met."""

    def __init__(self) -> None:
        self._met: list[bool] = []

    def at_most(self, name: str, figure: float, goal: float, unit: str = "") -> None:
        self._report(name, figure, f"<= {goal:g}{unit}", figure <= goal, unit)

    def at_least(self, name: str, figure: float, goal: float, unit: str = "") -> None:
        self._report(name, figure, f">= {goal:g}{unit}", figure >= goal, unit)

    def _report(self, name: str, figure: float, goal: str, is_met: bool, unit: str) -> None:
        self._met.append(is_met)
        value = f"{figure:,.0f}{unit}" if figure >= 1000 else f"{figure:.3g}{unit}"
        print(f"{'met   ' if is_met else 'MISSED'} {name:56} {value:>12}   goal {goal}", flush=True)

    def summary(self) -> str:
        return f"{sum(self._met)} of {len(self._met)} goals met"


def main() -> int:
    # Each part starts a new database, and Python caches compiled modules, as by default.
    for name in ("DATABASE_URL", "PYTHONDONTWRITEBYTECODE"):
        os.environ.pop(name, None)
    goals = Goals()
    for part in (engine, whole_job, queue, followers):
        print(f"-- {part.__name__.replace('_', ' ')} (load {os.getloadavg()[0]:.1f})", flush=True)
        part(goals)
    print(goals.summary())
    return 0


def engine(goals: Goals) -> None:
    """Measure the engine alone, and the static read of its template."""
    times = import_engine.measure(RUNS)
    reference = min(times["reference"][0])
    for name, (wall, cpu) in times.items():
        print(
            f"       {name:12} min {min(wall):6.1f} ms, median {statistics.median(wall):6.1f} ms,"
            f" {min(wall) / reference:.2f}x, CPU time {statistics.median(cpu):.0f} ms"
        )
    fastest = min(min(wall) for name, (wall, _) in times.items() if name != "reference")
    goals.at_most("import by the engine alone / the reference", fastest / reference, 0.15, "x")
    reads = []
    for _ in range(READS):
        began = time.perf_counter()
        read_module(import_engine.TEMPLATE)
        reads.append((time.perf_counter() - began) * 1000)
    goals.at_most("static read of the template", statistics.median(reads), 10, " ms")


def whole_job(goals: Goals) -> None:
    """Measure the import through the API, the start of the server, and the memory of the idle system."""
    figures = results("tests.bench.main_job", "--json")[0]
    imported, reference = figures["imported"], figures["reference"]
    goals.at_most("import, POST to succeeded / the reference", imported["wall"] / reference, 0.3, "x")
    print(
        f"       {imported['wall'] * 1000:.0f} ms of {reference * 1000:.0f}; fastest {figures['fastest'] * 1000:.0f};"
        f" immediately after another {figures['in_a_row'] * 1000:.0f} ({figures['in_a_row'] / reference:.2f}x)"
    )
    spent = figures["spent_ms"]
    print(f"       ms by step: {', '.join(f'{name} {value}' for name, value in spent.items())}")
    goals.at_most("import, first log line visible after the POST", imported["first_line"] * 1000, 150, " ms")
    goals.at_most("make up to the first response, warm", figures["warm"], 3, " s")
    print(f"       cold {figures['cold']:.1f} s")
    goals.at_most("idle memory of the whole system", figures["memory_mib"], 400, " MiB")


def queue(goals: Goals) -> None:
    """Measure claims, completions and the log's writer."""
    figures = results("tests.bench.queueing")[0]
    goals.at_most("enqueue to started, p95, idle daemon", figures["wake_ms"]["p95"], 10, " ms")
    print(f"       p50 {figures['wake_ms']['p50']} ms; scripted jobs in a row {figures['daemon_jobs_per_second']}/s")
    durable, fast = figures["no_op"], figures["throw_away"]
    goals.at_least("no-op jobs through claim and completion, 4 daemons", durable["jobs_per_second"], 1500, "/s")
    for name, one in (("durable", durable), ("without waiting for the disk", fast)):
        print(
            f"       {name}: {one['jobs_per_second']:.0f}/s,"
            f" claim p50 {one['claim']['p50']} p99 {one['claim']['p99']} ms, complete p50 {one['complete']['p50']} ms;"
            f" CPU time per job: daemon {one['client_cpu_us']:.0f} us,"
            f" PostgreSQL {one['postgres_cpu_us']} us including the enqueue"
        )
    log = figures["ingestion"]
    goals.at_least("log ingestion", log["lines_per_second"], 50_000, " lines/s")
    goals.at_most("CPU time per log line, writer", log["writer_cpu_us"], 15, " us")
    print(f"       PostgreSQL {log['postgres_cpu_us']} us")


def followers(goals: Goals) -> None:
    """Measure one job with increasing numbers of followers over server-sent events."""
    numbers = ",".join(map(str, FOLLOWERS))
    found = {
        one["followers"]: one
        for one in results(
            "tests.bench.followers", "--followers", numbers, "--lines", str(LINES), "--transport", "events"
        )
    }
    for number, one in found.items():
        if number:
            print(
                f"       {number:3} followers: p50 {one['p50_ms']} p95 {one['p95_ms']} p99 {one['p99_ms']} ms, lost"
                f" {one['lost']}, repeated {one['repeated']}; server {one['server_us']} us per line and follower"
            )
    most = found[max(FOLLOWERS)]
    goals.at_most("500 followers of one job, p99", most["p99_ms"], 60, " ms")
    wrong = max(one["lost"] + one["repeated"] + one["out_of_order"] for number, one in found.items() if number)
    goals.at_most("lines lost, repeated or out of order, all followers", wrong, 0)
    goals.at_most("the job's time with 500 followers / without", most["job_s"] / found[0]["job_s"], FOLLOWED_RATIO, "x")
    print(f"       writing a batch: no followers {found[0]['write_ms']} ms, 500 followers {most['write_ms']} ms")


def results(module: str, *arguments: str) -> list[Any]:
    """Run a part and return the decoded lines of JSON that it prints."""
    done = subprocess.run([sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


if __name__ == "__main__":
    sys.exit(main())
