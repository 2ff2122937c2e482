"""``manage.py demo``: the main workflow end to end, with its progress; with ``--data`` a deployment that looks used."""

import json
import shlex
import subprocess
import time
from argparse import ArgumentParser
from typing import Any

import httpx
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from coderproj import env
from coderproj.base.terminal import TerminalOutput
from coderproj.demo.api import Api, ApiError
from coderproj.demo.data import filling
from coderproj.demo.errors import DemoFailedError
from coderproj.demo.installation import Database, answers, database, is_served_at
from coderproj.demo.run import Figures, run
from coderproj.demo.server import OwnServer, ServerFailedError, interrupted_as_exit
from coderproj.identity import tokens
from coderproj.identity.models import LoginType
from coderproj.management import first_user
from coderproj.postgres import EmbeddedPostgres
from coderproj.web.addresses import local_url
from templates_app import starters

STARTER = "hello"
SEED = 1
CHANGED_VALUES = {"machine_type": "large", "disk_size": "50"}
# Of a parameter that can change in a workspace, and of a variable in the second version.
REBUILT_VALUES = {"machine_type": "medium"}
SECOND_VARIABLES = {"region": "us"}
TOKEN_SECONDS = 3600
# Seconds until spare processes and caches exist: the memory is measured afterwards.
SETTLE_SECONDS = 1.0


class Command(BaseCommand):
    help = (
        "Push the hello starter to a running server, make it a template, and build a workspace from it. With --data: "
        "fill an empty deployment with months of use instead."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--reference",
            metavar="COMMAND",
            help='prints {"seconds": …} for a plain sequence of Terraform commands on the folder it is given',
        )
        parser.add_argument(
            "--data",
            action="store_true",
            help="fill an empty deployment with users, templates and 90 days of builds and activity, for looking at "
            "and for benchmarks; refuses if there are templates, workspaces or further users",
        )
        parser.add_argument(
            "--seed",
            type=int,
            default=SEED,
            help=f"of the data, {SEED} unless given: the same seed makes the same data",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        show = TerminalOutput()
        with interrupted_as_exit():
            try:
                if options["data"]:
                    self._fill(show, options["seed"])
                else:
                    self._demonstrate(show, options["reference"])
            except (ServerFailedError, DemoFailedError, ApiError) as error:
                raise CommandError(str(error)) from error
            except (httpx.HTTPError, DatabaseError) as error:
                raise CommandError(f"The connection to the server or its database failed: {error}") from error
            except KeyboardInterrupt:
                raise CommandError("Interrupted.") from None

    def _demonstrate(self, show: TerminalOutput, reference: str | None) -> None:
        running = local_url("127.0.0.1", settings.PORT)
        if answers(running):
            if is_served_at(running):
                show.console.print(f"Using the server that runs at {running}")
                figures = self._run(running, show)
                self._finish(show, figures, [], reference, f"open {running}, {first_user.hint()}")
                return
            show.console.print(
                f"The server at {running} belongs to another installation, with another database: "
                "the demonstration starts its own server."
            )
        fresh = is_fresh()
        server = OwnServer()
        rows = []
        try:
            with show.step("Start the server" + (" for the first time" if fresh else "")):
                cold = server.start()
            if fresh:
                rows.append(("make up, cold", _milliseconds(cold), "database created, migrations run"))
            server.stop()
            with show.step("Start the server again"):
                warm = server.start()
            rows.append(("make up, warm", _milliseconds(warm), "goal: at most 3,000 ms"))
            time.sleep(SETTLE_SECONDS)
            rows.append(("Idle memory of all processes", f"{server.memory() / 2**20:.0f} MiB", "goal: at most 420 MiB"))
            figures = self._run(server.url, show)
            console = f"make up, then open http://localhost:{settings.PORT}, {first_user.hint()}"
        finally:
            server.stop()
        self._finish(show, figures, rows, reference, console)

    def _fill(self, show: TerminalOutput, seed: int) -> None:
        """Fill the database. A server creates it first if that is necessary."""
        if is_fresh() or database() is not Database.IN_USE:
            server = OwnServer()
            try:
                with show.step("Start a server, which prepares the database"):
                    server.start()
                self._fill_prepared(show, seed)
            finally:
                server.stop()
        else:
            self._fill_prepared(show, seed)

    def _fill_prepared(self, show: TerminalOutput, seed: int) -> None:
        if filling.is_filled():
            show.console.print("The database has this data already: nothing was changed.")
        else:
            filling.fill(show, seed=seed)
        show.table("Data", ("Rows", "Number"), filling.figures())
        show.console.print(
            f"To see it: make up, then open http://localhost:{settings.PORT}, {first_user.hint()}",
            markup=False,
            soft_wrap=True,
        )

    def _run(self, url: str, show: TerminalOutput) -> Figures:
        return run(
            Api(url, owner_token()),
            show,
            name=STARTER,
            archive=starters.archive(STARTER),
            changed=CHANGED_VALUES,
            rebuilt=REBUILT_VALUES,
            variables=SECOND_VARIABLES,
        )

    def _finish(
        self,
        show: TerminalOutput,
        figures: Figures,
        rows: list[tuple[str, str, str]],
        reference: str | None,
        console: str,
    ) -> None:
        compared = "no reference given"
        if reference:
            with show.step("Run the reference's command sequence on the same template"):
                seconds = reference_seconds(reference)
            ratio = figures.import_wall / seconds
            compared = f"{ratio:.2f} x the reference's sequence ({_milliseconds(seconds)})"
        rows = [
            ("Import, POST to end", _milliseconds(figures.import_wall), compared),
            ("POST to first log line", _milliseconds(figures.first_line), "goal: at most 150 ms"),
            ("Enqueue to start", _milliseconds(figures.queued), "goal: at most 10 ms"),
            *rows,
        ]
        show.figures(rows)
        show.table(
            "Builds of the workspace",
            ("Build", "Stages", "POST to end"),
            [
                (
                    build.name,
                    ", ".join(f"{stage} {_milliseconds(seconds)}" for stage, seconds in build.stages.items()),
                    _milliseconds(build.wall),
                )
                for build in figures.builds
            ],
        )
        steps = ", ".join(f"{name} {_milliseconds(seconds)}" for name, seconds in figures.durations.items())
        show.console.print(
            f"[bold green]Succeeded:[/] template {STARTER} was pushed, imported, promoted and dry-run, and a workspace "
            f"was created, changed, run with its agent, updated, stopped and deleted. {steps}."
        )
        show.console.print(f"To see it in the console: {console}", markup=False, soft_wrap=True)


def is_fresh() -> bool:
    """Return True if the database must be created first. Raises DemoFailedError if DATABASE_URL is unavailable."""
    state = database()
    if not env.text("DATABASE_URL"):
        return state is not Database.IN_USE and not EmbeddedPostgres(settings.DATA_DIR / "postgres").data.exists()
    if state is Database.UNAVAILABLE:
        raise DemoFailedError("The database that DATABASE_URL names cannot be reached.")
    return state is Database.EMPTY


def owner_token() -> str:
    """Create a short-lived token for the deployment's first owner, directly in the database."""
    owner = first_user.first_owner()
    if owner is None:
        raise DemoFailedError("There is no owner to act as.")
    _, token = tokens.issue(user=owner, login_type=LoginType.TOKEN, lifetime_seconds=TOKEN_SECONDS)
    return token


def reference_seconds(command: str) -> float:
    """Return the seconds of the reference's sequence on the starter. Raises DemoFailedError if it fails."""
    finished = subprocess.run(
        [*shlex.split(command), str(starters.FOLDER / STARTER)],
        capture_output=True,
        text=True,
        cwd=settings.BASE_DIR,
        check=False,
    )
    try:
        return float(json.loads(finished.stdout.splitlines()[-1])["seconds"])
    except (ValueError, KeyError, IndexError):
        raise DemoFailedError(f"The reference's sequence failed: {finished.stderr[-500:]}") from None


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:,.0f} ms"
