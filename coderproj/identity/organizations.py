"""Services and queries for organizations and their members.

A reference to an organization is its id, its name, or ``default``.
"""

import uuid
from collections.abc import Collection, Mapping
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from coderproj.base.contributions import contributions
from coderproj.base.errors import Conflict, DomainError, Forbidden, Invalid, NotFound
from coderproj.base.identifiers import parse_uuid
from coderproj.identity import audit
from coderproj.identity.actor import Actor
from coderproj.identity.models import (
    EVERYONE,
    AuditAction,
    Group,
    GroupMembership,
    KeyScope,
    Membership,
    Organization,
    User,
    UserStatus,
)
from coderproj.identity.rbac import Action, Resource, allowed_everywhere, assignable_roles, authorize
from coderproj.identity.rights import require_rights_of_groups
from coderproj.identity.roles import ORGANIZATION_MEMBER, OrganizationRole, SiteRole

DEFAULT = "default"


# ---------------------------------------------------------------------- finding
def visible_organizations(actor: Actor) -> QuerySet[Organization]:
    """Return the organizations of the actor, or all for an actor with a site role."""
    if actor.scope != KeyScope.ALL:
        return Organization.objects.none()
    if sees_all_organizations(actor):
        return Organization.objects.existing()
    return Organization.objects.existing().filter(pk__any=actor.organization_ids)


def sees_all_organizations(actor: Actor) -> bool:
    """Return True if the actor has a site role, which makes every organization visible."""
    return bool(actor.site_roles & set(SiteRole.values))


def organization_reference(text: str) -> uuid.UUID | str | None:
    """Parse the reference in a path: return an id, a name, or None for the default organization."""
    return parse_uuid(text) or (None if text.lower() == DEFAULT else text)


def organization_named(actor: Actor, reference: uuid.UUID | str | None) -> QuerySet[Organization]:
    """Return the visible organization with this reference, or an empty queryset.

    None means the deployment's default organization or, if the actor is not a member, their first one.
    """
    organizations = visible_organizations(actor)
    match reference:
        case None:
            return organizations.order_by("-is_default", "created_at")[:1]
        case uuid.UUID():
            return organizations.filter(pk=reference)
    return organizations.filter(name__iexact=reference)


def find_organization(actor: Actor, reference: str) -> Organization:
    """Return the visible organization in a path. Raises NotFound."""
    found = organization_named(actor, organization_reference(reference)).first()
    if found is None:
        raise NotFound
    return found


def members_of(actor: Actor, organization: Organization) -> QuerySet[Membership]:
    """Return the memberships of existing, active users by username. Raises NotFound if they are not visible."""
    authorize(actor, Action.READ, Resource.ORGANIZATION_MEMBER, organization_id=organization.pk)
    return (
        Membership.objects.filter(organization=organization, user__deleted=False, user__status=UserStatus.ACTIVE)
        .select_related("user")
        .order_by("user__username", "pk")
    )


def find_member(actor: Actor, organization: Organization, user: User) -> Membership:
    """Return a user's membership. Raises NotFound."""
    authorize(actor, Action.READ, Resource.ORGANIZATION_MEMBER, organization_id=organization.pk)
    member = Membership.objects.filter(organization=organization, user=user).select_related("user").first()
    if member is None:
        raise NotFound
    return member


# ---------------------------------------------------------------------- creating and changing
def new_organization(administrator_id: uuid.UUID, *, name: str, **fields: Any) -> Organization:
    """Create an organization with its ``Everyone`` group and an administrator, without an audit row. Raises Conflict on
    ``name``."""
    try:
        with transaction.atomic():
            organization = Organization.objects.create(name=name, **fields)
    except IntegrityError:
        raise Conflict.taken("organization", name) from None
    Group.objects.create(id=organization.pk, organization=organization, name=EVERYONE)
    Membership.objects.create(organization=organization, user_id=administrator_id, roles=[OrganizationRole.ADMIN.value])
    return organization


def authorize_creation(actor: Actor) -> None:
    """Check that the actor may create organizations: owners. Raises Forbidden."""
    try:
        authorize(actor, Action.CREATE, Resource.ORGANIZATION)
    except NotFound:
        raise Forbidden from None  # the existence of organizations is no secret


def create_organization(actor: Actor, *, name: str, **fields: Any) -> Organization:
    """Create an organization with the actor as administrator. Raises Forbidden except for owners; Conflict."""
    authorize_creation(actor)
    with audit.record(actor, AuditAction.CREATE) as entry:
        organization = new_organization(actor.id, name=name, **fields)
        entry.after, entry.status_code = organization, 201
    return organization


def update_organization(actor: Actor, organization: Organization, changes: Mapping[str, Any]) -> Organization:
    """Change the given fields of ``name``, ``display_name``, ``description`` and ``icon``, as an administrator.

    Raises Forbidden or NotFound; Conflict on ``name``.
    """
    authorize(actor, Action.UPDATE, Resource.ORGANIZATION, organization_id=organization.pk)
    with audit.record(actor, AuditAction.WRITE, organization) as entry:
        if organization.deleted:
            raise NotFound
        for field, value in changes.items():
            setattr(organization, field, value)
        try:
            with transaction.atomic():
                organization.save(update_fields=[*changes, "updated_at"])
        except IntegrityError:
            raise Conflict.taken("organization", organization.name) from None
        entry.after = organization
    return organization


def delete_organization(actor: Actor, organization: Organization) -> None:
    """Delete an organization with its groups and memberships, and free its name. Accounts stay, as do its ended jobs
    and the audit log.

    Raises Forbidden except for owners, or NotFound; DomainError for the default organization and while something still
    needs it.
    """
    authorize(actor, Action.DELETE, Resource.ORGANIZATION, organization_id=organization.pk)
    if not may_delete_organizations(actor):
        raise Forbidden("Only owners can delete organizations.")
    with audit.record(actor, AuditAction.DELETE, organization):
        if organization.deleted:
            raise NotFound
        if organization.is_default:
            raise DomainError("The default organization cannot be deleted.")
        if use := use_of(organization):
            raise DomainError("The organization cannot be deleted.", detail=use)
        Group.objects.filter(organization=organization).delete()
        Membership.objects.filter(organization=organization).delete()
        Organization.objects.filter(pk=organization.pk).update(deleted=True, updated_at=Now())


def may_delete_organizations(actor: Actor) -> bool:
    """Return True for owners: administrators of an organization cannot delete it."""
    return allowed_everywhere(actor, Action.DELETE, Resource.ORGANIZATION)


def use_of(organization: Organization) -> str:
    """Return what still needs the organization, as a sentence; empty if nothing does."""
    return next(filter(None, (answer(organization) for answer in contributions("organization_uses"))), "")


def add_member(actor: Actor, organization: Organization, user: User) -> Membership:
    """Add a user to an organization. Raises NotFound, and Forbidden, also if its group ``Everyone`` gives rights that
    the actor may not give; Conflict if the user is already a member."""
    authorize(actor, Action.CREATE, Resource.ORGANIZATION_MEMBER, organization_id=organization.pk)
    require_rights_of_groups(actor, Group.objects.filter(pk=organization.pk))
    with audit.record(actor, AuditAction.CREATE) as entry:
        member, created = Membership.objects.get_or_create(organization=organization, user=user)
        if not created:
            raise Conflict("The user is already a member of this organization.")
        entry.after = member
    return member


def remove_member(actor: Actor, member: Membership) -> None:
    """Remove a member from the organization and from its groups. Raises NotFound, and Forbidden, also for a member with
    roles that the actor may not remove."""
    authorize(actor, Action.DELETE, Resource.ORGANIZATION_MEMBER, organization_id=member.organization_id)
    with audit.record(actor, AuditAction.DELETE, member):
        if not set(member.roles) <= assignable_roles(actor, member.organization_id):
            raise Forbidden("You are not allowed to remove this member's roles.")
        GroupMembership.objects.filter(user_id=member.user_id, group__organization_id=member.organization_id).delete()
        Membership.objects.filter(pk=member.pk).delete()


def set_member_roles(actor: Actor, member: Membership, roles: Collection[str]) -> Membership:
    """Replace the organization roles of a member; ``role:<organization id>`` is the same as ``role``.

    Raises Forbidden, also for the actor's own roles unless they are an owner; Invalid on ``roles`` for an unknown role.
    """
    authorize(actor, Action.UPDATE, Resource.ORGANIZATION_MEMBER, organization_id=member.organization_id)
    suffix = f":{member.organization_id}"
    wanted = sorted({role.removesuffix(suffix) for role in roles} - {ORGANIZATION_MEMBER})
    unknown = [role for role in wanted if role not in OrganizationRole.values]
    if unknown:
        raise Invalid.field("roles", f"{unknown[0]!r} is not a role of this organization.")
    with audit.record(actor, AuditAction.WRITE, member) as entry:
        if not set(member.roles) ^ set(wanted) <= assignable_roles(actor, member.organization_id):
            raise Forbidden("You are not allowed to assign or remove these roles.")
        if member.user_id == actor.id and SiteRole.OWNER not in actor.site_roles:
            raise Forbidden("You cannot change your own roles.")
        member.roles = wanted
        member.save(update_fields=["roles", "updated_at"])
        entry.after = member
    return member
