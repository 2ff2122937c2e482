"""``manage.py up``: everything on one port, until stopped."""

import errno
import os
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connections
from django.db.migrations.executor import MigrationExecutor

from coderproj import env
from coderproj.base.errors import DomainError
from coderproj.console.static_files import collect
from coderproj.management.first_user import set_up
from coderproj.management.stack import Stack
from coderproj.postgres import EmbeddedPostgres, EmbeddedPostgresError
from coderproj.web import addresses

START_SECONDS = 60
# Seconds that a stop waits for running jobs; then they return to the queue.
DRAIN_SECONDS = 10


class Command(BaseCommand):
    help = "Run the database, the web server, a provisioner daemon and a worker until stopped."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
        parser.add_argument("--port", type=int, default=settings.PORT, help="port to listen on (default: %(default)s)")
        parser.add_argument("--no-daemon", action="store_true", help="run no provisioner daemon here")
        parser.add_argument(
            "--no-worker", action="store_true", help="run no worker here: it starts and stops workspaces"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        began = time.monotonic()
        host = options["host"]
        port = choose_port(host, options["port"])
        announce(host, port)
        try:
            with Stack(embedded_database()) as stack, collecting() as collected:
                use_database()
                migrate()
                welcome = first_user()
                collected.result()
                stack.add("web", "-m", "coderproj.web.server", "--host", host, "--port", str(port))
                if not options["no_daemon"]:
                    stack.add("daemon", "manage.py", "provisionerd", "--drain-seconds", str(DRAIN_SECONDS))
                stack.watch(until=Ready(addresses.local_url(host, port)))
                if not options["no_worker"]:
                    stack.add("worker", "manage.py", "worker")
                url = addresses.shown_url(host, port)
                self.stdout.write(f"Ready after {time.monotonic() - began:.1f} s: {url} (the console)")
                for line in welcome:
                    self.stdout.write(line)
                self.stdout.flush()
                close_connections()
                stack.watch()
                self.stdout.write("Stopping …")
        except EmbeddedPostgresError as error:
            raise CommandError(str(error)) from error


def embedded_database() -> EmbeddedPostgres | None:
    """Return the server to start, None if DATABASE_URL names one."""
    return None if env.text("DATABASE_URL") else EmbeddedPostgres(settings.DATA_DIR / "postgres")


@contextmanager
def collecting() -> Iterator[Future[bool]]:
    """Collect the static files in a thread while the block runs, into ``STATIC_ROOT`` or the data folder.

    Sets ``STATIC_ROOT`` for the web server, which is started later.
    """
    folder = Path(settings.STATIC_ROOT or settings.DATA_DIR / "static")
    os.environ["STATIC_ROOT"] = str(folder)
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(collect, folder)


def use_database() -> None:
    """Use the server that has just been started: the folder of its socket is known only now."""
    if connections["default"].connection is None:
        settings.DATABASES["default"]["HOST"] = env.database()["HOST"]


def migrate() -> None:
    """Run pending migrations. Checking first is several times as fast as the command if there are none."""
    executor = MigrationExecutor(connections["default"])
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        call_command("migrate", verbosity=0)


def close_connections() -> None:
    """Close the connections of the start: from now on this process only watches the others."""
    connections.close_all()
    if pool := getattr(connections["default"], "pool", None):
        pool.close()


def first_user() -> list[str]:
    """Create the first user, or apply its settings. Return lines to print for the operator. Raises CommandError."""
    try:
        return set_up()
    except DomainError as error:
        problems = [f"{problem.field}: {problem.detail}" for problem in error.problems]
        reason = "; ".join(problems) or error.message
        message = f"The first user cannot be set up from CODERPROJ_ADMIN_EMAIL and CODERPROJ_ADMIN_PASSWORD: {reason}"
        raise CommandError(message) from error


class Ready:
    """Returns True once the web server answers. Raises CommandError if it does not within START_SECONDS."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.deadline = time.monotonic() + START_SECONDS

    def __call__(self) -> bool:
        # localhost is always an allowed host; the address that the server listens on need not be.
        if addresses.ask(f"{self.url}/healthz", {"Host": "localhost"}) == b"OK":
            return True
        if time.monotonic() > self.deadline:
            raise CommandError(f"The web server did not answer at {self.url} within {START_SECONDS} s.")
        return False


def choose_port(host: str, port: int) -> int:
    """Return ``port``, or a free port for 0. Raises CommandError if the port is taken or cannot be listened on."""
    try:
        with addresses.listen(host, port) as probe:
            return int(probe.getsockname()[1])
    except OSError as error:
        number = error.errno or 0
        # Failed lookups of names have numbers below zero.
        reason = os.strerror(number) if number > 0 else error.strerror or str(error)
        way_out = " Set PORT." if number == errno.EADDRINUSE else ""
        where = addresses.url(host, port).removeprefix("http://")
        raise CommandError(f"Cannot listen on {where}: {reason}.{way_out}") from None


def announce(host: str, port: int) -> None:
    """Pass the port, and the access URL unless the operator has set it, to the processes that are started."""
    os.environ["PORT"] = str(port)
    if not env.text("CODERPROJ_ACCESS_URL"):
        os.environ["CODERPROJ_ACCESS_URL"] = addresses.shown_url(host, port)
