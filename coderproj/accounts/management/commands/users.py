"""``manage.py users``: create, list, show, suspend, activate, delete, password, roles."""

import secrets
import sys
from typing import Any

from django.db import transaction

from coderproj.accounts.serializers.users import (
    CreateUserBody,
    FirstUserBody,
    PasswordBody,
    UserSerializer,
    user_context,
)
from coderproj.base.errors import Invalid
from coderproj.commands import ActingCommand, format_time, validated
from coderproj.identity import services, users
from coderproj.identity.actor import Actor
from coderproj.identity.filters import search_users
from coderproj.identity.models import User, UserLogin
from coderproj.identity.organizations import DEFAULT, find_organization
from coderproj.identity.roles import MEMBER, SiteRole


class Command(ActingCommand):
    help = "Create, list, suspend and delete users; set their passwords and roles."

    def add_actions(self, actions: Any) -> None:
        create = actions.add_parser("create", help="create a user")
        create.add_argument("username")
        create.add_argument("--email", required=True)
        create.add_argument("--name", default="", help="full name")
        create.add_argument("--role", action="append", default=[], choices=SiteRole.values, help="can be repeated")
        create.add_argument("--organization", help="id or name (default: the default one)")
        create.add_argument("--login-type", choices=UserLogin.values, help="none: the user cannot sign in")
        create.add_argument("--first", action="store_true", help="create the first user of a new deployment, the owner")

        listed = actions.add_parser("list", help="list the users, oldest first")
        listed.add_argument("-q", "--query", default="", help="search terms, status:suspended, role:owner")

        actions.add_parser("show", help="show a user")
        actions.add_parser("suspend", help="suspend a user; revokes sessions and tokens")
        actions.add_parser("activate", help="reactivate a suspended user")
        actions.add_parser("delete", help="delete a user; their templates and versions stay")
        password = actions.add_parser("password", help="set a password; revokes sessions and tokens")
        roles = actions.add_parser("roles", help="replace the site roles of a user; no ROLE removes all")
        for name in ("show", "suspend", "activate", "delete", "password", "roles"):
            actions.choices[name].add_argument("user", help="id or username")
        roles.add_argument("roles", nargs="*", metavar="ROLE", help=", ".join(SiteRole.values))
        for parser in (create, password):
            parser.add_argument(
                "--password-from-stdin",
                action="store_true",
                help="read the password from standard input (default: generate and show one)",
            )

    def act(self, options: dict[str, Any]) -> Any:
        # The first user has no actor to create it.
        return self._create_first(options) if options.get("first") else super().act(options)

    # ---------------------------------------------------------------- creating
    def _create_first(self, options: dict[str, Any]) -> Any:
        if options["role"] or options["organization"] or options["login_type"]:
            raise Invalid.field(
                "first",
                "The first user is the owner, signs in with a password and gets an organization of their own: omit "
                "--role, --organization and --login-type.",
            )
        password = read_or_generate_password(options)
        body = validated(FirstUserBody, self._body(options, password))
        user, organization = services.create_first_user(**body)
        self.write(f"Created the first user {user.username}, an owner, and the organization {organization.name}.")
        return self._with_password({"id": user.pk, "username": user.username, "email": user.email}, options, password)

    def act_create(self, actor: Actor, options: dict[str, Any]) -> Any:
        signs_in = options["login_type"] != UserLogin.NONE
        if not signs_in and options["password_from_stdin"]:
            raise Invalid.field("password", "A user who cannot sign in has no password.")
        password = read_or_generate_password(options) if signs_in else ""
        body = validated(CreateUserBody, self._body(options, password) | {"login_type": options["login_type"]})
        organization = find_organization(actor, options["organization"] or DEFAULT)
        with transaction.atomic():
            user = users.create_user(
                actor,
                username=body["username"],
                email=body["email"],
                password=password if signs_in else None,
                name=body["name"],
                organizations=[organization],
            )
            if options["role"]:
                users.set_site_roles(actor, user, options["role"])
        self.write(f"Created user {user.username} in {organization.name}.")
        if not signs_in:
            return serialized(actor, user)
        return self._with_password(serialized(actor, user), options, password)

    def _body(self, options: dict[str, Any], password: str) -> dict[str, Any]:
        return {**{name: options[name] for name in ("username", "email", "name")}, "password": password}

    def _with_password(self, answer: dict[str, Any], options: dict[str, Any], password: str) -> dict[str, Any]:
        """Return the output for ``--json``, with the password if it was generated."""
        if options["password_from_stdin"]:
            return answer
        self.write(f"Password: {password} (shown once)")
        return {**answer, "password": password}

    # ---------------------------------------------------------------- reading
    def act_list(self, actor: Actor, options: dict[str, Any]) -> Any:
        found = search_users(actor, {"q": options["query"]}).order_by("created_at", "id")
        rows = list(found.prefetch_related("memberships"))
        self.table(
            ("Username", "Email", "Name", "Status", "Roles", "Last seen"),
            [
                (
                    row.username,
                    row.email,
                    row.name,
                    row.status,
                    ", ".join(row.site_roles),
                    format_time(row.last_seen_at),
                )
                for row in rows
            ],
            "No users match.",
        )
        return UserSerializer(rows, many=True, context=user_context(actor)).data

    def act_show(self, actor: Actor, options: dict[str, Any]) -> Any:
        user = users.find_user(actor, options["user"])
        organizations = user.organizations.order_by("name").values_list("name", flat=True)
        self.table(
            ("", user.username),
            [
                ("Id", user.pk),
                ("Email", user.email),
                ("Name", user.name),
                ("Status", user.status),
                ("Signs in with", user.login_type),
                ("Roles", ", ".join(user.site_roles) or MEMBER),
                ("Organizations", ", ".join(organizations)),
                ("Created", format_time(user.created_at)),
                ("Last seen", format_time(user.last_seen_at)),
            ],
            "",
        )
        return serialized(actor, user)

    # ---------------------------------------------------------------- changing
    def act_suspend(self, actor: Actor, options: dict[str, Any]) -> Any:
        user = users.suspend(actor, users.find_user(actor, options["user"]))
        self.write(f"Suspended {user.username}.")
        return serialized(actor, user)

    def act_activate(self, actor: Actor, options: dict[str, Any]) -> Any:
        user = users.activate(actor, users.find_user(actor, options["user"]))
        self.write(f"Activated {user.username}.")
        return serialized(actor, user)

    def act_delete(self, actor: Actor, options: dict[str, Any]) -> Any:
        user = users.find_user(actor, options["user"])
        users.delete(actor, user)
        self.write(f"Deleted {user.username}.")
        return {"id": user.pk, "username": user.username}

    def act_password(self, actor: Actor, options: dict[str, Any]) -> Any:
        user = users.find_user(actor, options["user"])
        password = read_or_generate_password(options)
        validated(PasswordBody, {"password": password})
        users.change_password(actor, user, password=password, old_password=None)
        self.write(f"Set the password of {user.username}.")
        return self._with_password({"id": user.pk, "username": user.username}, options, password)

    def act_roles(self, actor: Actor, options: dict[str, Any]) -> Any:
        user = users.set_site_roles(actor, users.find_user(actor, options["user"]), options["roles"])
        self.write(f"Site roles of {user.username}: {', '.join(user.site_roles) or MEMBER}.")
        return serialized(actor, user)


def read_or_generate_password(options: dict[str, Any]) -> str:
    """Return the first line of standard input if requested, else a generated password."""
    if options["password_from_stdin"]:
        return sys.stdin.readline().rstrip("\r\n")
    return secrets.token_urlsafe(12)


def serialized(actor: Actor, user: User) -> dict[str, Any]:
    """Return a user as the API does."""
    answer: dict[str, Any] = UserSerializer(user, context=user_context(actor)).data
    return answer
