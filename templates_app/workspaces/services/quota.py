"""Quotas: what a user's workspaces cost, and whether another start fits into the user's budget.

Cost is in credits a day. What exists counts: the resources of the last build that succeeded, and what a start that runs
or failed on its way may have added. So a failed deletion frees nothing (W62). The budget is that of
``identity.quotas``. Only a start must fit; a workspace that costs no more than it does already fits always.
"""

import uuid
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from django.db import connection
from django.db.models import Case, F, QuerySet, Sum, When
from django.db.models.functions import Greatest

from coderproj.identity import quotas
from coderproj.identity.actor import Actor
from coderproj.identity.models import User
from coderproj.identity.rbac import Action, Resource, allowed
from provisioning.engine import base
from provisioning.engine.base import CostDecision, Transition
from provisioning.models import JobEnd, ProvisionerJob, WorkspaceResource
from templates_app.models import TemplateVersion
from templates_app.workspaces.models import BuildState, Workspace, WorkspaceBuild

MAX_COST = 2**63 - 1
UNLIMITED = -1  # in the API
# What a workspace costs: what exists, or what the build that runs was allowed to make, if that is more.
HELD = Greatest(
    F("daily_cost"), Case(When(latest_build__job__completed_at=None, then=F("latest_build__daily_cost")), default=0)
)


@dataclass(frozen=True, slots=True)
class Quota:
    """The credits a day that the workspaces of a user cost, and those that they may cost: None for no limit."""

    consumed: int
    budget: int | None

    @property
    def left(self) -> int | None:
        """The credits that are left, negative if the budget was lowered; None for no limit."""
        return None if self.budget is None else self.budget - self.consumed


# ---------------------------------------------------------------------- figures
def quotas_of(owner_id: uuid.UUID, organization_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, Quota]:
    """Return the quota of a user in each of these organizations. Two queries."""
    rows = _existing(owner_id).filter(organization__in=organization_ids).order_by().values("organization")
    consumed = {row["organization"]: int(row["cost"]) for row in rows.annotate(cost=Sum(HELD))}
    budgets = quotas.budgets_of(owner_id, organization_ids)
    return {one: Quota(consumed.get(one, 0), budget) for one, budget in budgets.items()}


def quota_of(owner_id: uuid.UUID, organization_id: uuid.UUID) -> Quota:
    """Return the quota of a user in an organization. Two queries."""
    return quotas_of(owner_id, [organization_id])[organization_id]


def total(found: Iterable[Quota]) -> Quota:
    """Return the sum over those organizations that have budgets; over all if none has."""
    every = list(found)
    limited = [one for one in every if one.budget is not None]
    if not limited:
        return Quota(sum(one.consumed for one in every), None)
    return Quota(sum(one.consumed for one in limited), sum(one.budget or 0 for one in limited))


def _existing(owner_id: uuid.UUID) -> "QuerySet[Workspace]":
    return Workspace.objects.existing().filter(owner=owner_id)


def readable_organizations(actor: Actor, user: User) -> list[uuid.UUID]:
    """Return the organizations in which the actor may see the quota of a user: all for the user and for administrators
    of users, those that they administer for administrators of organizations (W63)."""
    member = user.memberships.values_list("organization_id", flat=True)
    owned = _existing(user.pk).order_by().values_list("organization_id", flat=True)
    known = sorted({*member, *owned})
    return [one for one in known if may_read(actor, user.pk, one)]


def may_read(actor: Actor, owner_id: uuid.UUID, organization_id: uuid.UUID) -> bool:
    """Return True if the actor may see the quota of a user in an organization. No query."""
    own = allowed(actor, Action.UPDATE, Resource.USER, owner_id=owner_id)
    return own or allowed(actor, Action.UPDATE, Resource.USER, organization_id=organization_id)


def estimate(version: TemplateVersion) -> int:
    """Return what a start of a version costs with the defaults of its parameters, as its import found it."""
    rows = WorkspaceResource.objects.filter(job=version.job_id, workspace_transition=Transition.START)
    return _bounded(rows.aggregate(cost=Sum("daily_cost"))["cost"] or 0)


def last_cost(workspace: Workspace, version: TemplateVersion) -> int | None:
    """Return what the last start of a workspace with a version cost, with the values that it had; None without one."""
    starts = WorkspaceBuild.objects.filter(workspace=workspace, template_version=version, transition=Transition.START)
    ended = starts.filter(job__ended_as=JobEnd.COMPLETE).order_by("-build_number")
    return ended.values_list("daily_cost", flat=True).first()


# ---------------------------------------------------------------------- builds
def applies_to(build: WorkspaceBuild) -> bool:
    """Return True if the cost of a build must fit into a budget: that of starts, where there are budgets."""
    return build.transition == Transition.START and quotas.is_limited(build.workspace.organization_id)


def commit(job: ProvisionerJob, cost: int) -> CostDecision:
    """Decide whether a start may cost this much, and reserve it. Repeating the call decides again.

    Decisions about one user in one organization wait for each other, so two starts that fit only one at a time are not
    both allowed.
    """
    build = WorkspaceBuild.objects.select_related("workspace__owner", "workspace__organization").get(job=job.pk)
    workspace = build.workspace
    owner, organization = workspace.owner, workspace.organization
    _wait_for_others(owner.pk, organization.pk)
    found = quota_of(owner.pk, organization.pk)
    held = Workspace.objects.values_list("daily_cost", flat=True).get(pk=workspace.pk)
    others = found.consumed - max(held, build.daily_cost)
    if found.budget is None:
        notes: tuple[str, ...] = (f"This build costs {cost} credits a day. {organization.name} has no limit",)
    else:
        notes = (
            f"This build costs {cost} credits a day",
            f"The budget of {owner.username} in {organization.name} is {found.budget} credits a day",
            f"The other workspaces of {owner.username} cost {others} credits a day",
        )
    if found.budget is not None and cost > held and others + cost > found.budget:
        WorkspaceBuild.objects.filter(pk=build.pk).update(daily_cost=0)
        refusal = (
            f"insufficient quota: the workspace costs {cost} credits a day, but only {max(0, found.budget - others)}"
            f" of the {found.budget} of {owner.username} are left. Stop or delete other workspaces, or ask an"
            " administrator for more"
        )
        return CostDecision(notes, refusal)
    WorkspaceBuild.objects.filter(pk=build.pk).update(daily_cost=cost)
    return CostDecision(notes)


def _wait_for_others(owner_id: uuid.UUID, organization_id: uuid.UUID) -> None:
    """Lock the quota of a user until the transaction ends. No row stands for it: a user can leave an organization."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"quota {owner_id} {organization_id}"])


def store_cost(build: WorkspaceBuild, made: Collection[base.Resource]) -> None:
    """Store what exists after a build that succeeded."""
    build.daily_cost = _bounded(sum(resource.daily_cost for resource in made))
    build.save(update_fields=["daily_cost", "updated_at"])
    Workspace.objects.filter(pk=build.workspace_id).update(daily_cost=build.daily_cost)


def count_leftovers(build: WorkspaceBuild) -> None:
    """Count what a build that ended without success may have added. It has stored a state if it changed anything;
    a state can come after the end."""
    if build.job.ended_as == JobEnd.COMPLETE or not build.daily_cost:
        return
    if BuildState.objects.filter(build=build.pk).exists():
        more = Workspace.objects.filter(pk=build.workspace_id, daily_cost__lt=build.daily_cost)
        more.update(daily_cost=build.daily_cost)


def _bounded(cost: int) -> int:
    """Return a cost that the database can store. A template cannot give credits back."""
    return max(0, min(int(cost), MAX_COST))
