"""The base classes of our management commands: the acting user, output as text or JSON, exit codes."""

import json
import re
from abc import ABC, abstractmethod
from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandError
from rest_framework.serializers import BaseSerializer
from rich.console import Console
from rich.table import Table

from coderproj.api.errors import problems
from coderproj.base.errors import DomainError, Invalid
from coderproj.base.json_text import to_json
from coderproj.identity.actor import Actor
from coderproj.identity.models import User
from coderproj.identity.roles import SiteRole

# Exit codes besides 0: 1 if the request was rejected, 3 if a job failed. argparse uses 2 for an invalid command line.
REJECTED, JOB_FAILED = 1, 3

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 24 * 3600}
_DURATION = re.compile(r"([0-9]{1,9})([smhd]?)", re.ASCII)


class ActionCommand(BaseCommand, ABC):
    """A command with actions. Subclasses add the parsers in ``add_actions`` and define ``act_<action>(options)``, which
    returns the output for ``--json``."""

    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        self.add_options(parser)
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        self.add_actions(actions)
        for action in actions.choices.values():
            self.add_options(action, default=SUPPRESS)  # keep values given before the action

    def add_options(self, parser: ArgumentParser, **default: Any) -> None:
        """Add the options that are accepted before and after the action."""
        parser.add_argument("--json", action="store_true", help="print JSON", **default)

    @abstractmethod
    def add_actions(self, actions: Any) -> None:
        """Add a parser for each action."""

    def handle(self, *args: Any, **options: Any) -> None:
        self.as_json: bool = options["json"]
        try:
            result = self.act(options)
        except DomainError as error:
            fields = "; ".join(f"{problem.field}: {problem.detail}" for problem in error.problems)
            text = " ".join(filter(None, (error.message, error.detail, fields)))
            raise CommandError(text, returncode=REJECTED) from None
        if self.as_json and result is not None:
            self.stdout.write(json.dumps(json.loads(to_json(result)), indent=2))

    def act(self, options: dict[str, Any]) -> Any:
        """Run the action. Raises DomainError."""
        return self.action(options)(options)

    def action(self, options: dict[str, Any]) -> Callable[..., Any]:
        """Return the method of the requested action."""
        method: Callable[..., Any] = getattr(self, f"act_{options['action'].replace('-', '_')}")
        return method

    # ---------------------------------------------------------------- output
    def write(self, text: str) -> None:
        """Print a line, unless the output is JSON."""
        if not self.as_json:
            self.stdout.write(text)

    def table(self, headings: Sequence[str], rows: Sequence[Sequence[object]], empty: str) -> None:
        """Print a table, or ``empty`` without rows, unless the output is JSON."""
        if self.as_json:
            return
        if not rows:
            self.stdout.write(empty)
            return
        table = Table(*headings)
        for row in rows:
            table.add_row(*(str(cell) for cell in row))
        self.console.print(table)

    @property
    def console(self) -> Console:
        """Return a console on ``self.stdout``, with colours only on a terminal."""
        return Console(file=cast("IO[str]", self.stdout), highlight=False, soft_wrap=True)


class ActingCommand(ActionCommand):
    """A command that calls the services as a user. Its actions are ``act_<action>(actor, options)``."""

    def add_options(self, parser: ArgumentParser, **default: Any) -> None:
        super().add_options(parser, **default)
        text = "act as this user (default: the first owner)"
        parser.add_argument("--as", dest="acting", metavar="USER", help=text, **default)

    def act(self, options: dict[str, Any]) -> Any:
        return self.action(options)(self._actor(options), options)

    def _actor(self, options: dict[str, Any]) -> Actor:
        users = User.objects.existing()
        if options["acting"]:
            user = users.filter(username__iexact=options["acting"]).first()
            if user is None:
                raise CommandError(f"There is no user {options['acting']!r}.", returncode=REJECTED)
        else:
            user = users.filter(site_roles__contains=[SiteRole.OWNER]).order_by("created_at").first()
            if user is None:
                raise CommandError(
                    "There is no owner. Create one with: manage.py users create --first", returncode=REJECTED
                )
        return Actor.of(user)


def validated(serializer_class: type[BaseSerializer[Any]], data: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments, validated like a request body. Raises Invalid with a problem for each invalid field."""
    serializer = serializer_class(data=data)
    if not serializer.is_valid():
        raise Invalid(problems=tuple(problems(serializer.errors)))
    checked: dict[str, Any] = serializer.validated_data
    return checked


def assignment(text: str) -> tuple[str, str]:
    """Parse NAME=VALUE. Raises ArgumentTypeError."""
    name, equals, value = text.partition("=")
    if not name.strip() or not equals:
        raise ArgumentTypeError(f"{text!r} does not have the form NAME=VALUE")
    return name.strip(), value


def seconds_of(text: str, field: str) -> int:
    """Return a duration (``30d``, ``12h``, ``15m``, ``90s`` or ``90``) in seconds. Raises Invalid on ``field``."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise Invalid.field(field, f"{text!r} is not a duration. Use 30d, 12h, 15m, 90s or a number of seconds.")
    return int(match[1]) * _UNITS[match[2]]


def format_time(moment: datetime | None) -> str:
    """Return a time as text for a table, or ``""`` for None."""
    return "" if moment is None else moment.strftime("%Y-%m-%d %H:%M")
