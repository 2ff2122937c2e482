"""``manage.py provisionerkeys``: create, list and revoke keys of daemons."""

import os
from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any

from coderproj.commands import ActingCommand, format_time, seconds_of, validated
from coderproj.identity.actor import Actor
from coderproj.identity.models import Organization
from coderproj.identity.organizations import DEFAULT, find_organization
from coderproj.identity.services import token_lifetime
from provisioning import keys
from provisioning.daemon.command_line import tag
from provisioning.views.keys import ProvisionerKeyBody, ProvisionerKeySerializer


class Command(ActingCommand):
    help = "Create, list and revoke keys of daemons that have no database access."

    def add_actions(self, actions: Any) -> None:
        create = actions.add_parser("create", help="create a key and show it once")
        create.add_argument("name", help="name of the key, such as the host's name")
        create.add_argument(
            "--tag",
            type=tag,
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help="a tag of the daemons that use the key",
        )
        create.add_argument(
            "--lifetime", default="0", help="such as 365d, 12h or a number of seconds (default: unlimited)"
        )
        create.add_argument(
            "--output", type=new_file, metavar="FILE", help="write the key to this new file instead of showing it"
        )
        actions.add_parser("list", help="list the keys that are not revoked, by name")
        revoke = actions.add_parser("revoke", help="revoke a key, effective immediately")
        revoke.add_argument("name")
        for parser in (create, actions.choices["list"], revoke):
            where = parser.add_mutually_exclusive_group()
            where.add_argument(
                "--organization",
                default=DEFAULT,
                help="id or name of the organization (default: the default organization)",
            )
            where.add_argument(
                "--all-organizations", action="store_true", help="keys for the jobs of all organizations (owners only)"
            )

    def act_create(self, actor: Actor, options: dict[str, Any]) -> Any:
        body = validated(
            ProvisionerKeyBody,
            {
                "name": options["name"],
                "tags": dict(options["tag"]),
                "lifetime_seconds": seconds_of(options["lifetime"], "lifetime"),
            },
        )
        lifetime = body["lifetime_seconds"]
        _, key = keys.create(
            actor,
            organization_of(actor, options),
            name=body["name"],
            tags=body["tags"],
            lifetime_seconds=token_lifetime(lifetime, field="lifetime") if lifetime else 0,
        )
        if options["output"]:
            write_privately(options["output"], key + "\n")
            self.write(f"Wrote the key to {options['output']}.")
            return {"file": str(options["output"])}
        self.write(key)
        return {"key": key}

    def act_list(self, actor: Actor, options: dict[str, Any]) -> Any:
        rows = list(keys.keys_of(actor, organization_of(actor, options)))
        self.table(
            ("Name", "Tags", "Created by", "Created", "Last used", "Expires"),
            [
                (
                    row.name,
                    " ".join(f"{name}={value}" for name, value in sorted(row.tags.items())),
                    row.created_by.username,
                    format_time(row.created_at),
                    format_time(row.last_used),
                    format_time(row.expires_at),
                )
                for row in rows
            ],
            "There are no keys.",
        )
        return ProvisionerKeySerializer(rows, many=True).data

    def act_revoke(self, actor: Actor, options: dict[str, Any]) -> Any:
        keys.revoke(actor, organization_of(actor, options), options["name"])
        self.write(f"Revoked {options['name']}.")
        return {"name": options["name"]}


def organization_of(actor: Actor, options: dict[str, Any]) -> Organization | None:
    """Return the organization that the options name, None for all. Raises NotFound."""
    return None if options["all_organizations"] else find_organization(actor, options["organization"])


def new_file(text: str) -> Path:
    """Return a path that does not exist yet: checked before the key is created, so that the key is not lost."""
    path = Path(text)
    if path.exists() or not path.parent.is_dir():
        raise ArgumentTypeError(f"{text} exists already, or its folder does not exist")
    return path


def write_privately(path: Path, text: str) -> None:
    """Write a new file that only its owner can read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
