"""Users, groups and organizations in the console's search."""

from collections.abc import Sequence

from django.db.models import Q

from coderproj.accounts.pages.addresses import group_url, organization_url, user_url
from coderproj.base.identifiers import parse_uuid
from coderproj.console.search import Hit, Source
from coderproj.identity.actor import Actor
from coderproj.identity.groups import visible_groups
from coderproj.identity.organizations import visible_organizations
from coderproj.identity.users import visible_users


def _by_id(text: str) -> Q:
    """Return the condition for the row with this id; no row if the text is not an id."""
    found = parse_uuid(text)
    return Q(pk=found) if found else Q(pk__in=())


def find_users(actor: Actor, text: str, count: int) -> Sequence[Hit]:
    matches = Q(username__icontains=text) | Q(email__icontains=text) | Q(name__icontains=text) | _by_id(text)
    users = visible_users(actor).filter(matches).order_by("username")[:count]
    return [Hit(user_url(user), user.username, user.name or user.email, "user") for user in users]


def find_groups(actor: Actor, text: str, count: int) -> Sequence[Hit]:
    groups = visible_groups(actor).filter(Q(name__icontains=text) | _by_id(text)).select_related("organization")
    return [
        Hit(group_url(group), group.name, f"in {group.organization.name}", "users")
        for group in groups.order_by("name", "organization__name")[:count]
    ]


def find_organizations(actor: Actor, text: str, count: int) -> Sequence[Hit]:
    matches = Q(name__icontains=text) | Q(display_name__icontains=text) | _by_id(text)
    organizations = visible_organizations(actor).filter(matches).order_by("name")[:count]
    return [
        Hit(organization_url(row), row.display_name or row.name, row.description, "network") for row in organizations
    ]


SOURCES = [
    Source("Users", 30, find_users, "/users?q="),
    Source("Groups", 40, find_groups, "/groups?q="),
    Source("Organizations", 50, find_organizations),
]
