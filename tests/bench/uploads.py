"""Memory of the web process while five users upload 90 MB each, and reads of others meanwhile."""

import io
import secrets
import statistics
import sys
import tarfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests.bench.database import database_beside_plain, served
from tests.bench.jobs import Goals

UPLOADS = 5
BYTES = 90 * 1024 * 1024
MIB = 1024 * 1024
# The goals: MiB over idle at the peak, and afterwards within SECONDS; milliseconds of a read at p95.
PEAK, AFTER, SECONDS, READ_MS = 120, 40, 10, 100


def main() -> int:
    """Measure, and print ``N of M goals met``."""
    with database_beside_plain(RATELIMIT_UPLOADS="0"):
        from django.db import connection

        from tests.bench.seed import seed

        seeded = seed()
        connection.close()
        with served() as (url, server):
            return measure(url, server, seeded.token, f"/api/v2/templates/{seeded.template}")


def measure(url: str, server: int, token: str, path: str) -> int:
    headers = {"Coder-Session-Token": token}
    for _ in range(50):
        read(f"{url}{path}", headers)
    idle = resident(server)
    ended = threading.Event()
    peaks, reads = [idle], []

    def probe() -> None:
        while not ended.wait(0.05):
            began = time.monotonic()
            read(f"{url}{path}", headers)
            reads.append((time.monotonic() - began) * 1000)
            peaks.append(resident(server))

    prober = threading.Thread(target=probe)
    prober.start()
    uploads = [threading.Thread(target=upload, args=[f"{url}/api/v2/files", headers]) for _ in range(UPLOADS)]
    began = time.monotonic()
    for thread in uploads:
        thread.start()
    for thread in uploads:
        thread.join()
    seconds = time.monotonic() - began
    ended.set()
    prober.join()
    deadline = time.monotonic() + SECONDS
    while (after := resident(server) - idle) > AFTER and time.monotonic() < deadline:
        time.sleep(0.2)
    peak, p95 = max(peaks) - idle, statistics.quantiles(reads, n=20)[-1]
    print(f"{UPLOADS} uploads of {BYTES // MIB} MiB at once: {seconds:.1f} s; idle {idle:.0f} MiB")
    goals = Goals()
    goals.at_most("peak over idle", peak, PEAK, " MiB")
    goals.at_most(f"over idle, {SECONDS} s after", after, AFTER, " MiB")
    goals.at_most("a read meanwhile, p95", p95, READ_MS, " ms")
    print(goals.summary())
    return 0


def read(address: str, headers: dict[str, str]) -> None:
    with urllib.request.urlopen(urllib.request.Request(address, headers=headers)) as response:
        response.read()


def resident(pid: int) -> float:
    """Return the resident memory of a process in MiB."""
    with Path(f"/proc/{pid}/status").open() as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024


def upload(address: str, headers: dict[str, str]) -> None:
    """Upload a tar of random content. Raises HTTPError."""
    data = secrets.token_bytes(MIB)
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as tar:
        member = tarfile.TarInfo("content")
        member.size = BYTES
        tar.addfile(member, io.BytesIO(data * (BYTES // MIB)))
    body = sink.getvalue()
    request = urllib.request.Request(address, body, {**headers, "Content-Type": "application/x-tar"})
    with urllib.request.urlopen(request, timeout=300) as response:
        assert response.status in (200, 201)


if __name__ == "__main__":
    sys.exit(main())
