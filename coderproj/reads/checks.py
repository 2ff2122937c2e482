"""The system checks that compile every read. They report what cannot be compiled before a request needs it, and need no
database."""

import types
import typing
import uuid
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice, product
from typing import Any

from django.core import checks
from django.core.checks import CheckMessage, register
from django.core.exceptions import EmptyResultSet

from coderproj.base.contributions import contributions
from coderproj.identity.actor import Actor
from coderproj.identity.roles import SiteRole
from coderproj.reads.compiled import Read

# The tag of these checks. The web server runs those with this tag that are not for deployments when it starts.
TAG = "compiled_reads"
EXAMPLES: dict[Any, Any] = {
    uuid.UUID: uuid.UUID(int=1),
    str: "text",
    int: 1,
    datetime: datetime(2026, 1, 1, tzinfo=UTC),
    type(None): None,
}
# One without and one with a site role.
ACTORS = tuple(
    Actor(id=uuid.UUID(int=1), username="check", site_roles=frozenset(roles)) for roles in ((), (SiteRole.OWNER,))
)


@register(TAG)
def reads_compile(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """Report each read that cannot be compiled for the first shape of its arguments, as the web server's start does."""
    return [error for read in reads() for error in errors_of(read, problems_of(read, *first_call(read)))]


@register(TAG, deploy=True)
def reads_compile_in_every_shape(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """Report each other read that cannot be compiled for all shapes of its arguments. All of them take a second."""
    return [
        error
        for read in reads()
        if not problems_of(read, *first_call(read))
        for error in errors_of(read, problems_of(read, ACTORS, shapes_of(read)))
    ]


def reads() -> Sequence[Read]:
    """Return all compiled reads; none if they cannot be imported, which the check of contributions reports."""
    try:
        found: Sequence[Read] = contributions("compiled_reads")
    except ImportError:
        return ()
    return found


def errors_of(read: Read, problems: Iterable[str]) -> list[CheckMessage]:
    """Return the errors of a read."""
    return [
        checks.Error(
            f"The compiled read {name_of(read)} cannot be compiled: {problem}",
            hint="docs/compiled-reads.md lists the supported serializer fields, and the alternatives for others.",
            id="coderproj.E020",
        )
        for problem in problems
    ]


def first_call(read: Read) -> tuple[Sequence[Actor], Iterable[tuple[Any, ...]]]:
    """Return the actor to whom everything is visible, and the first shape of the arguments."""
    return ACTORS[-1:], islice(shapes_of(read), 1)


def problems_of(read: Read, actors: Iterable[Actor], shapes: Iterable[tuple[Any, ...]]) -> list[str]:
    """Return the reasons why the read cannot be compiled for these actors and shapes of its arguments."""
    found: dict[str, None] = {}
    for actor, arguments in product(actors, shapes):
        try:
            read.compile(actor, arguments, proven=True)
        except EmptyResultSet:
            continue  # nothing is visible to this actor
        except Exception as error:  # noqa: BLE001 - any error means that the read cannot be compiled
            found[f"{type(error).__name__}: {error}"] = None
    return list(found)


def shapes_of(read: Read) -> Iterator[tuple[Any, ...]]:
    """Yield arguments of every shape: one tuple for each combination of the types that ``rows`` declares. Raises
    KeyError for a type without an example."""
    hints = typing.get_type_hints(read.rows)
    hints.pop("return", None)
    _, *arguments = hints.values()
    choices = [[EXAMPLES[type_] for type_ in _members(hint)] for hint in arguments]
    yield from product(*choices)


def name_of(read: Read) -> str:
    """Return the dotted name of the function that selects the rows."""
    return f"{read.rows.__module__}.{getattr(read.rows, '__qualname__', read.rows)}"


def _members(hint: Any) -> tuple[Any, ...]:
    """Return the types of a union, or the type itself."""
    return typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
