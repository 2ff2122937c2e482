"""``manage.py roles``: the permissions of each role."""

from typing import Any

from coderproj.accounts.role_page import granted, markdown
from coderproj.commands import ActionCommand
from coderproj.identity.rbac import ROLES


class Command(ActionCommand):
    help = "List the roles and their permissions."

    def add_actions(self, actions: Any) -> None:
        listed = actions.add_parser("list", help="list the roles")
        listed.add_argument("--markdown", action="store_true", help="print the page docs/roles.md")

    def act_list(self, options: dict[str, Any]) -> Any:
        if options["markdown"]:
            self.write(markdown().rstrip())
        else:
            self.table(
                ("Role", "Applies", "Allows"),
                [(role.name, SCOPES[role.level], "\n".join(granted(role.grants))) for role in ROLES.values()],
                "",
            )
        return [
            {
                "name": role.name,
                "display_name": role.display_name,
                "level": role.level,
                "grants": {resource: sorted(actions) for resource, actions in role.grants.items()},
                "owned": {resource: sorted(actions) for resource, actions in role.owned.items()},
            }
            for role in ROLES.values()
        ]


SCOPES = {"site": "everywhere", "organization": "in one organization"}
