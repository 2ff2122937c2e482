"""The system check that compiles every read. It reports a serializer that cannot be compiled before a request needs it.
It needs no database."""

import types
import typing
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import product
from typing import Any

from django.core import checks
from django.core.checks import CheckMessage, register
from django.core.exceptions import EmptyResultSet

from coderproj.base.contributions import contributions
from coderproj.identity.actor import Actor
from coderproj.identity.roles import SiteRole
from coderproj.reads.compiled import Read

# The tag of this check. The web server runs the checks with this tag when it starts.
TAG = "compiled_reads"
EXAMPLES: dict[Any, Any] = {
    uuid.UUID: uuid.UUID(int=1),
    str: "text",
    int: 1,
    datetime: datetime(2026, 1, 1, tzinfo=UTC),
    type(None): None,
}


@register(TAG)
def reads_compile(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """Report each read that cannot be compiled for all shapes of its arguments."""
    try:
        reads = contributions("compiled_reads")
    except ImportError:
        return []  # reported by the check of contributions
    return [
        checks.Error(
            f"The compiled read {name_of(read)} cannot be compiled: {problem}",
            hint="docs/compiled-reads.md lists the supported serializer fields, and the alternatives for others.",
            id="coderproj.E020",
        )
        for read in reads
        for problem in problems_of(read)
    ]


def problems_of(read: Read) -> list[str]:
    """Return the reasons why the read cannot be compiled, for an actor without and for one with a site role."""
    actors = [
        Actor(id=uuid.UUID(int=1), username="check", site_roles=frozenset(roles)) for roles in ((), (SiteRole.OWNER,))
    ]
    found: dict[str, None] = {}
    for actor, arguments in product(actors, shapes_of(read)):
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
