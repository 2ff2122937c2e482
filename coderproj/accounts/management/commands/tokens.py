"""``manage.py tokens``: create, list, revoke."""

import re
from typing import Any

from coderproj.accounts.serializers.keys import KeySerializer, TokenBody
from coderproj.base.errors import Invalid, NotFound
from coderproj.commands import ActingCommand, format_time, validated
from coderproj.identity import services
from coderproj.identity.actor import Actor
from coderproj.identity.models import ApiKey, KeyScope, User
from coderproj.identity.users import ME, find_user

UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 24 * 3600}
DURATION = re.compile(r"([0-9]{1,18})([smhd]?)", re.ASCII)


class Command(ActingCommand):
    help = "Create, list and revoke API tokens."

    def add_actions(self, actions: Any) -> None:
        create = actions.add_parser("create", help="create a token; it is shown only once")
        create.add_argument("--name", default="", help="name of the token, to distinguish several tokens")
        create.add_argument("--lifetime", default="0", help="such as 30d, 12h or a number of seconds")
        create.add_argument("--scope", default=KeyScope.ALL.value, choices=KeyScope.values)
        actions.add_parser("list", help="list the tokens of a user, oldest first")
        revoke = actions.add_parser("revoke", help="revoke a token or session at once")
        revoke.add_argument("token", metavar="ID|NAME")
        for parser in (create, actions.choices["list"], revoke):
            parser.add_argument("--user", default=ME, help="owner of the token (default: the acting user)")

    def act_create(self, actor: Actor, options: dict[str, Any]) -> Any:
        user = find_user(actor, options["user"])
        body = validated(
            TokenBody,
            {
                "token_name": options["name"],
                "lifetime_seconds": seconds_of(options["lifetime"]),
                "scope": options["scope"],
            },
        )
        token = services.create_token(
            actor,
            user=user,
            lifetime_seconds=services.token_lifetime(body["lifetime_seconds"], field="lifetime"),
            scope=KeyScope(body["scope"]),
            name=body["token_name"],
        )
        self.write(token)
        return {"key": token}

    def act_list(self, actor: Actor, options: dict[str, Any]) -> Any:
        rows = services.list_tokens(actor, find_user(actor, options["user"]))
        self.table(
            ("Id", "Name", "Scope", "Created", "Last used", "Expires"),
            [
                (
                    row.pk,
                    row.name,
                    row.scope,
                    format_time(row.created_at),
                    format_time(row.last_used),
                    format_time(row.expires_at),
                )
                for row in rows
            ],
            "There are no tokens.",
        )
        return KeySerializer(rows, many=True).data

    def act_revoke(self, actor: Actor, options: dict[str, Any]) -> Any:
        key = find_key(actor, find_user(actor, options["user"]), options["token"])
        services.revoke_key(actor, key)
        self.write(f"Revoked {key}.")
        return {"id": key.pk}


def find_key(actor: Actor, user: User, reference: str) -> ApiKey:
    """Return a key by id or by name. Raises NotFound."""
    try:
        return services.find_key(actor, user, key_id=reference)
    except NotFound:
        return services.find_key(actor, user, name=reference)


def seconds_of(text: str) -> int:
    """Return a duration (``30d``, ``12h``, ``15m``, ``90s`` or ``90``) in seconds. Raises Invalid on ``lifetime``."""
    match = DURATION.fullmatch(text)
    if match is None:
        raise Invalid.field("lifetime", f"{text!r} is not a duration. Use 30d, 12h, 15m, 90s or a number of seconds.")
    return int(match[1]) * UNITS[match[2]]
