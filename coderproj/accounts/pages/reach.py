"""What groups have access to, in words and addresses. The apps that have access lists say it: this one does not know
them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from coderproj.identity.actor import Actor
from coderproj.identity.models import Group


@dataclass(frozen=True, slots=True)
class Reachable:
    """Something that a group gives access to. ``may`` says what its members may do with it."""

    name: str
    note: str
    url: str
    icon: str
    may: str


Finder = Callable[[Actor, Group], Sequence[Reachable]]
_finders: list[Finder] = []


def register(finder: Finder) -> None:
    """Have ``finder`` asked for what a group gives access to; called once."""
    _finders.append(finder)


def reach_of(actor: Actor, group: Group) -> list[Reachable]:
    """What the group gives access to, of what the actor may see."""
    return [entry for finder in _finders for entry in finder(actor, group)]
