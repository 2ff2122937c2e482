"""``manage.py up``: everything on one port, until stopped."""

import errno
import os
import secrets
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
from coderproj.console.static_files import collect
from coderproj.identity import services
from coderproj.management.stack import Stack
from coderproj.postgres import EmbeddedPostgres, EmbeddedPostgresError
from coderproj.web import addresses

DEFAULT_EMAIL = "admin@example.com"
START_SECONDS = 60
# How long a stop waits for running jobs; then they are given back to the queue.
DRAIN_SECONDS = 10


class Command(BaseCommand):
    help = "Run the database, the web server and a provisioner daemon until stopped."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
        parser.add_argument("--port", type=int, default=settings.PORT, help="port to listen on (default: %(default)s)")
        parser.add_argument("--no-daemon", action="store_true", help="run no provisioner daemon here")

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
                url = addresses.shown_url(host, port)
                self.stdout.write(f"Ready after {time.monotonic() - began:.1f} s: {url} (admin: {url}/admin/)")
                for line in welcome:
                    self.stdout.write(line)
                self.stdout.flush()
                stack.watch()
                self.stdout.write("Stopping …")
        except EmbeddedPostgresError as error:
            raise CommandError(str(error)) from error


def embedded_database() -> EmbeddedPostgres | None:
    """The server to start; None when DATABASE_URL names one."""
    return None if env.text("DATABASE_URL") else EmbeddedPostgres(settings.DATA_DIR / "postgres")


@contextmanager
def collecting() -> Iterator[Future[bool]]:
    """Collect the static files meanwhile, into the data folder unless ``STATIC_ROOT`` says otherwise; the web server
    that is started afterwards finds them there."""
    folder = Path(settings.STATIC_ROOT or settings.DATA_DIR / "static")
    os.environ["STATIC_ROOT"] = str(folder)
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(collect, folder)


def use_database() -> None:
    """Connect to the server that was just started: its socket's place is known only now."""
    if connections["default"].connection is None:
        settings.DATABASES["default"]["HOST"] = env.database()["HOST"]


def migrate() -> None:
    """Bring the schema up to date. Asking first is several times quicker than the command when it is."""
    executor = MigrationExecutor(connections["default"])
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        call_command("migrate", verbosity=0)


def first_user() -> list[str]:
    """Make the first user when there is none: from the environment, else with a password that is shown once.

    Returns lines for the operator.
    """
    if services.first_user_exists():
        return []
    email = settings.ADMIN_EMAIL or DEFAULT_EMAIL
    password = settings.ADMIN_PASSWORD or secrets.token_urlsafe(12)
    services.create_first_user(username="admin", email=email, password=password)
    shown = "the password from CODERPROJ_ADMIN_PASSWORD" if settings.ADMIN_PASSWORD else f"password {password}"
    return [f"First user: {email}, {shown} (shown once)."]


class Ready:
    """Whether the web server answers; asked again and again. Raises CommandError when it never does."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.deadline = time.monotonic() + START_SECONDS

    def __call__(self) -> bool:
        # Under a name that is always allowed: the address that we listen on need not be.
        if addresses.ask(f"{self.url}/healthz", {"Host": "localhost"}) == b"OK":
            return True
        if time.monotonic() > self.deadline:
            raise CommandError(f"The web server did not answer at {self.url} within {START_SECONDS} s.")
        return False


def choose_port(host: str, port: int) -> int:
    """``port``, or a free one for 0. Raises CommandError when we cannot listen there, as when somebody else does."""
    try:
        with addresses.listen(host, port) as probe:
            return int(probe.getsockname()[1])
    except OSError as error:
        number = error.errno or 0
        # Names that cannot be found have numbers of their own, below zero.
        reason = os.strerror(number) if number > 0 else error.strerror or str(error)
        way_out = " Set PORT." if number == errno.EADDRINUSE else ""
        where = addresses.url(host, port).removeprefix("http://")
        raise CommandError(f"Cannot listen on {where}: {reason}.{way_out}") from None


def announce(host: str, port: int) -> None:
    """Have the processes that we start know the port, and the access URL where the operator gave none."""
    os.environ["PORT"] = str(port)
    if not env.text("CODERPROJ_ACCESS_URL"):
        os.environ["CODERPROJ_ACCESS_URL"] = addresses.shown_url(host, port)
