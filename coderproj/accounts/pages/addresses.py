"""Where people and what belongs to them are shown."""

import uuid

from coderproj.console.addresses import page_url
from coderproj.identity.models import Group, Organization, User


def user_url(user: User | uuid.UUID, route: str = "user") -> str:
    """The page of a user, or another of its routes."""
    return page_url(route, str(user.pk if isinstance(user, User) else user))


def group_url(group: Group | uuid.UUID, route: str = "group") -> str:
    """The page of a group, or another of its routes."""
    return page_url(route, str(group.pk if isinstance(group, Group) else group))


def organization_url(organization: Organization | uuid.UUID, route: str = "organization") -> str:
    """The page of an organization, or another of its routes."""
    return page_url(route, str(organization.pk if isinstance(organization, Organization) else organization))
