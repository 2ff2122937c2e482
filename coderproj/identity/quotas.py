"""Budgets: what the groups of an organization allow their members, in credits a day."""

import uuid
from collections.abc import Collection

from django.db.models import Exists, F, Max, OuterRef, Q, Sum

from coderproj.identity.models import Group, GroupMembership, Membership


def is_limited(organization_id: uuid.UUID) -> bool:
    """Return True if a group of the organization has an allowance: then every member has a budget."""
    return Group.objects.filter(organization=organization_id, quota_allowance__gt=0).exists()


def budgets_of(user_id: uuid.UUID, organization_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, int | None]:
    """Return the budget of a user in each of these organizations: the sum of the allowances of the user's groups,
    including ``Everyone`` (decision 13); None in an organization where no group has an allowance. One query.

    A user who is not a member has no group, and so 0 where there are budgets.
    """
    inside = Exists(GroupMembership.objects.filter(group=OuterRef("pk"), user=user_id))
    member = Exists(Membership.objects.filter(organization=OuterRef("organization"), user=user_id))
    counts = Q(member) & (Q(pk=F("organization")) | Q(inside))
    rows = Group.objects.filter(organization__in=organization_ids).order_by().values("organization")
    found = rows.annotate(largest=Max("quota_allowance"), budget=Sum("quota_allowance", filter=counts))
    limited = {row["organization"]: row["budget"] or 0 for row in found if row["largest"] > 0}
    return {organization_id: limited.get(organization_id) for organization_id in organization_ids}
