"""The main job on a new server: import, first log line, queue, start of the server, idle memory.

``python -m tests.bench.main_job`` prints a table; with ``--json``, it prints the ``Figures``.
"""

import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tests.bench.reference import reference_seconds

if TYPE_CHECKING:
    from coderproj.demo.api import Api

TEMPLATE = Path(__file__).parents[1] / "data" / "templates" / "mixed"
RUNS = 7
SETTLE_SECONDS = 2.5


def main() -> None:
    """Start a server in a new folder twice, and import the mixed template repeatedly."""
    with tempfile.TemporaryDirectory(prefix="coderproj-bench-") as folder:
        os.chmod(folder, 0o711)  # noqa: PTH101 - the database's account must pass through
        os.environ["CODERPROJ_DATA_DIR"] = folder
        os.environ.pop("DATABASE_URL", None)
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "coderproj.settings")
        import django

        django.setup()
        os.environ["LOG_LEVEL"] = "debug"  # the server's daemon logs the time of each step
        figures = measure_server()
    if "--json" in sys.argv:
        print(msgspec.json.encode(figures).decode())
    else:
        show(figures)


@dataclass(frozen=True, slots=True)
class Import:
    """Seconds of one import.

    ``wall`` is from the POST to the end of the followed log, ``first_line`` from the POST to the first log line,
    ``post`` the POST itself, ``queued`` from enqueue to start, and ``ending`` from the completion to the end of the
    followed log.
    """

    wall: float
    first_line: float
    post: float
    queued: float
    ending: float


@dataclass(frozen=True, slots=True)
class Figures:
    """The results. Times are medians in seconds; ``fastest`` is the minimum.

    ``spent_ms`` has the milliseconds of an import by step, ``memory_mib`` is the memory of all idle processes.
    """

    imported: Import
    fastest: float
    in_a_row: float
    reference: float
    cold: float
    warm: float
    memory_mib: float
    spent_ms: dict[str, float]


def measure_server() -> Figures:
    """Start the server twice, wait until it is idle, and import repeatedly."""
    from coderproj.demo.api import Api
    from coderproj.demo.server import OwnServer
    from coderproj.management.commands.demo import owner_token
    from provisioning.files.archive import pack

    server = OwnServer()
    cold = server.start()
    server.stop()
    warm = server.start()
    try:
        time.sleep(SETTLE_SECONDS)
        memory = server.memory() / 2**20
        api = Api(server.url, owner_token())
        file_id = api.upload(pack(TEMPLATE))
        imports = []
        for _ in range(RUNS + 1):
            imports.append(one_import(api, file_id))
            time.sleep(SETTLE_SECONDS)
        del imports[0]
        began = time.perf_counter()
        for _ in range(RUNS):
            one_import(api, file_id)
        in_a_row = (time.perf_counter() - began) / RUNS
        reference = reference_seconds(TEMPLATE, RUNS)
    finally:
        server.stop()
    median = Import(*(statistics.median(getattr(one, name) for one in imports) for name in Import.__slots__))
    daemon = spent(server.log, len(imports))
    parts = {"post": median.post * 1000, "queued": median.queued * 1000, **daemon}
    parts["notify"] = max(0.0, median.ending * 1000 - daemon.get("store", 0.0))
    return Figures(
        imported=median,
        fastest=min(one.wall for one in imports),
        in_a_row=in_a_row,
        reference=reference,
        cold=cold,
        warm=warm,
        memory_mib=memory,
        spent_ms={name: round(value, 1) for name, value in parts.items()},
    )


def show(figures: Figures) -> None:
    """Print the figures as a table."""
    wall, reference, in_a_row = figures.imported.wall, figures.reference, figures.in_a_row
    rows = [
        (
            "import, POST to end",
            wall,
            f"{wall / reference:.2f} x the reference ({reference * 1000:.0f} ms), goal <= 0.30",
        ),
        ("fastest import", figures.fastest, f"load {os.getloadavg()[0]:.1f}"),
        ("immediately after another", in_a_row, f"{in_a_row / reference:.2f} x the reference, nothing prepared"),
        ("POST to first log line", figures.imported.first_line, "goal <= 150 ms"),
        ("enqueue to start", figures.imported.queued, "goal <= 10 ms"),
        ("make up, cold", figures.cold, ""),
        ("make up, warm", figures.warm, "goal <= 3000 ms"),
    ]
    for name, value, note in rows:
        print(f"{name:25} {value * 1000:9.1f} ms   {note}")
    print(f"{'import by step, ms':25} {', '.join(f'{name} {value}' for name, value in figures.spent_ms.items())}")
    print(f"{'idle memory (PSS)':25} {figures.memory_mib:9.1f} MiB  goal <= 420 MiB")


def spent(log: Path, jobs: int) -> dict[str, float]:
    """Return the median milliseconds of each step from the daemon's lines in the server's log.

    The first job is left out; the next ``jobs`` jobs count. ``claim`` is the claim of the job, ``process`` the wait for
    a runner, ``values`` the storing of the variables that ``read`` found, ``store`` the transaction of the results.
    """
    found: dict[str, list[float]] = {}
    for line in log.read_text(errors="replace").splitlines():
        _, separator, parts = line.partition(": spent ms: ")
        for part in parts.split() if separator else ():
            name, _, value = part.partition("=")
            found.setdefault(name, []).append(float(value))
    return {name: statistics.median(values[1 : jobs + 1]) for name, values in found.items()}


def one_import(api: "Api", file_id: str) -> Import:
    """Create a version and follow its log to the end."""
    from datetime import datetime

    organization = api.call("GET", "users/me/organizations")[0]["id"]
    began = time.perf_counter()
    version = api.call("POST", f"organizations/{organization}/templateversions", {"file_id": file_id})
    posted = time.perf_counter()
    arrivals = [arrived for arrived, _ in api.follow(f"templateversions/{version['id']}/logs")]
    ended, ended_at = time.perf_counter(), time.time()
    job = api.call("GET", f"templateversions/{version['id']}")["job"]
    if job["status"] != "succeeded":
        raise AssertionError(job)
    created, started, completed = (
        datetime.fromisoformat(job[key]).timestamp() for key in ("created_at", "started_at", "completed_at")
    )
    return Import(ended - began, arrivals[0] - began, posted - began, started - created, ended_at - completed)


if __name__ == "__main__":
    main()
