"""Imports, the queue, followers and the log, each figure beside its goal; the last line is ``N of M goals met``.

Every part runs in processes of its own, one after the other. The wall clock of a busy machine says little: the load is
printed with each part, and processor time where there is some.
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
# A job may take so much longer with 500 followers than unwatched: the grain of the clock and of the machine.
WATCHED_RATIO = 1.05


class Goals:
    """What was asked for, and whether it was met."""

    def __init__(self) -> None:
        self._met: list[bool] = []

    def at_most(self, what: str, figure: float, goal: float, unit: str = "") -> None:
        self._judge(what, figure, f"<= {goal:g}{unit}", figure <= goal, unit)

    def at_least(self, what: str, figure: float, goal: float, unit: str = "") -> None:
        self._judge(what, figure, f">= {goal:g}{unit}", figure >= goal, unit)

    def _judge(self, what: str, figure: float, goal: str, is_met: bool, unit: str) -> None:
        self._met.append(is_met)
        value = f"{figure:,.0f}{unit}" if figure >= 1000 else f"{figure:.3g}{unit}"
        print(f"{'met   ' if is_met else 'MISSED'} {what:56} {value:>12}   goal {goal}", flush=True)

    def summary(self) -> str:
        return f"{sum(self._met)} of {len(self._met)} goals met"


def main() -> int:
    # Each part has a database of its own, and programs that are compiled once, as they are by default.
    for name in ("DATABASE_URL", "PYTHONDONTWRITEBYTECODE"):
        os.environ.pop(name, None)
    goals = Goals()
    for part in (engine, whole_job, queue, followers):
        print(f"-- {part.__name__.replace('_', ' ')} (load {os.getloadavg()[0]:.1f})", flush=True)
        part(goals)
    print(goals.summary())
    return 0


def engine(goals: Goals) -> None:
    """The engine alone, and the static read of its template."""
    times = import_engine.measure(RUNS)
    reference = min(times["reference"][0])
    for name, (wall, cpu) in times.items():
        print(
            f"       {name:12} min {min(wall):6.1f} ms, median {statistics.median(wall):6.1f} ms,"
            f" {min(wall) / reference:.2f}x, processor {statistics.median(cpu):.0f} ms"
        )
    ours = min(min(wall) for name, (wall, _) in times.items() if name != "reference")
    goals.at_most("import by the engine alone, of the reference sequence", ours / reference, 0.15, "x")
    reads = []
    for _ in range(READS):
        began = time.perf_counter()
        read_module(import_engine.TEMPLATE)
        reads.append((time.perf_counter() - began) * 1000)
    goals.at_most("static read of the template", statistics.median(reads), 10, " ms")


def whole_job(goals: Goals) -> None:
    """The import through the API, and what the system is at rest."""
    figures = answers("tests.bench.main_job", "--json")[0]
    imported, reference = figures["imported"], figures["reference"]
    goals.at_most("import, POST to succeeded, of the reference sequence", imported["wall"] / reference, 0.3, "x")
    print(
        f"       {imported['wall'] * 1000:.0f} ms of {reference * 1000:.0f}; quickest {figures['quickest'] * 1000:.0f};"
        f" one right after the other {figures['in_a_row'] * 1000:.0f} ({figures['in_a_row'] / reference:.2f}x)"
    )
    spent = figures["spent_ms"]
    print(f"       where the ms go: {', '.join(f'{name} {value}' for name, value in spent.items())}")
    goals.at_most("import, first log line visible after the POST", imported["first_line"] * 1000, 150, " ms")
    goals.at_most("make up to the first answer, warm", figures["warm"], 3, " s")
    print(f"       cold {figures['cold']:.1f} s")
    goals.at_most("idle memory of the whole system", figures["memory_mib"], 400, " MiB")


def queue(goals: Goals) -> None:
    """Claims, completions and the log's writer."""
    figures = answers("tests.bench.queueing")[0]
    goals.at_most("enqueue to started, p95, an idle daemon", figures["wake_ms"]["p95"], 10, " ms")
    print(f"       p50 {figures['wake_ms']['p50']} ms; scripted jobs through it {figures['daemon_jobs_per_second']}/s")
    durable, fast = figures["no_op"], figures["throw_away"]
    goals.at_least("no-op jobs through claim and completion, 4 daemons", durable["jobs_per_second"], 1500, "/s")
    for name, one in (("durable", durable), ("not waiting for the disk", fast)):
        print(
            f"       {name}: {one['jobs_per_second']:.0f}/s,"
            f" claim p50 {one['claim']['p50']} p99 {one['claim']['p99']} ms, complete p50 {one['complete']['p50']} ms;"
            f" processor a job: daemon {one['client_cpu_us']:.0f} us,"
            f" PostgreSQL {one['postgres_cpu_us']} us with the enqueue"
        )
    log = figures["ingestion"]
    goals.at_least("log ingestion", log["lines_per_second"], 50_000, " lines/s")
    goals.at_most("processor time of a log line, its writer's", log["writer_cpu_us"], 15, " us")
    print(f"       PostgreSQL's {log['postgres_cpu_us']} us")


def followers(goals: Goals) -> None:
    """One job with more and more followers over server-sent events."""
    numbers = ",".join(map(str, FOLLOWERS))
    found = {
        one["followers"]: one
        for one in answers(
            "tests.bench.followers", "--followers", numbers, "--lines", str(LINES), "--transport", "events"
        )
    }
    for number, one in found.items():
        if number:
            print(
                f"       {number:3} followers: p50 {one['p50_ms']} p95 {one['p95_ms']} p99 {one['p99_ms']} ms, lost"
                f" {one['lost']}, repeated {one['repeated']}; server {one['server_us']} us a line and follower"
            )
    most = found[max(FOLLOWERS)]
    goals.at_most("500 followers of one job, p99", most["p99_ms"], 60, " ms")
    wrong = max(one["lost"] + one["repeated"] + one["out_of_order"] for number, one in found.items() if number)
    goals.at_most("lines lost, repeated or out of order, all followers", wrong, 0)
    goals.at_most(
        "the job's time with 500 followers, of unwatched", most["job_s"] / found[0]["job_s"], WATCHED_RATIO, "x"
    )
    print(f"       writing a batch: unwatched {found[0]['write_ms']} ms, with 500 followers {most['write_ms']} ms")


def answers(module: str, *arguments: str) -> list[Any]:
    """The lines of JSON that a part prints."""
    done = subprocess.run([sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


if __name__ == "__main__":
    sys.exit(main())
