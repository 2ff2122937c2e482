"""The objects that groups give access to, as texts and addresses. Apps with access lists contribute them as
``group_reach``."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from coderproj.base.contributions import contributions
from coderproj.identity.actor import Actor
from coderproj.identity.models import Group


@dataclass(frozen=True, slots=True)
class Reachable:
    """An object that a group gives access to. ``may`` is the action that members may do with it."""

    name: str
    note: str
    url: str
    icon: str
    may: str


Finder = Callable[[Actor, Group], Sequence[Reachable]]


def reach_of(actor: Actor, group: Group) -> list[Reachable]:
    """Return the objects that the group gives access to and that are visible to the actor."""
    finders: tuple[Finder, ...] = contributions("group_reach")
    return [entry for finder in finders for entry in finder(actor, group)]
