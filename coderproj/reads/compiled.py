"""Reads that are one prepared statement, in which PostgreSQL builds the JSON of the response and enforces access.

A ``Read`` is a queryset function with an expression of ``reads.serializers``. It is compiled for each *shape* of its
arguments: which of them are None, and the actor's site roles, which determine the WHERE. A request then runs neither
the ORM nor a serializer.

For a cached actor (``authentication.CachedActor``) the same statement also proves that the actor is unchanged: it
returns a row only if the key, the user, the memberships and the groups, read in the same snapshot, equal the cached
ones. An actor is therefore never trusted beyond one request, and authentication needs no separate query.

A ``FinalRead`` reads rows that are final. Its response is built once; later statements only check the proof, and that
the actor may see the rows.
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
from coderproj.database.prepared import Prepared, Row, as_text
from coderproj.identity.actor import Actor
from coderproj.identity.authentication import ACTOR_SQL, CachedActor
from coderproj.reads.answer_cache import ANSWER_CACHE

# Runs a statement with its parameters and returns the first row, None without rows.
Runner = Callable[[Prepared, list[bytes | None]], Row | None]
# The source of a parameter's value: a function of the actor, or the index of an argument.
Source = Callable[[Actor], Any] | int
Rows = Callable[..., QuerySet[Any, Any]]

# The read's own statement replaces the comment. Its parameters are between the key's id and the cached facts.
PROVEN_SQL = (
    f"SELECT answer_.* FROM ({ACTOR_SQL}) actor_ CROSS JOIN LATERAL (/* read */) answer_ WHERE actor_::text = %s"  # noqa: S608
)


class Marks:
    """Placeholders for arguments during the compilation of a statement. Each is unique, so it can be found among the
    statement's parameters."""

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
        """Return a placeholder of the argument's type. Numbers are stored as text as well, because Django writes those
        of LIMIT and OFFSET into the SQL. Raises TypeError."""
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
    """An actor whose ids are marks. Scope and site roles are real, because the WHERE depends on them."""

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
    """SQL, and the source of each parameter's value: None for a constant."""

    def __init__(self, sql: str, parameters: Sequence[Any], sources: Sequence[Source | None]) -> None:
        pairs = list(zip(parameters, sources, strict=True))
        self._constant = [as_text(value) if source is None else None for value, source in pairs]
        self._of_actor = [(place, source) for place, source in enumerate(sources) if callable(source)]
        self._of_arguments = [(place, source) for place, source in enumerate(sources) if isinstance(source, int)]
        # A request's numbers can be larger than those that the statement was compiled with.
        examples = [int(value) if isinstance(value, int) and source is not None else value for value, source in pairs]
        self._prepared = Prepared(sql, examples)

    def row(self, actor: Actor, arguments: tuple[Any, ...], run: Runner) -> Row | None:
        return run(self._prepared, self.parameters(actor, arguments))

    def parameters(self, actor: Actor, arguments: tuple[Any, ...]) -> list[bytes | None]:
        """Return all parameters as texts. Those that follow from a cached actor are cached with it: computing them took
        longer than sending the statement."""
        cached = actor.proof.parameters if isinstance(actor, CachedActor) else {}
        values = cached.get(self)
        if values is None:
            others = list(cached.values())  # a copy: other threads can add to it
            values = cached[self] = self._from_actor(actor, shared={text: text for other in others for text in other})
        values = values.copy()
        for place, index in self._of_arguments:
            values[place] = as_text(arguments[index])
        return values

    def _from_actor(self, actor: Actor, shared: Mapping[bytes | None, bytes | None]) -> list[bytes | None]:
        """Return the parameters that do not come from arguments. Texts that most statements share are stored once."""
        values = self._constant.copy()
        for place, source in self._of_actor:
            text = as_text(source(actor))
            values[place] = shared.get(text, text)
        return values


@dataclass(slots=True)
class Read:
    """A compiled read. ``rows(actor, *arguments)`` returns a queryset ``values_list`` of expressions: the first is the
    JSON of the response, the others are facts for the view's decisions.

    Every read is listed in the ``READS`` of its app, contributed as ``compiled_reads``. A system check compiles them
    all (``reads.checks``); it needs type annotations on the arguments of ``rows``.
    """

    rows: Rows
    statements: dict[tuple[Any, ...], Statement] = field(default_factory=dict)

    def row(self, actor: Actor, *arguments: Any, run: Runner = Prepared.first_row) -> Row:
        """Return the first row: JSON as bytes, then the other columns. Raises NotFound if there is none, or if a cached
        actor has changed."""
        proven = isinstance(actor, CachedActor)
        shape = (proven, actor.scope, actor.site_roles, *map(type, arguments))
        statement = self.statements.get(shape)
        if statement is None:
            try:
                statement = self.statements[shape] = self.compile(actor, arguments, proven=proven)
            except EmptyResultSet:  # nothing is visible to this kind of actor
                raise NotFound from None
        row = statement.row(actor, arguments, run)
        if row is None:
            raise NotFound
        if isinstance(actor, CachedActor):
            actor.proof.given = True
        return row

    def answer(self, actor: Actor, *arguments: Any) -> HttpResponse:
        """Return the JSON of the first row as a response. Raises NotFound."""
        return json_answer(self.row(actor, *arguments)[0])

    def compile(self, actor: Actor, arguments: tuple[Any, ...], *, proven: bool) -> Statement:
        """Return the statement for actors and arguments of this shape; needs no database. Raises EmptyResultSet if
        nothing is visible to the actor; TypeError or Django's FieldError if the read cannot be compiled."""
        marks = Marks()
        marked = [marks.of_argument(index, value) for index, value in enumerate(arguments)]
        query = self.rows(MarkedActor(actor, marks), *marked).query
        query.clear_ordering()  # one row needs no sorting, which would copy the JSON
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
            sources = [_key_id, *sources, _cached_facts]
            values = ["", *values, ""]
        return Statement(sql, values, sources)


@dataclass(slots=True)
class FinalRead(Read):
    """A read whose row is final once its last column is true, and the same for every actor who may see it.

    A final row is cached; ``visible``, a read with the first argument only, then checks that the actor may see it.
    Reads of a part, where further arguments are not None, are not cached.
    """

    visible: Read = field(kw_only=True)

    def row(self, actor: Actor, *arguments: Any, run: Runner = Prepared.first_row) -> Row:
        subject, *bounds = arguments
        if not ANSWER_CACHE.limit or any(bound is not None for bound in bounds):
            return Read.row(self, actor, *arguments, run=run)  # ``slots`` makes a new class, unknown to ``super()``
        key = (self.rows, subject.int)  # hashing a UUID runs Python code
        cached = ANSWER_CACHE.get(key)
        if cached is not None:
            self.visible.row(actor, subject, run=run)
            return cached
        row = Read.row(self, actor, *arguments, run=run)
        if row[-1]:
            ANSWER_CACHE.put(key, row)
        return row


def _key_id(actor: Actor) -> str:
    return actor.key_id


def _cached_facts(actor: Actor) -> str:
    assert isinstance(actor, CachedActor)
    return actor.proof.facts


def _source(marks: Marks, parameter: Any) -> Source | None:
    """Return the source of a parameter's value; None for a constant."""
    key = parameter[0] if isinstance(parameter, list) and len(parameter) == 1 else parameter
    try:
        return marks.sources.get(key)
    except TypeError:  # a list or dictionary: not a mark
        return None


def json_answer(body: bytes) -> HttpResponse:
    """Return a body that the database built as a response of the API."""
    return HttpResponse(body + b"\n", content_type=JSON_CONTENT_TYPE)
