"""What our management commands share: acting as somebody, answering as text or JSON, exit codes."""

import json
from argparse import SUPPRESS, ArgumentParser
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

# Exit codes besides 0: 1 says that the request could not be carried out, 3 that a job failed. 2 is argparse's own: the
# command line makes no sense.
REFUSED, JOB_FAILED = 1, 3


class ActionCommand(BaseCommand):
    """A command with actions. Subclasses add their parsers in ``add_actions`` and define ``act_<action>(options)``,
    which returns what is shown with ``--json``."""

    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        self.add_options(parser)
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        self.add_actions(actions)
        for action in actions.choices.values():
            self.add_options(action, default=SUPPRESS)  # what was said before the action stays said

    def add_options(self, parser: ArgumentParser, **default: Any) -> None:
        """Add the options that may stand before or behind the action."""
        parser.add_argument("--json", action="store_true", help="answer in JSON", **default)

    def add_actions(self, actions: Any) -> None:
        """Add a parser for each action. Every command defines it."""
        raise NotImplementedError  # abstract: the command's own

    def handle(self, *args: Any, **options: Any) -> None:
        self.as_json: bool = options["json"]
        try:
            result = self.act(options)
        except DomainError as error:
            fields = "; ".join(f"{problem.field}: {problem.detail}" for problem in error.problems)
            text = " ".join(filter(None, (error.message, error.detail, fields)))
            raise CommandError(text, returncode=REFUSED) from None
        if self.as_json and result is not None:
            self.stdout.write(json.dumps(json.loads(to_json(result)), indent=2))

    def act(self, options: dict[str, Any]) -> Any:
        """Do what the command line says. Raises DomainError."""
        return self.action(options)(options)

    def action(self, options: dict[str, Any]) -> Callable[..., Any]:
        """The method of the action that was named."""
        method: Callable[..., Any] = getattr(self, f"act_{options['action'].replace('-', '_')}")
        return method

    # ---------------------------------------------------------------- showing
    def say(self, text: str) -> None:
        """A line for people; nothing with --json."""
        if not self.as_json:
            self.stdout.write(text)

    def table(self, headings: Sequence[str], rows: Sequence[Sequence[object]], empty: str) -> None:
        """A table for people; nothing with --json."""
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
        """Writes where ``self.stdout`` writes, with colours only on a terminal."""
        return Console(file=cast("IO[str]", self.stdout), highlight=False, soft_wrap=True)


class ActingCommand(ActionCommand):
    """A command that acts as a user through the services: its actions are ``act_<action>(actor, options)``."""

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
                raise CommandError(f"There is no user {options['acting']!r}.", returncode=REFUSED)
        else:
            user = users.filter(site_roles__contains=[SiteRole.OWNER]).order_by("created_at").first()
            if user is None:
                raise CommandError(
                    "There is no owner yet: manage.py users create --first makes one.", returncode=REFUSED
                )
        return Actor.of(user)


def validated(serializer_class: type[BaseSerializer[Any]], data: dict[str, Any]) -> dict[str, Any]:
    """Arguments checked as the API checks a body. Raises Invalid with a problem for each bad field."""
    serializer = serializer_class(data=data)
    if not serializer.is_valid():
        raise Invalid(problems=tuple(problems(serializer.errors)))
    checked: dict[str, Any] = serializer.validated_data
    return checked


def when(moment: datetime | None) -> str:
    """A time for people; blank for none."""
    return "" if moment is None else moment.strftime("%Y-%m-%d %H:%M")
