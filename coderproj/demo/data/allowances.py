"""The allowances of the data's groups: they fit what the users' workspaces have cost.

Everyone may have one large machine. A team has as much more as its member with the most machines at one time needed, so
those members are near their limit, and no start of the last months was over it.
"""

import uuid
from collections.abc import Iterable, Iterator
from datetime import datetime

from coderproj.demo.data.catalogue import FAMILIES
from coderproj.demo.data.lives import Life
from coderproj.demo.data.people import People
from coderproj.identity.models import Group
from provisioning.engine.base import Transition

OF_EVERYONE = max(family.cost for family in FAMILIES.values())
STEP = 4


def allow(people: People, lives: Iterable[Life]) -> None:
    """Set the allowances of the groups."""
    most = _most_at_once(lives)
    people.everyone.quota_allowance = OF_EVERYONE
    teams: dict[uuid.UUID, Group] = {group.pk: group for group in people.groups[:-1]}
    for person in people.persons:
        missing = most.get(person.user.pk, 0) - OF_EVERYONE
        for team in person.groups & teams.keys():
            group = teams[team]
            group.quota_allowance = max(group.quota_allowance, -(-missing // STEP) * STEP)


def _most_at_once(lives: Iterable[Life]) -> dict[uuid.UUID, int]:
    """Return the highest cost of each owner's workspaces at one time."""
    changes: dict[uuid.UUID, list[tuple[datetime, int]]] = {}
    for life in lives:
        changes.setdefault(life.owner.user.pk, []).extend(_changes(life))
    most = {}
    for owner, found in changes.items():
        cost = highest = 0
        # At the same time, what is added counts first.
        for _, change in sorted(found, key=lambda one: (one[0], -one[1])):
            cost += change
            highest = max(highest, cost)
        most[owner] = highest
    return most


def _changes(life: Life) -> Iterator[tuple[datetime, int]]:
    """Yield when the cost of a workspace changes, and by how much. A start counts from its beginning."""
    is_up, cost = False, life.line.family.cost
    for event in life.events:
        starts = event.transition is Transition.START
        if starts and not is_up:
            yield event.run.queued, cost
            if event.run.succeeded:
                is_up = True
            else:
                yield event.run.ended, -cost
        elif not starts and is_up and event.run.succeeded:
            yield event.run.ended, -cost
            is_up = False
    if life.is_queued and not is_up:
        yield life.now, cost
