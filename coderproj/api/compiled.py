"""Reads whose JSON PostgreSQL builds: serializers compiled, once, to SQL.

The serializers stay the one description of an answer's shape: they make the schema and the answers to writes, and
every compiled read is tested against them. What a serializer computes in Python (a ``SerializerMethodField``) has a
twin ``sql_<name>(prefix)`` beside its ``get_<name>``, which returns a Django expression.

A ``Read`` is a queryset function with an expression; it is compiled for each *shape* of its arguments (which of them
are None, and the actor's site roles, on which the WHERE depends), and then runs as one prepared statement: no ORM
and no serializer on the way.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import F, Func, JSONField, Model, OuterRef, QuerySet, Subquery, TextField, Value
from django.http import HttpResponse
from rest_framework import serializers

from coderproj.api.renderers import JSON_CONTENT_TYPE, to_json
from coderproj.errors import NotFound
from coderproj.identity.actor import Actor


# ---------------------------------------------------------------------- serializer -> expression
class JsonObject(Func):
    """One JSON object of named expressions. ``row_to_json`` writes it without blanks; names are part of the text:
    as parameters they would have no type."""

    output_field = JSONField()

    def __init__(self, members: dict[str, Any], *, omit_absent: bool = False) -> None:
        self.keys = list(members)
        self.omit_absent = omit_absent
        super().__init__(*members.values())

    def as_sql(self, compiler: Any, connection: Any, **extra: Any) -> tuple[str, list[Any]]:  # type: ignore[override]
        columns: list[str] = []
        parameters: list[Any] = []
        for key, expression in zip(self.keys, self.source_expressions, strict=True):
            sql, values = compiler.compile(expression)
            columns.append(f'{sql} AS "{key}"')
            parameters += values
        built = "row_to_json(object_)"
        if self.omit_absent:
            built = f"json_strip_nulls({built})"
        # Names come from serializers, never from a request.
        return f"(SELECT {built} FROM (SELECT {', '.join(columns)}) object_)", parameters  # noqa: S608


class JsonList(Subquery):
    """The rows of a subquery of one JSON column as a JSON array, in the subquery's order."""

    template = "(SELECT coalesce(array_to_json(array_agg(rows_.row_)), '[]') FROM (%(subquery)s) rows_(row_))"
    output_field = JSONField()


class StoredJson(Func):
    """A JSON column without the blanks that PostgreSQL puts into it. Nulls within it are left out: none of ours has
    any."""

    template = "json_strip_nulls((%(expressions)s)::json)"
    output_field = JSONField()


class Constant(Value):
    """A JSON text that is the same for every row."""

    def __init__(self, value: Any) -> None:
        super().__init__(to_json(value).decode().strip(), output_field=TextField())

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:  # type: ignore[override]
        sql, parameters = super().as_sql(compiler, connection)
        return f"({sql}::json)", list(parameters)


class Timestamp(Func):
    """A time as the API writes it: UTC, microseconds, ``Z``."""

    template = """to_char(%(expressions)s AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
    output_field = TextField()


def json_object(serializer: serializers.BaseSerializer[Any], prefix: str = "") -> JsonObject:
    """The expression that builds what ``serializer`` answers, of the row that ``prefix`` (``job__``) leads to."""
    members: dict[str, Any] = {}
    for name, serializer_field in serializer.fields.items():  # type: ignore[attr-defined]
        members[name] = _member(serializer, name, serializer_field, prefix)
    meta = getattr(serializer, "Meta", None)
    return JsonObject(members, omit_absent=getattr(meta, "omit_absent", False))


def _member(serializer: Any, name: str, member: Any, prefix: str) -> Any:
    twin = getattr(serializer, f"sql_{name}", None)
    if twin is not None:
        return twin(prefix)
    source = (member.source or name).replace(".", "__")
    if isinstance(member, serializers.ListSerializer):
        return _related_list(serializer.Meta.model, member, source, prefix)
    if isinstance(member, serializers.BaseSerializer):
        return json_object(member, prefix if source == "*" else f"{prefix}{source}__")
    if isinstance(member, serializers.SerializerMethodField):
        raise TypeError(f"{type(serializer).__name__}.{name} needs sql_{name}(prefix)")
    if isinstance(member, serializers.DateTimeField):
        return Timestamp(F(prefix + source))
    if isinstance(member, serializers.JSONField):
        return StoredJson(F(prefix + source))
    return F(prefix + source)


def _related_list(model: type[Model], member: serializers.ListSerializer[Any], source: str, prefix: str) -> JsonList:
    relation: Any = model._meta.get_field(source)
    child = relation.related_model
    rows = child._default_manager.filter(**{relation.field.name: OuterRef(f"{prefix}pk")})
    order = getattr(member.child.Meta, "list_order", ("pk",))  # type: ignore[union-attr]
    return json_list(rows.order_by(*order), member.child)


def json_list(rows: QuerySet[Any], serializer: Any) -> JsonList:
    """The rows, in their order, each as the serializer writes it."""
    return JsonList(rows.values_list(json_object(serializer), flat=True))


# ---------------------------------------------------------------------- statements
class Marks:
    """Stand-ins for arguments while a statement is compiled: each is unique, and found again among its parameters."""

    def __init__(self) -> None:
        self.sources: dict[Any, Callable[[Actor, tuple[Any, ...]], Any]] = {}
        self.limits: dict[str, Callable[[Actor, tuple[Any, ...]], Any]] = {}

    def of_id(self, source: Callable[[Actor, tuple[Any, ...]], Any]) -> uuid.UUID:
        mark = uuid.uuid4()
        self.sources[mark] = source
        return mark

    def of_ids(self, source: Callable[[Actor, tuple[Any, ...]], Any]) -> frozenset[uuid.UUID]:
        return frozenset({self.of_id(source)})

    def of_argument(self, index: int, value: Any) -> Any:
        """A stand-in of the argument's type. Numbers are for LIMIT and OFFSET, which Django writes into the text."""

        def source(actor: Actor, arguments: tuple[Any, ...]) -> Any:
            return arguments[index]

        match value:
            case None:
                return None
            case uuid.UUID():
                return self.of_id(source)
            case int():
                number = 900_000_000 + len(self.limits)
                self.limits[str(number)] = source
                return number
            case str():
                mark = f"mark {uuid.uuid4()}"
                self.sources[mark] = source
                return mark
        raise TypeError(f"cannot compile an argument of type {type(value).__name__}")


class MarkedActor(Actor):
    """An actor whose ids are marks; scope and site roles are real, for the WHERE depends on them."""

    __slots__ = ("marks",)
    marks: Marks

    def __init__(self, actor: Actor, marks: Marks) -> None:
        super().__init__(
            id=marks.of_id(lambda actor, _: actor.id),
            username=actor.username,
            site_roles=actor.site_roles,
            scope=actor.scope,
            group_ids=marks.of_ids(lambda actor, _: list(actor.group_ids)),
        )
        object.__setattr__(self, "marks", marks)

    @property
    def organization_ids(self) -> frozenset[uuid.UUID]:
        return self.marks.of_ids(lambda actor, _: list(actor.organization_ids))

    def organizations_where(self, granted: Callable[[frozenset[str]], bool]) -> frozenset[uuid.UUID]:
        return self.marks.of_ids(lambda actor, _: list(actor.organizations_where(granted)))


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL with, for each parameter, where its value comes from."""

    sql: str
    sources: tuple[Callable[[Actor, tuple[Any, ...]], Any], ...]

    def row(self, actor: Actor, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
        with connection.cursor() as cursor:
            cursor.execute(self.sql, [source(actor, arguments) for source in self.sources])
            return cursor.fetchone()


Rows = Callable[..., QuerySet[Any, Any]]


@dataclass(slots=True)
class Read:
    """One compiled read. ``rows(actor, *arguments)`` returns a queryset ``values_list`` of expressions, the first of
    which is the JSON of the answer; the others are facts that the view decides by."""

    rows: Rows
    statements: dict[tuple[Any, ...], Statement] = field(default_factory=dict)

    def row(self, actor: Actor, *arguments: Any) -> tuple[Any, ...]:
        """The first row: JSON as text, then the other columns. Raises NotFound when there is none."""
        shape = (actor.scope, actor.site_roles, *(type(argument) for argument in arguments))
        statement = self.statements.get(shape)
        if statement is None:
            try:
                statement = self.statements[shape] = self._compile(actor, arguments)
            except EmptyResultSet:  # an actor of this kind sees nothing
                raise NotFound from None
        row = statement.row(actor, arguments)
        if row is None:
            raise NotFound
        return row

    def answer(self, actor: Actor, *arguments: Any) -> HttpResponse:
        """The JSON of the first row as an answer. Raises NotFound."""
        return json_answer(self.row(actor, *arguments)[0])

    def _compile(self, actor: Actor, arguments: tuple[Any, ...]) -> Statement:
        marks = Marks()
        marked = [marks.of_argument(index, value) for index, value in enumerate(arguments)]
        sql, parameters = self.rows(MarkedActor(actor, marks), *marked).query.sql_with_params()
        sources = [_source(marks, parameter) for parameter in parameters]
        for number, source in marks.limits.items():
            for clause in (f"LIMIT {number}", f"OFFSET {number}"):
                position = sql.find(clause)
                if position >= 0:
                    before = sql[:position].count("%s")
                    sql = sql.replace(clause, clause.replace(number, "%s"), 1)
                    sources.insert(before, source)
        return Statement(sql, tuple(sources))


def _source(marks: Marks, parameter: Any) -> Callable[[Actor, tuple[Any, ...]], Any]:
    key = parameter[0] if isinstance(parameter, list) and len(parameter) == 1 else parameter
    try:
        known = marks.sources.get(key)
    except TypeError:  # a list or dictionary: not a mark
        known = None
    return known or (lambda actor, arguments: parameter)


def json_answer(body: str) -> HttpResponse:
    """A body that the database built, as an answer of the API."""
    return HttpResponse(body + "\n", content_type=JSON_CONTENT_TYPE)


class AsText(Func):
    """JSON as text: as JSON it would be parsed on arrival."""

    template = "(%(expressions)s)::text"
    output_field = TextField()
