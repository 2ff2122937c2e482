"""Groups of members of an organization. ``Everyone`` contains all members and has no membership rows."""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet

from coderproj.base.errors import Conflict, DomainError, Invalid, NotFound, Problem
from coderproj.base.identifiers import parse_uuid, path_uuid
from coderproj.identity import audit
from coderproj.identity.actor import Actor
from coderproj.identity.models import (
    EVERYONE,
    AuditAction,
    Group,
    GroupMembership,
    Membership,
    Organization,
    User,
    UserStatus,
)
from coderproj.identity.rbac import Action, Resource, allowed_everywhere, authorize, organizations_where
from coderproj.identity.rights import require_rights_of_groups


@dataclass(frozen=True, slots=True)
class GroupChange:
    """Changes of a group. None and a blank name keep the stored value. Users are given by id, as text."""

    name: str = ""
    display_name: str | None = None
    avatar_url: str | None = None
    quota_allowance: int | None = None
    add_users: Sequence[str] = ()
    remove_users: Sequence[str] = ()


# ---------------------------------------------------------------------- finding
def visible_groups(actor: Actor) -> QuerySet[Group]:
    """Return the groups that the actor may read: those of their organizations, or all for user admins."""
    if allowed_everywhere(actor, Action.READ, Resource.GROUP):
        return Group.objects.all()
    return Group.objects.filter(organization__any=organizations_where(actor, Action.READ, Resource.GROUP))


def groups_of(actor: Actor, organization: Organization) -> list[Group]:
    """Return the visible groups of an organization except ``Everyone``, with members, by name. Two queries."""
    groups = visible_groups(actor).filter(organization=organization).exclude(pk=organization.pk)
    return with_members(groups.order_by("name", "id"))


def find_group(actor: Actor, reference: str) -> Group:
    """Return a visible group by id, or by a name that is unique among the visible groups. Raises NotFound; DomainError
    for an ambiguous name or an unknown one that is not a UUID."""
    rows = visible_groups(actor).select_related("organization")
    named = [] if parse_uuid(reference) else list(rows.filter(name=reference)[:2])
    if len(named) == 1:
        return named[0]
    if named:
        raise DomainError("Several groups have this name: use the id.")
    return _only(visible_groups(actor).filter(pk=path_uuid("group", reference)))


def find_group_in(actor: Actor, organization: Organization, reference: str) -> Group:
    """Return a visible group of an organization by name or id. Raises NotFound."""
    condition = Q(name=reference)
    if group_id := parse_uuid(reference):
        condition |= Q(pk=group_id)
    return _only(visible_groups(actor).filter(condition, organization=organization))


def _only(groups: QuerySet[Group]) -> Group:
    found = groups.select_related("organization").first()
    if found is None:
        raise NotFound
    return found


def with_members(groups: Iterable[Group]) -> list[Group]:
    """Return the groups with ``shown_members``, their existing, active users by username. One query for all groups, and
    another one if an ``Everyone`` group is among them."""
    rows: list[Group] = list(groups.select_related("organization") if isinstance(groups, QuerySet) else groups)
    explicit: dict[uuid.UUID, list[User]] = {}
    condition = _active("user")
    memberships = GroupMembership.objects.filter(condition, group__in=[group.pk for group in rows])
    for membership in memberships.select_related("user").order_by("user__username"):
        explicit.setdefault(membership.group_id, []).append(membership.user)
    everyone = [group.pk for group in rows if group.is_everyone]
    if everyone:
        members = Membership.objects.filter(condition, organization__in=everyone)
        for member in members.select_related("user").order_by("user__username"):
            explicit.setdefault(member.organization_id, []).append(member.user)
    for group in rows:
        group.shown_members = explicit.get(group.pk, [])  # type: ignore[attr-defined]
    return rows


def active_members(group: Group) -> QuerySet[User]:
    """Return the existing, active users of a group by username; those of the organization for ``Everyone``."""
    users = User.objects.existing().filter(status=UserStatus.ACTIVE)
    if group.is_everyone:
        users = users.filter(memberships__organization=group.pk)
    else:
        users = users.filter(group_memberships__group=group)
    return users.order_by("username", "id")


def _active(user: str) -> Q:
    return Q(**{f"{user}__deleted": False, f"{user}__status": UserStatus.ACTIVE})


# ---------------------------------------------------------------------- creating and changing
def create_group(
    actor: Actor,
    organization: Organization,
    *,
    name: str,
    display_name: str = "",
    avatar_url: str = "",
    quota_allowance: int = 0,
) -> Group:
    """Create a group without members. The actor must be a user admin or an administrator of the organization.

    Raises Forbidden or NotFound, Invalid for the reserved name, Conflict for a taken one.
    """
    authorize(actor, Action.CREATE, Resource.GROUP, organization_id=organization.pk)
    with audit.record(actor, AuditAction.CREATE) as entry:
        _reject_reserved(name)
        group = Group(
            organization=organization,
            name=name,
            display_name=display_name,
            avatar_url=avatar_url,
            quota_allowance=quota_allowance,
        )
        _save(group)
        entry.after, entry.status_code = group, 201
    return group


def update_group(actor: Actor, group: Group, change: GroupChange) -> Group:
    """Change a group and its members. Removed users stay in other groups.

    Raises Forbidden, also for adding members to a group with rights that the actor may not give; Conflict for a taken
    name; Invalid naming ``name``, ``add_users`` or ``remove_users`` for the
    reserved name, an invalid id, a user outside of the organization, or a user who is already in the group.
    """
    authorize(actor, Action.UPDATE, Resource.GROUP, organization_id=group.organization_id)
    with audit.record(actor, AuditAction.WRITE, group) as entry:
        if change.name and change.name != group.name:
            _reject_reserved(change.name)
            if group.is_everyone:
                raise Invalid.field("name", f"The group {EVERYONE!r} cannot be renamed.")
            group.name = change.name
        if group.is_everyone and (change.add_users or change.remove_users):
            field = "add_users" if change.add_users else "remove_users"
            raise Invalid.field(
                field, f"The members of {EVERYONE!r} are the members of the organization and cannot be changed here."
            )
        group.display_name = group.display_name if change.display_name is None else change.display_name
        group.avatar_url = group.avatar_url if change.avatar_url is None else change.avatar_url
        group.quota_allowance = group.quota_allowance if change.quota_allowance is None else change.quota_allowance
        adding, removing = _members_to_change(group, change)
        if adding:
            require_rights_of_groups(actor, [group])
        _save(group)
        GroupMembership.objects.filter(group=group, user__in=removing).delete()
        GroupMembership.objects.bulk_create(GroupMembership(group=group, user_id=user_id) for user_id in adding)
        entry.after = group
    return group


def delete_group(actor: Actor, group: Group) -> None:
    """Delete a group and its access list entries. Raises Forbidden; DomainError for ``Everyone``."""
    authorize(actor, Action.DELETE, Resource.GROUP, organization_id=group.organization_id)
    with audit.record(actor, AuditAction.DELETE, group):
        if group.is_everyone:
            raise DomainError(f"The group {EVERYONE!r} cannot be deleted.")
        Group.objects.filter(pk=group.pk).delete()


def _members_to_change(group: Group, change: GroupChange) -> tuple[list[uuid.UUID], list[uuid.UUID]]:
    """Return the user ids to add and to remove. Raises Invalid with a problem for each invalid one."""
    adding, problems = _parsed("add_users", change.add_users)
    removing, more = _parsed("remove_users", change.remove_users)
    problems += more
    inside = set(GroupMembership.objects.filter(group=group).values_list("user_id", flat=True))
    wanted = [*adding, *removing]
    members = Membership.objects.filter(organization=group.organization_id, user__in=wanted, user__deleted=False)
    known = set(members.values_list("user_id", flat=True))
    seen: set[uuid.UUID] = set()
    for user_id in adding:
        if user_id not in known:
            problems.append(Problem("add_users", f"{user_id} is not a member of the organization."))
        elif user_id in inside or user_id in seen:
            problems.append(Problem("add_users", f"{user_id} is already in the group."))
        seen.add(user_id)
    problems += [
        Problem("remove_users", f"{user_id} is not a member of the organization.")
        for user_id in removing
        if user_id not in known | inside
    ]
    if problems:
        raise Invalid(problems=tuple(problems))
    return adding, removing


def _parsed(field: str, texts: Sequence[str]) -> tuple[list[uuid.UUID], list[Problem]]:
    parsed = [(text, parse_uuid(text)) for text in texts]
    problems = [Problem(field, f"{text[:64]!r} is not a UUID.") for text, user_id in parsed if user_id is None]
    return [user_id for _, user_id in parsed if user_id is not None], problems


def _reject_reserved(name: str) -> None:
    if name == EVERYONE:
        raise Invalid.field("name", f"{EVERYONE!r} is a reserved name.")


def _save(group: Group) -> None:
    """Save the group. The unique constraint decides when two requests use the same name. Raises Conflict."""
    try:
        with transaction.atomic():
            group.save()
    except IntegrityError:
        raise Conflict.taken("group", group.name) from None
