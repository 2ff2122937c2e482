"""Check permissions without performing the action."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass

from coderproj.base.contributions import contributions
from coderproj.identity.actor import Actor
from coderproj.identity.models import Group
from coderproj.identity.organizations import visible_organizations
from coderproj.identity.rbac import Action, Resource, allowed
from coderproj.identity.users import visible_users
from templates_app.models import Template


@dataclass(frozen=True, slots=True)
class Check:
    """A check: may the actor do all of ``actions`` with these objects? ``resource_type`` can be unknown."""

    resource_type: str
    actions: tuple[Action, ...]
    owner_id: uuid.UUID | None = None
    organization_id: uuid.UUID | None = None
    resource_id: uuid.UUID | None = None


@dataclass(frozen=True, slots=True)
class CheckedObject:
    """How the objects of a type are found: ``find`` returns the ids of organization and owner of an object that the
    actor may read, else None. Apps above contribute it as ``checked_objects``."""

    resource: Resource
    find: Callable[[Actor, uuid.UUID], tuple[uuid.UUID, uuid.UUID] | None]


def may(actor: Actor, check: Check) -> bool:
    """Return the result of a check; False for unknown types and missing objects. Runs at most one query per action."""
    if check.resource_type not in set(Resource):
        return False
    resource = Resource(check.resource_type)
    return all(_may(actor, action, resource, check) for action in check.actions)


def _may(actor: Actor, action: Action, resource: Resource, check: Check) -> bool:
    organization_id, owner_id = check.organization_id, check.owner_id
    if check.resource_id is not None:
        match resource:
            case Resource.TEMPLATE:
                return Template.objects.manageable(actor, action).filter(pk=check.resource_id).exists()
            case Resource.GROUP:
                group = Group.objects.filter(pk=check.resource_id).first()
                if group is None:
                    return False
                organization_id = group.organization_id
            case Resource.USER:
                if not visible_users(actor).filter(pk=check.resource_id).exists():
                    return False
                owner_id = check.resource_id
            case Resource.ORGANIZATION:
                if not visible_organizations(actor).filter(pk=check.resource_id).exists():
                    return False
                organization_id = check.resource_id
            case _:
                for source in contributions("checked_objects"):
                    if source.resource == resource:
                        found = source.find(actor, check.resource_id)
                        if found is None:
                            return False
                        organization_id, owner_id = found
    return allowed(actor, action, resource, organization_id=organization_id, owner_id=owner_id)
