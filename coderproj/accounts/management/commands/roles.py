"""``manage.py roles``: what each role may do."""

from typing import Any

from coderproj.accounts.role_page import granted, markdown
from coderproj.commands import ActionCommand
from coderproj.identity.rbac import ROLES


class Command(ActionCommand):
    help = "List the roles and what each may do."

    def add_actions(self, actions: Any) -> None:
        listed = actions.add_parser("list", help="the roles")
        listed.add_argument("--markdown", action="store_true", help="print the page docs/roles.md")

    def act_list(self, options: dict[str, Any]) -> Any:
        if options["markdown"]:
            self.say(markdown().rstrip())
        else:
            self.table(
                ("Role", "Counts", "May"),
                [(role.name, COUNTS[role.level], "\n".join(granted(role.grants))) for role in ROLES.values()],
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


COUNTS = {"site": "everywhere", "organization": "in one organization"}
