"""The users of the data, their teams and roles."""

import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.contrib.auth.hashers import make_password

from coderproj.demo.data import words
from coderproj.demo.data.chance import Chance
from coderproj.identity.models import EVERYONE, Group, GroupMembership, Membership, Organization, User, UserStatus
from coderproj.identity.roles import OrganizationRole, SiteRole

# What the first users do besides developing: one role each.
SITE_ROLES = (SiteRole.TEMPLATE_ADMIN,) * 3 + (SiteRole.USER_ADMIN,) * 2 + (SiteRole.AUDITOR,)
ORGANIZATION_ADMINS = 2
SUSPENDED = 0.03
CONTRACTORS = 0.06
FIRST_DAYS_AGO = 500


@dataclass(slots=True)
class Person:
    """``diligence`` is the share of weekdays on which the user works in a workspace."""

    user: User
    zone: ZoneInfo
    diligence: float
    groups: set[uuid.UUID] = field(default_factory=set)

    @property
    def is_active(self) -> bool:
        return self.user.status == UserStatus.ACTIVE


@dataclass(slots=True)
class People:
    """All users; the first ones have roles, the ``authors`` may change templates. ``everyone`` is the group of all
    members, which exists already."""

    everyone: Group
    persons: list[Person]
    groups: list[Group]
    members: list[GroupMembership]
    memberships: list[Membership]

    @property
    def authors(self) -> list[Person]:
        return self.persons[:3]

    @property
    def user_admin(self) -> Person:
        return self.persons[3]


def make(chance: Chance, now: datetime, organization: Organization, count: int) -> People:
    """Make users, groups and memberships, without storing them."""
    first = now - timedelta(days=FIRST_DAYS_AGO)
    names = chance.sample([f"{one}-{other}" for one in words.FIRST_NAMES for other in words.SURNAMES], count)
    times = sorted(chance.at_work(first, now - timedelta(days=2)) for _ in range(count))
    groups = [Group(id=chance.id(), organization=organization, name=name) for name in (*words.TEAMS, words.CONTRACTORS)]
    for group in groups:
        group.created_at = first + timedelta(minutes=chance.uniform(5, 300))
    password = make_password(None)  # no sign-in with a password
    persons = [
        _person(chance, now, number, name, created, password)
        for number, (name, created) in enumerate(zip(names, times, strict=True))
    ]
    for person in persons:
        teams = {chance.choice(groups[:-1])} | ({groups[-1]} if chance.happens(CONTRACTORS) else set())
        person.groups = {group.pk for group in teams} | {organization.pk}
    members = [
        GroupMembership(group=group, user=person.user)
        for person in persons
        for group in groups
        if group.pk in person.groups
    ]
    memberships = [_membership(organization, number, person.user) for number, person in enumerate(persons)]
    everyone = Group(id=organization.pk, organization=organization, name=EVERYONE)
    everyone.created_at = first
    return People(everyone, persons, groups, members, memberships)


def _person(chance: Chance, now: datetime, number: int, name: str, created: datetime, password: str) -> Person:
    user = User(
        id=chance.id(),
        username=name,
        email=f"{name.replace('-', '.')}@example.com",
        name=name.replace("-", " ").title(),
        password=password,
        site_roles=[SITE_ROLES[number].value] if number < len(SITE_ROLES) else [],
    )
    user.created_at = created
    user.last_seen_at = max(created, now - chance.seconds(8 * 3600, 1.6))
    if number >= len(SITE_ROLES) and chance.happens(SUSPENDED):
        user.status = UserStatus.SUSPENDED
        user.last_seen_at = max(created, now - timedelta(days=chance.uniform(5, 60)))
        user.updated_at = user.last_seen_at + timedelta(hours=chance.uniform(0.1, 90))
    zone = chance.weighted(list(words.ZONES), list(words.ZONES.values()))
    return Person(user, ZoneInfo(zone), chance.betavariate(1.6, 1.6))


def _membership(organization: Organization, number: int, user: User) -> Membership:
    is_admin = len(SITE_ROLES) <= number < len(SITE_ROLES) + ORGANIZATION_ADMINS
    row = Membership(organization=organization, user=user, roles=[OrganizationRole.ADMIN.value] if is_admin else [])
    row.created_at = user.created_at
    return row
