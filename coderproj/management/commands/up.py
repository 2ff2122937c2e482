"""``manage.py up``: everything on one port, until stopped. ``manage.py`` runs it without this module and without the
apps; this is how Django lists it."""

from argparse import ArgumentParser, Namespace
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from coderproj.management import serving


class Command(BaseCommand):
    help = "Run the database, the web server, a daemon, a worker, and with RELAY_URL a relay, until stopped."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        serving.add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            serving.run(Namespace(**options))
        except serving.ServingFailed as error:
            raise CommandError(str(error) or "The web server could not be started.") from error
