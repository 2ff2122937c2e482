"""Statistics over a million builds and ten million reports: passes of a worker, and pages of insights.

The builds are those of 90 days, the reports those of 30, of 20,000 workspaces of 5,000 users and 100 templates. A
quarter of the builds are of one template. Each pass is a process with Django, as workers start it.

``python -m tests.bench.statistics [share]`` prints figures and goals; a share of 0.01 has a hundredth of the rows.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any

from tests.bench.database import own_database, served
from tests.bench.jobs import Goals
from tests.bench.load import Connection

BUILDS, REPORTS = 1_000_000, 10_000_000
TEMPLATES, USERS, WORKSPACES = 100, 5_000, 20_000
NEW_BUILDS, NEW_REPORTS = 1_000, 10_000
REFRESH_SECONDS, PAGE_MS, MEMORY_MIB = 10, 60, 40
WARM_UP, REQUESTS = 3, 20
# A pass in a process of its own: the seconds, those of processors in this process and in its database process, the
# changes, and the MiB that it adds to the process's memory.
PASS = r"""
import json, os, re, sys, time
from pathlib import Path
import django
django.setup()
from django.db import connection
def greatest():
    return int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1])
from templates_app.agents.services import refreshing
from templates_app.models import StatisticsProgress
def spent():
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        used = Path(f"/proc/{cursor.fetchone()[0]}/stat").read_text().rpartition(")")[2].split()
    return time.process_time() + (int(used[11]) + int(used[12])) / os.sysconf("SC_CLK_TCK")
before, already = greatest(), spent()
if "midnight" in sys.argv:
    StatisticsProgress.objects.update(counted_on=None)
began = time.perf_counter()
done = refreshing.refresh(lambda: False, calculate="calculate" in sys.argv)
print(json.dumps({
    "seconds": time.perf_counter() - began,
    "processor": spent() - already,
    "changes": done,
    "grown": (greatest() - before) / 1024,
}))
"""


def main() -> int:
    for name in ("DATABASE_URL", "PYTHONDONTWRITEBYTECODE"):
        os.environ.pop(name, None)
    share = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    goals = Goals()
    with own_database():
        from tests.bench.statistics_seed import Size, add_new, seed

        began = time.perf_counter()
        seeded = seed(Size(int(BUILDS * share), int(REPORTS * share), TEMPLATES, USERS, WORKSPACES))
        print(f"       seeded in {time.perf_counter() - began:.0f} s, load {os.getloadavg()[0]:.1f}", flush=True)
        first = run_pass("calculate")
        print(f"       first pass over everything: {describe(first)}", flush=True)
        goals.at_most("first pass: memory that it adds", first["grown"], MEMORY_MIB, " MiB")
        whole = run_pass("midnight")
        print(f"       all templates counted, as after midnight: {describe(whole)}")
        goals.at_most("refresh of all figures of the API", whole["seconds"], REFRESH_SECONDS, " s")
        insights = run_pass("calculate")
        print(f"       all insights: {describe(insights)}")
        goals.at_most("refresh of all insights", insights["seconds"], REFRESH_SECONDS, " s")
        both = run_pass("midnight", "calculate")
        print(f"       all figures and all insights: {describe(both)}")
        goals.at_most("refresh of everything", both["seconds"], REFRESH_SECONDS, " s")
        goals.at_most("refresh of everything: memory that it adds", both["grown"], MEMORY_MIB, " MiB")
        add_new(seeded, NEW_BUILDS, NEW_REPORTS)
        new = run_pass()
        print(f"       after {NEW_BUILDS} builds and {NEW_REPORTS} reports, without insights: {describe(new)}")
        goals.at_most("refresh after new builds and reports", new["seconds"], REFRESH_SECONDS, " s")
        idle = run_pass()
        print(f"       nothing new: {describe(idle)}, the worker's question {question_ms():.1f} ms")
        with served() as (url, _):
            for path in seeded.pages:
                goals.at_most(path, page_ms(url, path, seeded.session), PAGE_MS, " ms")
    print(goals.summary())
    return 0


def run_pass(*arguments: str) -> dict[str, Any]:
    found = subprocess.run([sys.executable, "-c", PASS, *arguments], check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(found.stdout)
    return result


def describe(found: dict[str, Any]) -> str:
    return (
        f"{found['seconds']:.2f} s, {found['processor']:.2f} s of processors, {found['changes']} changes,"
        f" {found['grown']:.0f} MiB added"
    )


def question_ms() -> float:
    """Return the time of the statement by which a worker finds out whether there is work."""
    from django.db import connection

    from templates_app.agents.tasks import STATISTICS_WORK

    times = []
    with connection.cursor() as cursor:
        for _ in range(REQUESTS):
            began = time.perf_counter()
            cursor.execute(STATISTICS_WORK)
            cursor.fetchone()
            times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


def page_ms(url: str, path: str, session: str) -> float:
    from coderproj.identity.authentication import SESSION_COOKIE

    headers = {"Cookie": f"{SESSION_COOKIE}={session}", "Accept-Encoding": "gzip, br"}
    connection = Connection(url, path, headers)
    times = []
    for number in range(WARM_UP + REQUESTS):
        began = time.perf_counter()
        status, _ = connection.send()
        assert status == 200, f"{path} returned {status}"
        if number >= WARM_UP:
            times.append((time.perf_counter() - began) * 1000)
    connection.socket.close()
    return statistics.median(times)


if __name__ == "__main__":
    sys.exit(main())
