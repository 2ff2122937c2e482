"""The page about roles, written from the table that decides (``rbac.ROLES``)."""

from coderproj.identity.models import EVERYONE
from coderproj.identity.rbac import ALL_ACTIONS, EVERYTHING, ROLES, Action, Grants, Resource
from coderproj.identity.roles import MEMBER, ORGANIZATION_MEMBER

# Resources in the words of people.
TITLES = {
    Resource.API_KEY: "API tokens and sessions",
    Resource.ASSIGN_ORGANIZATION_ROLE: "roles of an organization",
    Resource.ASSIGN_ROLE: "site roles",
    Resource.AUDIT_LOG: "audit log",
    Resource.DEPLOYMENT_FLAGS: "deployment flags",
    Resource.FILE: "files",
    Resource.GROUP: "groups",
    Resource.ORGANIZATION: "organizations",
    Resource.ORGANIZATION_MEMBER: "members of an organization",
    Resource.PROVISIONER_DAEMON: "provisioner daemons",
    Resource.TEMPLATE: "templates and versions",
    Resource.UPDATE_CHECK: "update check",
    Resource.USER: "users",
    Resource.WORKSPACE: "workspaces and dry runs",
}
LETTERS = {Action.CREATE: "C", Action.READ: "R", Action.UPDATE: "U", Action.DELETE: "D"}

PAGE = f"""# Roles

Written by `manage.py roles list --markdown` from the table in `coderproj/identity/rbac.py`, which decides; a test
compares the two. **C**reate, **R**ead, **U**pdate, **D**elete; a blank cell grants nothing.

Something is allowed when a site role grants it, or a role in the object's organization, or when the object is one's
own. What one may not read answers 404; what one may read but not do answers 403.

## Site roles

They count everywhere, also in organizations that their holder is no member of. Only owners give them, to others than
themselves, and the last active owner keeps theirs. Everybody is `{MEMBER}`; that role is never given.

{{site}}

What is one's own (`{MEMBER}`, last column) is one's account, tokens, sessions, uploads and dry runs; what belongs to an
organization counts as one's own only while one is a member of it.

## Organization roles

They count within one organization. Owners and the organization's administrators give them. Every member is
`{ORGANIZATION_MEMBER}`; that role is never given.

{{organization}}

## Templates: access lists

Organization members have no right on templates by their role: **a template's access list says who may use it.** An
entry names a user or a group, with one of two roles:

| entry | may |
| --- | --- |
| `use` | see the template, its versions and their results, and dry-run it |
| `admin` | the same, and change the template, push and promote versions, change the access list, delete it |

A new template lists the group `{EVERYONE}` with `use`: every member of the organization. Take that entry away to keep a
template to those who are listed. `{EVERYONE}` has no list of members of its own, its id is the organization's, and it
can be neither renamed nor deleted.

A group's entry counts for its members as long as they are members of the organization; a user's own entry counts
wherever they are. Deleting a user or group takes their entries along. Owners, template admins and the organization's
administrators need no entry; auditors read every template.

## Keys of narrow scope

A token made with `--scope application_connect` grants nothing here, whatever its user's roles are.
"""


def markdown() -> str:
    """The page ``docs/roles.md``."""
    return PAGE.format(site=_table("site"), organization=_table("organization"))


def granted(grants: Grants) -> list[str]:
    """What is granted, in words: one entry a resource."""
    if grants == EVERYTHING:
        return ["everything"]
    return [f"{TITLES[resource]}: {_words(actions)}" for resource, actions in grants.items()]


def _words(actions: frozenset[Action]) -> str:
    return "all" if actions == ALL_ACTIONS else ", ".join(action for action in Action if action in actions)


def _table(level: str) -> str:
    columns: list[tuple[str, Grants]] = []
    for role in ROLES.values():
        if role.level == level:
            columns.append((f"`{role.name}`", role.grants))
            if role.owned:
                columns.append((f"`{role.name}`, one's own", role.owned))
    lines = [_row(["", *(title for title, _ in columns)]), _row(["---"] * (len(columns) + 1))]
    lines += [
        _row([TITLES[resource], *(_letters(grants.get(resource, frozenset())) for _, grants in columns)])
        for resource in Resource
    ]
    return "\n".join(lines)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _letters(actions: frozenset[Action]) -> str:
    return "".join(letter for action, letter in LETTERS.items() if action in actions)
