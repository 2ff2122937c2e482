"""Where people and what belongs to them are shown."""

import uuid

from django.urls import reverse

from coderproj.identity.models import Group, Organization, User


def user_url(user: User | uuid.UUID, route: str = "user") -> str:
    """The page of a user, or another of its routes."""
    return reverse(route, args=[user.pk if isinstance(user, User) else user])


def group_url(group: Group | uuid.UUID, route: str = "group") -> str:
    """The page of a group, or another of its routes."""
    return reverse(route, args=[group.pk if isinstance(group, Group) else group])


def organization_url(organization: Organization | uuid.UUID, route: str = "organization") -> str:
    """The page of an organization, or another of its routes."""
    return reverse(route, args=[organization.pk if isinstance(organization, Organization) else organization])
