"""``manage.py tokens``: create, list, revoke."""

from typing import Any

from coderproj.accounts.serializers.keys import KeySerializer, TokenBody
from coderproj.base.errors import NotFound
from coderproj.commands import ActingCommand, format_time, seconds_of, validated
from coderproj.identity import services
from coderproj.identity.actor import Actor
from coderproj.identity.models import ApiKey, KeyScope, User
from coderproj.identity.users import ME, find_user


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
                "lifetime_seconds": seconds_of(options["lifetime"], "lifetime"),
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
