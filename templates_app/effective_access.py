"""The users who can use or administer a template, and the reasons."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Exists, OuterRef, Q

from coderproj.identity.models import GroupMembership, Membership, User, UserStatus
from coderproj.identity.models.users import UserQuerySet
from coderproj.identity.rbac import ROLES, Action, Resource
from coderproj.identity.roles import OrganizationRole, SiteRole
from templates_app.models import AccessRole, Template, TemplateAccess


def _granting(names: Sequence[str], action: Action) -> list[str]:
    return [name for name in names if action in ROLES[name].grants.get(Resource.TEMPLATE, ())]


READERS = _granting(SiteRole.values, Action.READ)
ADMINISTRATORS = _granting(SiteRole.values, Action.UPDATE)
ORGANIZATION_ADMINISTRATORS = _granting(OrganizationRole.values, Action.UPDATE)


@dataclass(frozen=True, slots=True)
class Access:
    """A user with the effective role, ``use`` or ``admin``, and the reasons as texts, reasons for ``admin`` first."""

    user: User
    role: str
    reasons: tuple[str, ...]


def users_with_access(template: Template) -> UserQuerySet:
    """Return the active users who may use or administer the template, by username."""
    listed = TemplateAccess.objects.filter(template=template)
    direct = listed.filter(user=OuterRef("pk"))
    membership = Membership.objects.filter(user=OuterRef("pk"), organization=template.organization_id)
    # Groups count while the user is a member of their organization; the group Everyone has no membership rows.
    explicit = GroupMembership.objects.filter(user=OuterRef("pk"), group__in=listed.values("group"))
    everyone = listed.filter(group_id=template.organization_id)
    return (
        User.objects.existing()
        .filter(status=UserStatus.ACTIVE)
        .filter(
            Q(site_roles__overlap=READERS)
            | Exists(direct)
            | Exists(membership.filter(roles__overlap=ORGANIZATION_ADMINISTRATORS))
            | (Exists(membership) & (Exists(explicit) | Exists(everyone)))
        )
        .order_by("username", "id")
    )


def explain(template: Template, users: Sequence[User]) -> list[Access]:
    """Return the reasons for the access of these users. Runs three queries, independent of their number."""
    ids = [user.pk for user in users]
    entries = list(TemplateAccess.objects.filter(template=template).select_related("group").order_by())
    roles_by_group = {entry.group_id: entry for entry in entries if entry.group_id}
    own = {entry.user_id: entry.role for entry in entries if entry.user_id}
    memberships = Membership.objects.filter(user__in=ids, organization=template.organization_id).order_by()
    organization_roles = {row.user_id: row.roles for row in memberships}
    groups: dict[uuid.UUID, list[TemplateAccess]] = {}
    for row in GroupMembership.objects.filter(user__in=ids, group__in=list(roles_by_group)).order_by():
        groups.setdefault(row.user_id, []).append(roles_by_group[row.group_id])
    if template.organization_id in roles_by_group:
        for member in organization_roles:
            groups.setdefault(member, []).append(roles_by_group[template.organization_id])
    return [
        _access(
            user,
            own.get(user.pk, ""),
            organization_roles.get(user.pk),
            groups.get(user.pk, []),
        )
        for user in users
    ]


def _access(user: User, own: str, organization_roles: Sequence[str] | None, groups: Sequence[TemplateAccess]) -> Access:
    found: list[tuple[str, str]] = []
    for name in user.site_roles:
        if name in READERS:
            granted = AccessRole.ADMIN if name in ADMINISTRATORS else AccessRole.USE
            found.append((granted, f"site role {ROLES[name].display_name}"))
    found += [
        (AccessRole.ADMIN, ROLES[name].display_name)
        for name in organization_roles or ()
        if name in ORGANIZATION_ADMINISTRATORS
    ]
    if own:
        found.append((own, "access list entry"))
    if organization_roles is not None:
        found += [
            (entry.role, f"group {entry.group.name}")
            for entry in sorted(groups, key=lambda entry: entry.group.name if entry.group else "")
            if entry.group is not None
        ]
    found.sort(key=lambda reason: reason[0] != AccessRole.ADMIN)
    role = found[0][0] if found else AccessRole.USE.value
    return Access(user, role, tuple(text for _, text in found))
