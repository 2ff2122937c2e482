"""What our management commands share: acting as somebody, answering as text or JSON, exit codes."""

import json
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.table import Table

from coderproj.api.renderers import to_json
from coderproj.errors import DomainError
from coderproj.identity.actor import Actor
from coderproj.identity.models import User
from coderproj.identity.roles import SiteRole

# Exit codes besides 0: 1 says that the request could not be carried out, 2 that a job failed.
REFUSED, JOB_FAILED = 1, 2


class ActingCommand(BaseCommand):
    """A command that acts as a user through the services. Subclasses add actions to ``actions`` and define
    ``act_<action>(actor, options)``, which returns what is shown."""

    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--as", dest="acting", metavar="USER", help="act as this user (default: the first owner)")
        parser.add_argument("--json", action="store_true", help="answer in JSON")
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        self.add_actions(actions)

    def add_actions(self, actions: Any) -> None:
        """Add a parser for each action."""
        raise NotImplementedError

    def handle(self, *args: Any, **options: Any) -> None:
        self.as_json: bool = options["json"]
        try:
            result = getattr(self, f"act_{options['action'].replace('-', '_')}")(self._actor(options), options)
        except DomainError as error:
            problems = "; ".join(f"{problem.field}: {problem.detail}" for problem in error.problems)
            text = " ".join(filter(None, (error.message, error.detail, problems)))
            raise CommandError(text, returncode=REFUSED) from None
        if self.as_json and result is not None:
            self.stdout.write(json.dumps(json.loads(to_json(result)), indent=2))

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
                    "There is no owner yet: run manage.py up, or name a user with --as.", returncode=REFUSED
                )
        return Actor.of(user)

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
