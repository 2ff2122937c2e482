"""A new database for a benchmark, and the product's web server on it."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from coderproj.postgres import EmbeddedPostgres


@contextmanager
def own_database() -> Iterator[EmbeddedPostgres]:
    """Start a durable embedded server, migrate it, and set up Django on it.

    It becomes the DATABASE_URL of this process and of its children. Call it only once in a process.
    """
    with tempfile.TemporaryDirectory(prefix="coderproj-bench-") as folder:
        os.chmod(folder, 0o711)  # noqa: PTH101 - the database's account must pass through
        with EmbeddedPostgres(Path(folder) / "postgres") as database:
            os.environ |= {
                "DATABASE_URL": database.url,
                "CODERPROJ_DATA_DIR": folder,
                "DJANGO_SETTINGS_MODULE": "coderproj.settings",
                "RATELIMIT_API": "0",
                "LOG_LEVEL": "WARNING",
            }
            import django

            django.setup()
            from django.core.management import call_command
            from django.db import connections

            call_command("migrate", verbosity=0)
            try:
                yield database
            finally:
                connections.close_all()
                if pool := getattr(connections["default"], "pool", None):
                    pool.close()


@contextmanager
def served() -> Iterator[tuple[str, int]]:
    """Run the product's web server. Yield its URL and process id."""
    from coderproj.demo.server import answers

    with subprocess.Popen(
        [sys.executable, "-m", "coderproj.web.server", "--port", "0"], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout
            url = process.stdout.readline().strip()
            while not answers(url):
                time.sleep(0.05)
            yield url, process.pid
        finally:
            process.terminate()
            process.wait(20)
