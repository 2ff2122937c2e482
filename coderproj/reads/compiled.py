"""Reads that are one prepared statement, in which PostgreSQL builds the answer and sees to who may have it.

A ``Read`` is a queryset function with an expression of ``json_sql``. It is compiled for each *shape* of its arguments
(which of them are None, and the actor's site roles, on which the WHERE depends): no ORM and no serializer on the way.

For a remembered actor (``authentication.RememberedActor``) the same statement also proves that the actor is still who
they were: it finds a row only if the key, the user, the memberships and the groups read now, in the same snapshot, are
what is remembered, to the letter. So nothing of an actor is trusted for longer than a request, and authentication
costs no query of its own.

A ``FinalRead`` is of what does not change any more: it is made once, and later only the proof and the right to see it
are asked for.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db.models import QuerySet
from django.http import HttpResponse

from coderproj.base.errors import NotFound
from coderproj.base.json_text import JSON_CONTENT_TYPE
from coderproj.database.prepared import Prepared, as_text
from coderproj.identity.actor import Actor
from coderproj.identity.authentication import ACTOR_SQL, RememberedActor
from coderproj.reads.kept import KEPT_ANSWERS

# Where the value of a parameter comes from: it follows from the actor, or is the argument of that index.
Source = Callable[[Actor], Any] | int
Rows = Callable[..., QuerySet[Any, Any]]

# The read's own statement goes in where the comment is. Its parameters stand between the key's id and what the actor is
# remembered by.
PROVEN_SQL = (
    f"SELECT answer_.* FROM ({ACTOR_SQL}) actor_ CROSS JOIN LATERAL (/* read */) answer_ WHERE actor_::text = %s"  # noqa: S608
)


class Marks:
    """Stand-ins for arguments while a statement is compiled: each is unique, and found again among its parameters."""

    def __init__(self) -> None:
        self.sources: dict[Any, Source] = {}
        self.limits: dict[str, Source] = {}

    def of_id(self, source: Source) -> uuid.UUID:
        mark = uuid.uuid4()
        self.sources[mark] = source
        return mark

    def of_ids(self, source: Source) -> frozenset[uuid.UUID]:
        return frozenset({self.of_id(source)})

    def of_argument(self, index: int, value: Any) -> Any:
        """A stand-in of the argument's type. Django writes the numbers of LIMIT and OFFSET into the text."""
        match value:
            case None:
                return None
            case uuid.UUID():
                return self.of_id(index)
            case int():
                number = 900_000_000 + len(self.limits)
                self.limits[str(number)] = self.sources[number] = index
                return number
            case str():
                mark = f"mark {uuid.uuid4()}"
                self.sources[mark] = index
                return mark
            case datetime():
                moment = datetime(1000 + len(self.sources), 1, 1, tzinfo=value.tzinfo)
                self.sources[moment] = index
                return moment
        raise TypeError(f"cannot compile an argument of type {type(value).__name__}")


class MarkedActor(Actor):
    """An actor whose ids are marks; scope and site roles are real, for the WHERE depends on them."""

    __slots__ = ("marks",)
    marks: Marks

    def __init__(self, actor: Actor, marks: Marks) -> None:
        super().__init__(
            id=marks.of_id(lambda actor: actor.id),
            username=actor.username,
            site_roles=actor.site_roles,
            scope=actor.scope,
            group_ids=marks.of_ids(lambda actor: list(actor.group_ids)),
        )
        object.__setattr__(self, "marks", marks)

    @property
    def organization_ids(self) -> frozenset[uuid.UUID]:
        return self.marks.of_ids(lambda actor: list(actor.organization_ids))

    def organizations_where(self, granted: Callable[[frozenset[str]], bool]) -> frozenset[uuid.UUID]:
        return self.marks.of_ids(lambda actor: list(actor.organizations_where(granted)))


class Statement:
    """SQL with, for each parameter, where its value comes from, or None for what is always sent."""

    def __init__(self, sql: str, parameters: Sequence[Any], sources: Sequence[Source | None]) -> None:
        pairs = list(zip(parameters, sources, strict=True))
        self._constant = [as_text(value) if source is None else None for value, source in pairs]
        self._of_actor = [(place, source) for place, source in enumerate(sources) if callable(source)]
        self._of_arguments = [(place, source) for place, source in enumerate(sources) if isinstance(source, int)]
        # Numbers that a request gives may be larger than those they were compiled with.
        examples = [int(value) if isinstance(value, int) and source is not None else value for value, source in pairs]
        self._prepared = Prepared(sql, examples)

    def row(self, actor: Actor, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
        return self._prepared.first_row(self.parameters(actor, arguments))

    def parameters(self, actor: Actor, arguments: tuple[Any, ...]) -> list[bytes | None]:
        """All parameters as texts. What follows from a remembered actor is kept with what is remembered: working it
        out took longer than sending the statement."""
        kept = actor.proof.parameters if isinstance(actor, RememberedActor) else {}
        values = kept.get(self)
        if values is None:
            others = list(kept.values())  # at once: other threads may add to it
            values = kept[self] = self._from_actor(actor, shared={text: text for other in others for text in other})
        values = values.copy()
        for place, index in self._of_arguments:
            values[place] = as_text(arguments[index])
        return values

    def _from_actor(self, actor: Actor, shared: Mapping[bytes | None, bytes | None]) -> list[bytes | None]:
        """Parameters without those of arguments. Most statements have the same texts: they are in memory once."""
        values = self._constant.copy()
        for place, source in self._of_actor:
            text = as_text(source(actor))
            values[place] = shared.get(text, text)
        return values


@dataclass(slots=True)
class Read:
    """One compiled read. ``rows(actor, *arguments)`` returns a queryset ``values_list`` of expressions, the first of
    which is the JSON of the answer; the others are facts that the view decides by."""

    rows: Rows
    statements: dict[tuple[Any, ...], Statement] = field(default_factory=dict)

    def row(self, actor: Actor, *arguments: Any) -> tuple[Any, ...]:
        """The first row: JSON as bytes, then the other columns. Raises NotFound when there is none, or when a
        remembered actor is no longer the same."""
        proven = isinstance(actor, RememberedActor)
        shape = (proven, actor.scope, actor.site_roles, *map(type, arguments))
        statement = self.statements.get(shape)
        if statement is None:
            try:
                statement = self.statements[shape] = self._compile(actor, arguments, proven=proven)
            except EmptyResultSet:  # an actor of this kind sees nothing
                raise NotFound from None
        row = statement.row(actor, arguments)
        if row is None:
            raise NotFound
        if isinstance(actor, RememberedActor):
            actor.proof.given = True
        return row

    def answer(self, actor: Actor, *arguments: Any) -> HttpResponse:
        """The JSON of the first row as an answer. Raises NotFound."""
        return json_answer(self.row(actor, *arguments)[0])

    def _compile(self, actor: Actor, arguments: tuple[Any, ...], *, proven: bool) -> Statement:
        marks = Marks()
        marked = [marks.of_argument(index, value) for index, value in enumerate(arguments)]
        query = self.rows(MarkedActor(actor, marks), *marked).query
        query.clear_ordering()  # there is one row; sorting it would copy the answer
        sql, parameters = query.sql_with_params()
        sources = [_source(marks, parameter) for parameter in parameters]
        values = list(parameters)
        for number, source in marks.limits.items():
            for clause in (f"LIMIT {number}", f"OFFSET {number}"):
                position = sql.find(clause)
                if position >= 0:
                    before = sql[:position].count("%s")
                    sql = sql.replace(clause, clause.replace(number, "%s"), 1)
                    sources.insert(before, source)
                    values.insert(before, int(number))
        if proven:
            sql = PROVEN_SQL.replace("/* read */", sql)
            sources = [_key_id, *sources, _remembered]
            values = ["", *values, ""]
        return Statement(sql, values, sources)


@dataclass(slots=True)
class FinalRead(Read):
    """A read of what will never change again, and is the same for whoever may see it, once its last column says so.

    From then on the row is kept in memory, and ``visible``, a read with the first argument, says who may have it. Parts
    of it, for which there are further arguments that are not None, are read each time.
    """

    visible: Read = field(kw_only=True)

    def row(self, actor: Actor, *arguments: Any) -> tuple[Any, ...]:
        thing, *bounds = arguments
        if not KEPT_ANSWERS.limit or any(bound is not None for bound in bounds):
            return Read.row(self, actor, *arguments)  # ``super()`` does not know the class that ``slots`` makes
        key = (self.rows, thing.int)  # the hash of a UUID is made in Python
        kept = KEPT_ANSWERS.get(key)
        if kept is not None:
            self.visible.row(actor, thing)
            return kept
        row = Read.row(self, actor, *arguments)
        if row[-1]:
            KEPT_ANSWERS.keep(key, row)
        return row


def _key_id(actor: Actor) -> str:
    return actor.key_id


def _remembered(actor: Actor) -> str:
    assert isinstance(actor, RememberedActor)
    return actor.proof.facts


def _source(marks: Marks, parameter: Any) -> Source | None:
    """Where the value of a parameter comes from; None for one that is always the same."""
    key = parameter[0] if isinstance(parameter, list) and len(parameter) == 1 else parameter
    try:
        return marks.sources.get(key)
    except TypeError:  # a list or dictionary: not a mark
        return None


def json_answer(body: bytes) -> HttpResponse:
    """A body that the database built, as an answer of the API."""
    return HttpResponse(body + b"\n", content_type=JSON_CONTENT_TYPE)
