"""The first web server of ``manage.py up``: it prepares the database, then serves.

``python -m coderproj.management.prepared_server`` has the options of the web server, and the socket of the command as
standard input. It imports its code while the database starts, receives a line with the address of an embedded one (else
empty), and answers with a line once the database is prepared: a JSON list of the lines for the operator.
"""

import gc
import json
import os
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import django
from django.conf import settings
from django.core.management import call_command
from django.db import connections
from django.db.migrations.executor import MigrationExecutor

from coderproj import env
from coderproj.base.errors import DomainError


class PreparationFailed(Exception):
    """The database could not be prepared."""


def main() -> None:
    """Run the command line."""
    gc.disable()  # until the web server runs: nothing of what is imported is garbage
    channel = socket.socket(fileno=os.dup(0))
    with open(os.devnull) as nothing:  # noqa: PTH123 - a descriptor, not a file to read
        os.dup2(nothing.fileno(), 0)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "coderproj.settings")
    django.setup()
    with channel, channel.makefile("r") as lines, collecting(Path(os.environ["STATIC_ROOT"])) as collected:
        from coderproj.web import server

        if not (line := lines.readline()):
            return  # the command has ended
        if url := line.strip():  # of the embedded server
            os.environ["DATABASE_URL"] = url
            use_database()
        try:
            welcome = prepare()
        except PreparationFailed as error:
            sys.exit(f"CommandError: {error}")
        collected.result()
        channel.sendall(json.dumps(welcome).encode() + b"\n")
    server.main()


def prepare() -> list[str]:
    """Migrate the database and set up the first user. Return lines for the operator. Raises PreparationFailed."""
    migrate()
    lines = first_user()
    connections.close_all()
    return lines


@contextmanager
def collecting(folder: Path) -> Iterator[Future[bool]]:
    """Collect the static files into a folder in a thread while the block runs."""
    from coderproj.console.static_files import collect

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


def first_user() -> list[str]:
    """Create the first user, or apply its settings. Return lines for the operator. Raises PreparationFailed."""
    from coderproj.management.first_user import set_up

    try:
        return set_up()
    except DomainError as error:
        problems = [f"{problem.field}: {problem.detail}" for problem in error.problems]
        reason = "; ".join(problems) or error.message
        message = f"The first user cannot be set up from CODERPROJ_ADMIN_EMAIL and CODERPROJ_ADMIN_PASSWORD: {reason}"
        raise PreparationFailed(message) from error


if __name__ == "__main__":
    main()
