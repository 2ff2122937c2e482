"""Permissions: the table of roles, and functions that evaluate it.

An action is allowed when the key's scope allows it and a site role, a role in the object's organization, or ownership
grants it. Access lists of templates are evaluated by the templates' queryset, see ``templates_app.models.visibility``.
"""

import uuid
from dataclasses import dataclass
from enum import StrEnum

from coderproj.base.errors import Forbidden, NotFound
from coderproj.identity.actor import Actor
from coderproj.identity.models import KeyScope
from coderproj.identity.roles import MEMBER, ORGANIZATION_MEMBER, OrganizationRole, SiteRole


class Action(StrEnum):
    CREATE = "create"
    READ = "read"
    UPDATE = "update"
    DELETE = "delete"


class Resource(StrEnum):
    """Types of objects. The values are the names that clients use in permission checks."""

    API_KEY = "api_key"
    ASSIGN_ORGANIZATION_ROLE = "assign_org_role"
    ASSIGN_ROLE = "assign_role"
    AUDIT_LOG = "audit_log"
    DEPLOYMENT_FLAGS = "deployment_flags"
    FILE = "file"
    GROUP = "group"
    ORGANIZATION = "organization"
    ORGANIZATION_MEMBER = "organization_member"
    PROVISIONER_DAEMON = "provisioner_daemon"
    TEMPLATE = "template"
    UPDATE_CHECK = "update_check"
    USER = "user"
    WORKSPACE = "workspace"
    WORKSPACE_EXECUTION = "workspace_execution"


ALL_ACTIONS = frozenset(Action)
READ_ONLY = frozenset({Action.READ})
Grants = dict[Resource, frozenset[Action]]
EVERYTHING: Grants = dict.fromkeys(Resource, ALL_ACTIONS)


@dataclass(frozen=True, slots=True)
class Role:
    """A role and its grants. Site roles apply everywhere, organization roles in one organization; ``owned`` grants
    apply to objects that the actor owns."""

    name: str
    display_name: str
    level: str
    grants: Grants
    owned: Grants


def _role(name: str, display_name: str, level: str, grants: Grants, owned: Grants | None = None) -> Role:
    return Role(name, display_name, level, grants, owned or {})


ROLES: dict[str, Role] = {
    role.name: role
    for role in (
        _role(SiteRole.OWNER, "Owner", "site", EVERYTHING),
        _role(
            SiteRole.TEMPLATE_ADMIN,
            "Template Admin",
            "site",
            {
                Resource.TEMPLATE: ALL_ACTIONS,
                Resource.FILE: ALL_ACTIONS,
                Resource.WORKSPACE: READ_ONLY,
                Resource.PROVISIONER_DAEMON: ALL_ACTIONS,
            },
        ),
        _role(
            SiteRole.USER_ADMIN,
            "User Admin",
            "site",
            {
                Resource.ASSIGN_ROLE: ALL_ACTIONS,
                Resource.USER: ALL_ACTIONS,
                Resource.ORGANIZATION_MEMBER: ALL_ACTIONS,
                Resource.GROUP: ALL_ACTIONS,
            },
        ),
        _role(SiteRole.AUDITOR, "Auditor", "site", {Resource.TEMPLATE: READ_ONLY, Resource.AUDIT_LOG: READ_ONLY}),
        _role(
            MEMBER,
            "Member",
            "site",
            {
                Resource.USER: READ_ONLY,
                Resource.ASSIGN_ROLE: READ_ONLY,
                Resource.PROVISIONER_DAEMON: READ_ONLY,
            },
            owned=EVERYTHING,
        ),
        _role(OrganizationRole.ADMIN, "Organization Admin", "organization", EVERYTHING),
        _role(
            ORGANIZATION_MEMBER,
            "Organization Member",
            "organization",
            {
                Resource.ORGANIZATION_MEMBER: READ_ONLY,
                Resource.ORGANIZATION: READ_ONLY,
                Resource.ASSIGN_ORGANIZATION_ROLE: READ_ONLY,
                Resource.GROUP: READ_ONLY,
            },
        ),
    )
}


def allowed(
    actor: Actor,
    action: Action,
    resource: Resource,
    *,
    organization_id: uuid.UUID | None = None,
    owner_id: uuid.UUID | None = None,
) -> bool:
    """Return True if the actor's roles or ownership grant the action on an object with this organization and owner.

    An object of an organization counts as owned only while the owner is a member of that organization.
    """
    if actor.scope != KeyScope.ALL:
        return False
    if allowed_everywhere(actor, action, resource):
        return True
    member = organization_id in actor.organization_roles
    if member:
        roles = (*actor.organization_roles[organization_id], ORGANIZATION_MEMBER)  # type: ignore[index]
        if any(action in ROLES[role].grants.get(resource, ()) for role in roles if role in ROLES):
            return True
    owned = owner_id == actor.id and (organization_id is None or member)
    return owned and action in ROLES[MEMBER].owned.get(resource, ())


def allowed_everywhere(actor: Actor, action: Action, resource: Resource) -> bool:
    """Return True if a site role grants the action on every object of the type."""
    if actor.scope != KeyScope.ALL:
        return False
    roles = (*actor.site_roles, MEMBER)
    return any(action in ROLES[role].grants.get(resource, ()) for role in roles if role in ROLES)


def organizations_where(actor: Actor, action: Action, resource: Resource) -> frozenset[uuid.UUID]:
    """Return the organizations in which an organization role grants the action, to filter querysets."""
    if actor.scope != KeyScope.ALL:
        return frozenset()

    def granted(roles: frozenset[str]) -> bool:
        return any(
            action in ROLES[role].grants.get(resource, ()) for role in (*roles, ORGANIZATION_MEMBER) if role in ROLES
        )

    return actor.organizations_where(granted)


def authorize(
    actor: Actor,
    action: Action,
    resource: Resource,
    *,
    organization_id: uuid.UUID | None = None,
    owner_id: uuid.UUID | None = None,
) -> None:
    """Raise Forbidden if the action is not allowed, or NotFound if the actor may not read the object either."""
    if allowed(actor, action, resource, organization_id=organization_id, owner_id=owner_id):
        return
    if allowed(actor, Action.READ, resource, organization_id=organization_id, owner_id=owner_id):
        raise Forbidden
    raise NotFound


def assignable_roles(actor: Actor, organization_id: uuid.UUID | None = None) -> frozenset[str]:
    """Return the roles that the actor may assign and remove. Owners assign site roles. Owners and the organization's
    administrators assign organization roles."""
    if actor.scope != KeyScope.ALL:
        return frozenset()
    owner = SiteRole.OWNER in actor.site_roles
    if organization_id is None:
        return frozenset(SiteRole.values) if owner else frozenset()
    administrator = OrganizationRole.ADMIN in actor.organization_roles.get(organization_id, ())
    return frozenset(OrganizationRole.values) if owner or administrator else frozenset()


ADMIN_ROLES = frozenset({SiteRole.OWNER.value, SiteRole.AUDITOR.value})


def may_enter_admin(actor: Actor) -> bool:
    """Return True if the actor may use the Django admin."""
    return bool(ADMIN_ROLES & actor.site_roles)
