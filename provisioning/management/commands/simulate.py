"""``manage.py simulate``: measure the queue with increasing numbers of daemons."""

from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

import msgspec
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from coderproj import env
from coderproj.postgres import EmbeddedPostgres
from provisioning.simulation import CannotSimulate, Round, simulate
from provisioning.simulation.rounds import MAX_DAEMONS

STEPS = (1, 4, 16, 64, 200)
MOST_JOBS, MOST_PROCESSES = 1_000_000, 64
HEADINGS = "daemons  connections   jobs/s   claim p50    p95    p99   complete p50    p99    no job p50   CPU us/job"


class Command(BaseCommand):
    help = (
        "Measure how fast simulated daemons claim and complete empty jobs, in a temporary database on the configured"
        " server. Times are in milliseconds. Exit status 1 when the simulation cannot run."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--daemons",
            type=numbers,
            default=STEPS,
            metavar="N[,N…]",
            help=f"numbers of daemons, one round each, at most {MAX_DAEMONS} (default: {','.join(map(str, STEPS))})",
        )
        parser.add_argument("--jobs", type=between(1, MOST_JOBS), default=2000, help="jobs per round (default: 2000)")
        parser.add_argument(
            "--processes",
            type=between(1, MOST_PROCESSES),
            default=4,
            help="processes that the daemons share, best one per available core (default: 4)",
        )
        parser.add_argument("--json", action="store_true", help="answer in JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        url = env.text("DATABASE_URL", EmbeddedPostgres(settings.DATA_DIR / "postgres").url)
        if not options["json"]:
            self.stdout.write(HEADINGS)
        rounds = []
        try:
            for one in simulate(url, daemons=options["daemons"], jobs=options["jobs"], processes=options["processes"]):
                rounds.append(one)
                if not options["json"]:
                    self.stdout.write(row(one))
        except CannotSimulate as error:
            raise CommandError(str(error)) from None
        except KeyboardInterrupt:
            raise CommandError("Interrupted.") from None
        if options["json"]:
            self.stdout.write(msgspec.json.encode(rounds).decode())


def row(one: Round) -> str:
    """Return a round as a line under HEADINGS."""
    return (
        f"{one.daemons:7} {one.connections:12} {one.jobs_per_second:8.0f} {one.claim.p50:11.2f} {one.claim.p95:6.1f}"
        f" {one.claim.p99:6.1f} {one.complete.p50:14.2f} {one.complete.p99:6.1f} {one.miss.p50:13.2f}"
        f" {one.client_cpu_us:12.0f}"
    )


def numbers(text: str) -> tuple[int, ...]:
    """Parse numbers of daemons such as ``1,4,200``. Raises ArgumentTypeError."""
    return tuple(between(1, MAX_DAEMONS)(word) for word in text.split(","))


def between(least: int, most: int) -> Any:
    """Return a parser of integers in that range, which raises ArgumentTypeError for other texts."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if not least <= number <= most:
            raise ArgumentTypeError(f"{text!r} is not a number from {least} to {most}")
        return number

    return read
