"""``manage.py organizations``: list, create, edit, delete, members."""

from typing import Any

from coderproj.accounts.serializers.organizations import (
    CreateOrganizationBody,
    MemberSerializer,
    OrganizationSerializer,
    UpdateOrganizationBody,
)
from coderproj.commands import ActingCommand, format_time, validated
from coderproj.identity import organizations
from coderproj.identity.actor import Actor
from coderproj.identity.roles import ORGANIZATION_MEMBER


class Command(ActingCommand):
    help = "List, create, change and delete organizations; list their members."

    def add_actions(self, actions: Any) -> None:
        actions.add_parser("list", help="list the organizations, the default one first")
        create = actions.add_parser("create", help="create an organization with the acting user as administrator")
        create.add_argument("name")
        for field in ("display-name", "description", "icon"):
            create.add_argument(f"--{field}", default="")
        edit = actions.add_parser("edit", help="change names, description or icon of an organization")
        edit.add_argument("organization", help="id or name")
        for field in ("name", "display-name", "description", "icon"):
            edit.add_argument(f"--{field}")
        delete = actions.add_parser("delete", help="delete an organization without templates, workspaces and keys")
        delete.add_argument("organization", help="id or name")
        members = actions.add_parser("members", help="list the active members of an organization, by username")
        members.add_argument(
            "organization", nargs="?", default=organizations.DEFAULT, help="id or name (default: the default one)"
        )

    def act_list(self, actor: Actor, options: dict[str, Any]) -> Any:
        rows = list(organizations.visible_organizations(actor).order_by("-is_default", "name"))
        self.table(
            ("Organization", "Display name", "Created", "Default"),
            [
                (row.name, row.display_name, format_time(row.created_at), "default" if row.is_default else "")
                for row in rows
            ],
            "There are no organizations.",
        )
        return OrganizationSerializer(rows, many=True).data

    def act_create(self, actor: Actor, options: dict[str, Any]) -> Any:
        fields = ("name", "display_name", "description", "icon")
        body = validated(CreateOrganizationBody, {name: options[name] for name in fields})
        organization = organizations.create_organization(actor, **body)
        self.write(f"Created organization {organization.name}.")
        return OrganizationSerializer(organization).data

    def act_edit(self, actor: Actor, options: dict[str, Any]) -> Any:
        fields = ("name", "display_name", "description", "icon")
        given = {name: options[name] for name in fields if options[name] is not None}
        changes = validated(UpdateOrganizationBody, given)
        found = organizations.find_organization(actor, options["organization"])
        organization = organizations.update_organization(
            actor, found, {name: value for name, value in changes.items() if value or name != "name"}
        )
        self.write(f"Changed organization {organization.name}.")
        return OrganizationSerializer(organization).data

    def act_delete(self, actor: Actor, options: dict[str, Any]) -> Any:
        organization = organizations.find_organization(actor, options["organization"])
        organizations.delete_organization(actor, organization)
        self.write(f"Deleted organization {organization.name}.")
        return {"id": organization.pk, "name": organization.name}

    def act_members(self, actor: Actor, options: dict[str, Any]) -> Any:
        organization = organizations.find_organization(actor, options["organization"])
        rows = list(organizations.members_of(actor, organization))
        self.table(
            ("Username", "Email", "Roles", "Since"),
            [
                (
                    row.user.username,
                    row.user.email,
                    ", ".join(row.roles) or ORGANIZATION_MEMBER,
                    format_time(row.created_at),
                )
                for row in rows
            ],
            "There are no members.",
        )
        return MemberSerializer(rows, many=True).data
