"""The queue and the log's writer, on a new database: ``python -m tests.bench.queueing`` prints JSON.

The database is durable, as in production: a commit waits for the disk. The figures under ``throw_away`` are from a
database that does not wait. The difference is the cost of the disk.
"""

import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from coderproj.postgres import EmbeddedPostgres
from tests.bench.database import own_database
from tests.bench.load import TICKS, cpu_seconds

DAEMONS, NO_OPS = 4, 4000
# Long enough to prepare the next runner, so that the daemon is idle.
WAKES, REST_SECONDS = 20, 1.2
IN_A_ROW = 20
WRITERS, LINES, BATCH = 2, 40_000, 500
LINE = "coder_agent.main: Creating… still creating, please wait a little [id=%s]"


def main() -> None:
    """Measure everything; or, as ``queueing write``, run as one of the log's writers."""
    if sys.argv[1:] == ["write"]:
        import django

        django.setup()
        write()
        return
    with own_database() as database:
        figures = {"no_op": no_ops(database), "ingestion": ingestion(database), **with_daemon()}
    with tempfile.TemporaryDirectory(prefix="coderproj-bench-") as folder:
        os.chmod(folder, 0o711)  # noqa: PTH101 - the database's account must pass through
        with EmbeddedPostgres(Path(folder) / "postgres", fast_and_unsafe=True) as unsafe:
            figures["throw_away"] = no_ops(unsafe)
    print(json.dumps(figures))


def no_ops(database: EmbeddedPostgres) -> dict[str, Any]:
    """Claim and complete jobs that do nothing.

    Return the simulation's figures, and PostgreSQL's CPU time per job from enqueue to end.
    """
    from provisioning.simulation import simulate

    assert database.pid is not None
    before = processor_seconds(database.pid)
    (one,) = simulate(database.url, daemons=[DAEMONS], jobs=NO_OPS, processes=DAEMONS)
    postgres_us = (processor_seconds(database.pid) - before) * 1e6 / NO_OPS
    return {**msgspec.to_builtins(one), "postgres_cpu_us": round(postgres_us)}


def processor_seconds(pid: int) -> float:
    """Return the CPU time of a process, its descendants, and its children that have ended.

    A PostgreSQL session's process ends with the session, so ended children count.
    """
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return cpu_seconds([pid]) + (int(fields[13]) + int(fields[14])) / TICKS


# ---------------------------------------------------------------------- a real daemon
@contextmanager
def daemon() -> Iterator[None]:
    """Run ``manage.py provisionerd`` until the block ends."""
    with subprocess.Popen([sys.executable, "manage.py", "provisionerd"], stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def with_daemon() -> dict[str, Any]:
    """Measure a real daemon.

    ``wake_ms`` is the time from enqueue to start with an idle daemon, p50 and p95. ``daemon_jobs_per_second`` is for
    jobs of the scripted engine, each in its own runner.
    """
    from provisioning.files.archive import pack
    from provisioning.models import ProvisionerJob
    from tests.factories import make_file, make_job, make_organization, make_user

    organization = make_organization("queueing")
    user = make_user("queueing", organizations=(organization,))
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "echo.json").write_text("{}")
        file = make_file(user, pack(Path(folder)))

    def enqueue() -> uuid.UUID:
        return make_job(user=user, organization=organization, file=file).pk

    def wait(count: int) -> None:
        deadline = time.monotonic() + 120
        while ProvisionerJob.objects.filter(completed_at=None).exists():
            if time.monotonic() > deadline:
                raise AssertionError(f"{count} jobs did not end within 120 seconds")
            time.sleep(0.02)

    with daemon():
        enqueue()
        wait(1)
        time.sleep(REST_SECONDS * 4)
        ids = []
        for _ in range(WAKES):
            ids.append(enqueue())
            wait(1)
            time.sleep(REST_SECONDS)
        began = time.perf_counter()
        for _ in range(IN_A_ROW):
            enqueue()
        wait(IN_A_ROW)
        per_second = IN_A_ROW / (time.perf_counter() - began)
    rows = ProvisionerJob.objects.filter(pk__in=ids).values_list("created_at", "started_at")
    delays = sorted((started - created).total_seconds() * 1000 for created, started in rows)
    return {
        "wake_ms": {"p50": round(statistics.median(delays), 2), "p95": round(delays[int(len(delays) * 0.95)], 2)},
        "daemon_jobs_per_second": round(per_second, 1),
    }


# ---------------------------------------------------------------------- the log
def ingestion(database: EmbeddedPostgres) -> dict[str, Any]:
    """Let several processes write, each to its own job.

    Return the lines per second of all, and the CPU time per line of the writer and of PostgreSQL.
    """
    assert database.pid is not None
    command = [sys.executable, "-m", "tests.bench.queueing", "write"]
    writers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(WRITERS)
    ]
    for writer in writers:
        assert writer.stdout
        writer.stdout.readline()
    before, began = processor_seconds(database.pid), time.perf_counter()
    for writer in writers:
        assert writer.stdin
        writer.stdin.write("go\n")
        writer.stdin.flush()
    outputs = [writer.communicate()[0] for writer in writers]
    seconds = time.perf_counter() - began
    lines = WRITERS * LINES
    writer_us = sum(float(output) for output in outputs) * 1e6 / lines
    postgres_us = (processor_seconds(database.pid) - before) * 1e6 / lines
    return {
        "lines_per_second": round(lines / seconds),
        "writer_cpu_us": round(writer_us, 1),
        "postgres_cpu_us": round(postgres_us, 1),
    }


def write() -> None:
    """Wait for a line on standard input, write LINES lines to a new job, and print the CPU seconds of writing."""
    from provisioning.engine.base import LogLevel, LogLine, LogSource, Stage
    from provisioning.log import writing
    from provisioning.queue import jobs
    from tests.factories import claim, make_job, make_organization, make_user

    name = f"writer-{uuid.uuid4().hex[:8]}"
    organization = make_organization(name)
    make_job(user=make_user(name, organizations=(organization,)), organization=organization)
    lease = claim(lease_seconds=600)
    now = time.time()
    batches = [
        [LogLine(LogSource.ENGINE, LogLevel.INFO, Stage.PERSISTENT, LINE % number, now) for number in range(BATCH)]
        for _ in range(LINES // BATCH)
    ]
    print("ready", flush=True)
    sys.stdin.readline()
    before = resource.getrusage(resource.RUSAGE_SELF)
    for batch in batches:
        writing.append(lease.job_id, lease.token, batch)
    after = resource.getrusage(resource.RUSAGE_SELF)
    jobs.fail(lease, "done")
    print(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
