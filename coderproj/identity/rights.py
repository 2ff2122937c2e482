"""Rights that an actor may not give. They protect the accounts of their holders, which the actor could else take over.

The roles are known here. Apps that give rights by other means, such as the access lists of templates, contribute a
``RightsSource`` as ``rights_sources``.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from coderproj.base.contributions import contributions
from coderproj.base.errors import Forbidden
from coderproj.identity.actor import Actor
from coderproj.identity.models import Group, Membership, User
from coderproj.identity.rbac import assignable_roles
from coderproj.identity.roles import SiteRole

PROTECTED_OWNER = "Only an owner may change an owner's account."
PROTECTED = "The user holds rights that you may not give. Ask an owner."


@dataclass(frozen=True, slots=True)
class RightsSource:
    """Rights outside of roles. ``of_user`` returns True if the user holds one that the actor may not give,
    ``of_groups`` if one of the groups gives one to its members."""

    of_user: Callable[[Actor, User], bool]
    of_groups: Callable[[Actor, Collection[Group]], bool]


def _sources() -> tuple[RightsSource, ...]:
    return contributions("rights_sources")


def exceeds(actor: Actor, user: User) -> bool:
    """Return True if another user holds a right that the actor may not give. At most one query per membership table."""
    if user.pk == actor.id or SiteRole.OWNER in actor.site_roles:
        return False
    if not set(user.site_roles) <= assignable_roles(actor):
        return True
    memberships = Membership.objects.filter(user=user).exclude(roles=[])
    if any(not set(row.roles) <= assignable_roles(actor, row.organization_id) for row in memberships):
        return True
    return any(source.of_user(actor, user) for source in _sources())


def require_rights_of(actor: Actor, user: User) -> None:
    """Raise Forbidden if another user holds a right that the actor may not give."""
    if exceeds(actor, user):
        owner = SiteRole.OWNER in user.site_roles
        raise Forbidden(PROTECTED_OWNER if owner else PROTECTED)


def require_rights_of_groups(actor: Actor, groups: Collection[Group]) -> None:
    """Raise Forbidden if one of the groups gives its members a right that the actor may not give."""
    if SiteRole.OWNER not in actor.site_roles and any(source.of_groups(actor, groups) for source in _sources()):
        raise Forbidden("The group gives rights that you may not give. Ask an administrator of the organization.")
