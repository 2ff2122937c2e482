"""A new database for a benchmark, and the product's web server on it."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from coderproj.postgres import EmbeddedPostgres


def own_database() -> AbstractContextManager[EmbeddedPostgres]:
    """Return a durable database with the product's settings, see ``_database``."""
    return _database("coderproj.settings", durable=True, RATELIMIT_API="0", LOG_LEVEL="WARNING")


def database_beside_plain(**environment: str) -> AbstractContextManager[EmbeddedPostgres]:
    """Return a database for the product beside plain Django REST framework (``plain_settings``), see ``_database``.

    It does not wait for the disk, which would take most of the time of a seed.
    """
    return _database("tests.bench.plain_settings", durable=False, **environment)


@contextmanager
def _database(settings: str, *, durable: bool, **environment: str) -> Iterator[EmbeddedPostgres]:
    """Start an embedded server, set up Django on it, and migrate.

    It becomes the DATABASE_URL of this process and of its children, like ``environment``. Call it only once in a
    process.
    """
    with tempfile.TemporaryDirectory(prefix="coderproj-bench-") as folder:
        os.chmod(folder, 0o711)  # noqa: PTH101 - the database's account must pass through
        with EmbeddedPostgres(Path(folder) / "postgres", fast_and_unsafe=not durable) as database:
            os.environ |= {
                "DATABASE_URL": database.url,
                "CODERPROJ_DATA_DIR": folder,
                "DJANGO_SETTINGS_MODULE": settings,
                **environment,
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
def served(folder: Path | None = None, **environment: str) -> Iterator[tuple[str, int]]:
    """Run the web server of the checkout in ``folder`` (default: this one). Yield its URL and process id."""
    from coderproj.demo.server import answers
    from coderproj.web.addresses import free_port

    port = free_port()
    command = [sys.executable, "-m", "coderproj.web.server", "--port", str(port)]
    with subprocess.Popen(command, cwd=folder, env={**os.environ, **environment}, stdout=subprocess.DEVNULL) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            while not answers(url):
                time.sleep(0.05)
            yield url, process.pid
        finally:
            process.terminate()
            process.wait(20)
