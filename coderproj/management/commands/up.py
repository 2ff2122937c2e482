"""``manage.py up``: everything on one port, until stopped."""

import os
import secrets
import socket
import time
import urllib.error
import urllib.request
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connections
from django.db.migrations.executor import MigrationExecutor

from coderproj import env
from coderproj.identity import services
from coderproj.postgres import EmbeddedPostgres, EmbeddedPostgresError
from coderproj.stack import Stack, free_port

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
        host, port = options["host"], options["port"] or free_port()
        require_free(host, port)
        try:
            with Stack(embedded_database()) as stack:
                use_database()
                migrate()
                welcome = first_user()
                stack.add("web", "-m", "coderproj.server", "--host", host, "--port", str(port))
                if not options["no_daemon"]:
                    stack.add("daemon", "manage.py", "provisionerd", "--drain-seconds", str(DRAIN_SECONDS))
                url = f"http://{'localhost' if host in ('127.0.0.1', '0.0.0.0') else host}:{port}"  # noqa: S104
                stack.watch(until=Ready(url))
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
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=2) as response:  # noqa: S310 - our own address
                return response.status == 200
        except (urllib.error.URLError, OSError):
            if time.monotonic() > self.deadline:
                raise CommandError(f"The web server did not answer at {self.url} within {START_SECONDS} s.") from None
            return False


def require_free(host: str, port: int) -> None:
    """Raise CommandError when somebody listens there already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise CommandError(f"Cannot listen on {host}:{port}: {os.strerror(error.errno or 0)}. Set PORT.") from None
