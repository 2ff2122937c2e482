"""``manage.py provisionerd``: run a provisioner daemon."""

import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from provisioning.daemon import command_line
from provisioning.daemon.direct import DirectClient


class Command(BaseCommand):
    help = (
        "Take jobs from the queue and run them. SIGTERM finishes the running jobs first; a second one gives them back."
        " With --url and a key it needs no database."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        command_line.add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        if command_line.is_remote(options):
            status = command_line.run_remotely(options)
        else:
            chosen = command_line.configure(settings, options)
            client = DirectClient(lease_seconds=chosen.lease_seconds)
            status = command_line.run(chosen, client, once=options["once"])
        if status:
            sys.exit(status)
