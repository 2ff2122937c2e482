"""``manage.py provisionerd``: run a provisioner daemon."""

import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from coderproj.base.contributions import contribution_paths
from provisioning.daemon import command_line
from provisioning.daemon.direct import DirectClient


class Command(BaseCommand):
    help = (
        "Claim jobs from the queue and run them. SIGTERM: finish the running jobs and stop; a second SIGTERM returns"
        " them to the queue. With --url and a key the daemon needs no database."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        command_line.add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        if command_line.is_remote(options):
            status = command_line.run_remotely(options)
        else:
            configuration = command_line.configure(settings, options, contribution_paths("job_kinds"))
            client = DirectClient(lease_seconds=configuration.lease_seconds)
            status = command_line.run(configuration, client, once=options["once"])
        if status:
            sys.exit(status)
