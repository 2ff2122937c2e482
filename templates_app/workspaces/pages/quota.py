"""What a start costs and what is left of a quota, for the pages on which people decide.

No page can know the cost of values that nobody has planned. So each figure has its basis beside it.
"""

import uuid
from typing import Any

from coderproj.accounts.pages.people import Panel
from coderproj.identity.actor import Actor
from coderproj.identity.models import Organization, User
from templates_app.models import TemplateVersion
from templates_app.workspaces.models import Workspace
from templates_app.workspaces.services import quota

# What a cost is known from.
DEFAULTS = "With the defaults of its parameters"
LAST_START = "With the values of its last start with this version"


def in_credits(amount: int) -> str:
    """Return an amount with its unit."""
    return f"{amount} credit a day" if amount == 1 else f"{amount} credits a day"


def of_new(actor: Actor, version: TemplateVersion, organization_id: uuid.UUID) -> str:
    """Return what a workspace from the version costs, and what is left for the actor; empty if it costs nothing and
    nothing is limited. Three queries."""
    cost = quota.estimate(version)
    return _sentence(cost, DEFAULTS, quota.quota_of(actor.id, organization_id), "you", 0)


def of_start(actor: Actor, workspace: Workspace, version: TemplateVersion) -> str:
    """Return what a start of a workspace with the version costs, and what is left for its owner if the actor may know
    it. The cost is that of the workspace's last start with this version, else that of the defaults. At most four
    queries."""
    last = quota.last_cost(workspace, version)
    cost, basis = (quota.estimate(version), DEFAULTS) if last is None else (last, LAST_START)
    known = quota.may_read(actor, workspace.owner_id, workspace.organization_id)
    found = quota.quota_of(workspace.owner_id, workspace.organization_id) if known else quota.Quota(0, None)
    whose = "you" if workspace.owner_id == actor.id else workspace.owner.username
    return _sentence(cost, basis, found, whose, workspace.daily_cost)


def _sentence(cost: int, basis: str, found: quota.Quota, whose: str, held: int) -> str:
    if found.left is None and not cost:
        return ""
    first = f"{basis}, a start costs {in_credits(cost)}. The plan of the build decides."
    if held:
        first += f" The workspace costs {in_credits(held)} now."
    if found.left is None:
        return first
    left = max(0, found.left + held)
    has = "You have" if whose == "you" else f"{whose} has"
    second = f"{has} {left} of {in_credits(found.budget or 0)} left for it."
    refused = " A start that costs more than that fails." if cost > max(left, held) else ""
    return f"{first} {second}{refused}"


def rows_of(actor: Actor, user: User) -> list[tuple[Organization, quota.Quota]]:
    """Return the quotas of a user in those organizations in which the actor may see them and which have budgets, by
    name. At most five queries."""
    readable = quota.readable_organizations(actor, user)
    found = quota.quotas_of(user.pk, readable) if readable else {}
    limited = [one for one, row in found.items() if row.budget is not None]
    rows = Organization.objects.filter(pk__in=limited).order_by("name") if limited else ()
    return [(row, found[row.pk]) for row in rows]


def user_panel(actor: Actor, user: User) -> Panel | None:
    """Return the quota on a user's page; None if the actor may not see it."""
    if not quota.readable_organizations(actor, user):
        return None
    context: dict[str, Any] = {"quotas": rows_of(actor, user)}
    return Panel("workspaces/_user_quota.html", context)


USER_PANELS = [user_panel]
