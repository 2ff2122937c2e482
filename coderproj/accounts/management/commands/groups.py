"""``manage.py groups``: list groups, and set their quotas and display names."""

from typing import Any

from coderproj.accounts.serializers.groups import GroupSerializer, UpdateGroupBody
from coderproj.commands import ActingCommand, validated
from coderproj.identity import groups
from coderproj.identity.actor import Actor
from coderproj.identity.models import Group
from coderproj.identity.organizations import DEFAULT, find_organization


class Command(ActingCommand):
    help = "List the groups of an organization, and set their quotas and display names."

    def add_actions(self, actions: Any) -> None:
        listed = actions.add_parser("list", help="list the groups of an organization, with Everyone")
        quota = actions.add_parser("quota", help="set what the workspaces of each member may cost a day, in credits")
        quota.add_argument("group", help="name or id of the group; Everyone for all members")
        quota.add_argument("credits", help="credits a day, added to those of other groups")
        titled = actions.add_parser("display-name", help="set the display name of a group")
        titled.add_argument("group", help="name or id of the group")
        titled.add_argument("display_name", help="the display name; an empty text removes it")
        for parser in (listed, quota, titled):
            parser.add_argument(
                "--organization", default=DEFAULT, help="id or name (default: the default organization)"
            )

    def act_list(self, actor: Actor, options: dict[str, Any]) -> Any:
        organization = find_organization(actor, options["organization"])
        visible = groups.visible_groups(actor).filter(organization=organization)
        rows = groups.with_members(visible.order_by("name", "id"))
        self.table(
            ("Group", "Display name", "Members", "Quota"),
            [(row.name, row.display_name, len(_members(row)), row.quota_allowance) for row in rows],
            "There are no groups.",
        )
        return GroupSerializer(rows, many=True).data

    def act_quota(self, actor: Actor, options: dict[str, Any]) -> Any:
        given: Any = options["credits"]
        digits = given.removeprefix("-")
        # The body's field reports anything but a number.
        body = {"quota_allowance": int(given) if digits.isdecimal() and len(digits) < 20 else given}
        allowance = validated(UpdateGroupBody, body)["quota_allowance"]
        organization = find_organization(actor, options["organization"])
        group = groups.find_group_in(actor, organization, options["group"])
        changed = groups.update_group(actor, group, groups.GroupChange(quota_allowance=allowance))
        self.write(f"The quota of {changed.name} is {allowance}.")
        return GroupSerializer(groups.with_members([changed])[0]).data

    def act_display_name(self, actor: Actor, options: dict[str, Any]) -> Any:
        given = validated(UpdateGroupBody, {"display_name": options["display_name"]})["display_name"]
        organization = find_organization(actor, options["organization"])
        group = groups.find_group_in(actor, organization, options["group"])
        changed = groups.update_group(actor, group, groups.GroupChange(display_name=given))
        self.write(f"The display name of {changed.name} is {given or 'removed'}.")
        return GroupSerializer(groups.with_members([changed])[0]).data


def _members(group: Group) -> list[Any]:
    found: list[Any] = group.shown_members  # type: ignore[attr-defined]
    return found
