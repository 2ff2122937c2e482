"""``manage.py relay``. From the command line, ``manage.py`` runs it without setting up Django."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from templates_app.agents.relay import command_line


class Command(BaseCommand):
    help = command_line.DESCRIPTION
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        command_line.add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        command_line.run(options["host"], options["port"])
