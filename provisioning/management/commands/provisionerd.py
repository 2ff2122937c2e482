"""``manage.py provisionerd``: run a provisioner daemon."""

import signal
from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from provisioning.daemon import configuration
from provisioning.daemon.direct import DirectClient
from provisioning.daemon.loop import Daemon


def tag(text: str) -> tuple[str, str]:
    """``key=value``."""
    key, separator, value = text.partition("=")
    if not key or not separator:
        raise ArgumentTypeError(f"expected KEY=VALUE, got {text!r}")
    return key, value


def positive(text: str) -> int:
    """A whole number above zero."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"expected a whole number above zero, got {text!r}")
    return int(text)


class Command(BaseCommand):
    help = (
        "Take jobs from the queue and run them. SIGTERM finishes the running jobs first; a second one gives them back."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--name", default="", help="durable name of this daemon (default: the host's name)")
        parser.add_argument("--concurrency", type=positive, help="jobs at the same time (PROVISIONER_CONCURRENCY)")
        parser.add_argument(
            "--tag", type=tag, action="append", default=[], metavar="KEY=VALUE", help="what this daemon offers"
        )
        parser.add_argument(
            "--drain-seconds", type=positive, help="how long a stop waits for jobs (PROVISIONER_JOB_SECONDS)"
        )
        parser.add_argument("--once", action="store_true", help="run the jobs that wait, then stop")

    def handle(self, *args: Any, **options: Any) -> None:
        chosen = configuration.from_settings(
            name=options["name"],
            tags=dict(options["tag"]),
            concurrency=options["concurrency"],
            drain_seconds=options["drain_seconds"],
        )
        daemon = Daemon(chosen, DirectClient(lease_seconds=chosen.lease_seconds), once=options["once"])
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: daemon.stop())
        daemon.run()
