"""The addresses of the pages of users, groups and organizations."""

import uuid

from coderproj.console.addresses import page_url
from coderproj.identity.models import Group, Organization, User


def user_url(user: User | uuid.UUID, route: str = "user") -> str:
    """Return the address of a user's page, or of another of its routes."""
    return page_url(route, str(user.pk if isinstance(user, User) else user))


def group_url(group: Group | uuid.UUID, route: str = "group") -> str:
    """Return the address of a group's page, or of another of its routes."""
    return page_url(route, str(group.pk if isinstance(group, Group) else group))


def organization_url(organization: Organization | uuid.UUID, route: str = "organization") -> str:
    """Return the address of an organization's page, or of another of its routes."""
    return page_url(route, str(organization.pk if isinstance(organization, Organization) else organization))
