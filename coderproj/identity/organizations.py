"""Finding organizations: by id, by name, or as ``default`` (ruling 13)."""

import uuid

from django.db.models import QuerySet

from coderproj.api.identifiers import parse_uuid
from coderproj.errors import NotFound
from coderproj.identity.actor import Actor
from coderproj.identity.models import KeyScope, Organization
from coderproj.identity.roles import SiteRole

DEFAULT = "default"


def visible_organizations(actor: Actor) -> QuerySet[Organization]:
    """Those the actor is a member of; all of them for the holder of a site role."""
    if actor.scope != KeyScope.ALL:
        return Organization.objects.none()
    if sees_all_organizations(actor):
        return Organization.objects.all()
    return Organization.objects.filter(pk__any=actor.organization_ids)


def sees_all_organizations(actor: Actor) -> bool:
    """Whether a site role makes the actor look after every organization."""
    return bool(actor.site_roles & set(SiteRole.values))


def find_organization(actor: Actor, reference: str) -> Organization:
    """The visible organization that a path names. Raises NotFound.

    ``default`` is the deployment's default organization or, for somebody who is not in it, their first one.
    """
    organizations = visible_organizations(actor)
    organization_id: uuid.UUID | None = parse_uuid(reference)
    if organization_id is not None:
        found = organizations.filter(pk=organization_id).first()
    elif reference.lower() == DEFAULT:
        found = organizations.order_by("-is_default", "created_at").first()
    else:
        found = organizations.filter(name__iexact=reference).first()
    if found is None:
        raise NotFound
    return found
