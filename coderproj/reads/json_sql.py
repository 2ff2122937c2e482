"""Serializers compiled to SQL expressions that build the JSON of an answer.

The serializers stay the one description of an answer's shape: they make the schema and the answers to writes, and
every compiled read is tested against them. What a serializer computes in Python (a ``SerializerMethodField``) has a
twin ``sql_<name>(prefix)`` beside its ``get_<name>``, which returns a Django expression.

An example. Of this serializer ::

    class PetSerializer(AnswerSerializer):
        owner_name = serializers.CharField(source="owner.username")   # another row's column
        age = serializers.SerializerMethodField()                     # computed
        toys = ToySerializer(many=True)                               # rows that point here

        class Meta:
            model = Pet
            fields = ["id", "born_at", "name", "owner_name", "age", "toys"]

        def get_age(self, pet: Pet) -> int:
            return THIS_YEAR - pet.year

        def sql_age(self, prefix: str) -> Any:
            return Value(THIS_YEAR) - F(f"{prefix}year")

``Pet.objects.values_list(json_object(PetSerializer()))`` is one column of text, in PostgreSQL's words ::

    SELECT concat('{"id":"', pet.id,                                   -- UUIDField: quoted as it is
                  '","born_at":"', replace((pet.born_at AT TIME ZONE 'UTC')::text, ' ', 'T'),
                  'Z","name":', to_json(pet.name::text),               -- text: escaped; by CASE if it may be blank
                  ',"owner_name":', to_json(owner.username::text),     -- F("owner__username") made the join
                  ',"age":', coalesce((2026 - pet.year)::text, 'null'),  -- an expression: it might be NULL
                  ',"toys":', concat('[', array_to_string(ARRAY(
                      SELECT concat('{"id":"', …, '}') FROM toy WHERE toy.pet_id = pet.id
                       ORDER BY …                                       -- Meta.list_order of ToySerializer
                  ), ','), ']'),
                  '}')
      FROM pet JOIN owner ON …

With ``Meta.omit_absent`` a member that may be NULL is ``',"age":' || …`` instead: NULL as a whole, and ``concat``
leaves it out; so does a text of ``Meta.omit_empty`` that is empty. ``prefix`` is what leads from the query's rows to
the serializer's: ``""`` here, and ``pet__`` where a ``VisitSerializer`` has ``pet = PetSerializer()``.
"""

import re
from collections.abc import Collection, Iterable
from typing import Any, ClassVar

from django.db.models import (
    BooleanField,
    CharField,
    F,
    ForeignKey,
    Func,
    IntegerField,
    Model,
    OuterRef,
    QuerySet,
    Subquery,
    TextField,
    UUIDField,
    Value,
)
from django.db.models.expressions import Col
from django.db.models.sql.constants import LOUTER
from rest_framework import serializers

from coderproj.base.json_text import to_json


class Json(Func):
    """An expression whose value is JSON text: it goes into an object as it is."""

    output_field = TextField()


class JsonObject(Json):
    """One JSON object of named expressions, put together by ``concat``.

    How a value is written follows from its field: texts are escaped, ids quoted, numbers as they are. ``concat`` skips
    NULL: with ``omit_absent`` a member without a value is left out (the first one always has a value), else it is
    ``null``. An empty text of ``omit_empty`` is left out, too. Building text is several times cheaper than
    ``row_to_json`` with ``json_strip_nulls``.
    """

    def __init__(self, members: dict[str, Any], *, omit_absent: bool = False, omit_empty: Collection[str] = ()) -> None:
        self.keys = list(members)
        self.omit_absent = omit_absent
        self.omit_empty = omit_empty
        super().__init__(*members.values())

    def as_sql(self, compiler: Any, connection: Any, **extra: Any) -> tuple[str, list[Any]]:  # type: ignore[override]
        text = _Concatenation()
        self.add_to(text, compiler)
        return text.sql(), text.parameters

    def add_to(self, text: "_Concatenation", compiler: Any) -> None:
        """An object within an object is written into the same text, not put together by itself first."""
        for key, expression in zip(self.keys, self.source_expressions, strict=True):
            is_first = key == self.keys[0]
            # Names come from serializers, never from a request.
            name = f'{"{" if is_first else ","}"{key}":'
            if isinstance(expression, JsonObject):
                text.add_text(name)
                expression.add_to(text, compiler)
                continue
            sql, parameters = compiler.compile(expression)
            before, written, after = _written(expression, sql)
            if is_first and (key in self.omit_empty or (self.omit_absent and _may_be_null(expression, compiler))):
                raise TypeError(f"the first member, {key!r}, may be absent: nothing could follow it")
            if key in self.omit_empty:
                escaped = _joined(name, text_sql(f"({sql})::text"), "")
                text.add(f"CASE ({sql})::text WHEN '' THEN NULL ELSE {escaped} END", [*parameters, *parameters])
            elif not _may_be_null(expression, compiler):
                text.add_text(name + before)
                text.add(written, parameters)
                text.add_text(after)
            elif self.omit_absent:
                text.add(_joined(name + before, written, after), parameters)
            else:
                text.add_text(name)
                text.add(f"coalesce({_joined(before, written, after)}, 'null')", parameters)
        text.add_text("}")


class _Concatenation:
    """The arguments of ``concat``: constant text, adjacent pieces of it joined, and expressions."""

    LIMIT = 90  # PostgreSQL takes 100 arguments

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.parameters: list[Any] = []
        self._text = ""

    def add_text(self, text: str) -> None:
        self._text += text

    def add(self, sql: str, parameters: Iterable[Any]) -> None:
        self._end_text()
        self.pieces.append(sql)
        self.parameters += parameters

    def sql(self) -> str:
        self._end_text()
        parts = [self.pieces[at : at + self.LIMIT] for at in range(0, len(self.pieces), self.LIMIT)]
        calls = [f"concat({', '.join(part)})" for part in parts]
        return calls[0] if len(calls) == 1 else f"concat({', '.join(calls)})"

    def _end_text(self) -> None:
        if self._text:
            self.pieces.append(f"'{self._text}'")
            self._text = ""


def _written(expression: Any, sql: str) -> tuple[str, str, str]:
    """What comes before the value, the value as ``concat`` takes it, what comes after it. Raises TypeError."""
    match expression:
        case Json() | JsonList() | Constant():
            return "", sql, ""
        case Timestamp():
            return '"', sql, MOMENT_END + '"'
    match expression.output_field:
        case UUIDField() | ForeignKey():  # foreign keys of ours hold UUIDs
            return '"', sql, '"'
        case IntegerField():
            return "", sql, ""
        case BooleanField():
            return "", f"({sql})::text", ""
        case CharField() | TextField() as field:
            return "", text_sql(f"({sql})::text", _known(field) if isinstance(expression, Col) else ()), ""
    raise TypeError(f"do not know how to write a {type(expression.output_field).__name__} as JSON")


# Comparing a text with so many known ones still takes less than an escape.
MOST_KNOWN = 6
PLAIN_WORD = re.compile(r"[\w-]*", re.ASCII)


def _known(field: "CharField[Any, Any] | TextField[Any, Any]") -> list[str]:
    """What a column of text is likely to hold: one of its choices, or nothing."""
    choices = [str(word) for word, _ in field.flatchoices]
    words = [*([""] if field.blank else []), *(choices if len(choices) <= MOST_KNOWN else [])]
    # A collation might find two spellings equal.
    return [word for word in words if PLAIN_WORD.fullmatch(word) and field.db_collation is None]


def text_sql(text: str, known: Iterable[str] = ()) -> str:
    """SQL for a text as JSON. These texts, which need no escapes, are known: that takes a third of an escape."""
    words = "".join(f""" WHEN '{word}' THEN '"{word}"'::json""" for word in known)
    return f"CASE {text}{words} ELSE to_json({text}) END" if words else f"to_json({text})"


def _joined(before: str, sql: str, after: str) -> str:
    """The pieces as one text, NULL when the value is."""
    pieces = (f"'{before}'" if before else "", f"({sql})::text", f"'{after}'" if after else "")
    return " || ".join(piece for piece in pieces if piece)


def _may_be_null(expression: Any, compiler: Any) -> bool:
    """Whether a value may be NULL, as far as one can tell: a column that may not be, of a row that must be there."""
    if isinstance(expression, Timestamp | StoredJson):
        (expression,) = expression.source_expressions
    elif isinstance(expression, Json | JsonList | Value):
        return isinstance(expression, Value) and expression.value is None
    if not isinstance(expression, Col) or expression.target.null:
        return True
    table = compiler.query.alias_map.get(expression.alias)
    return table is None or table.join_type == LOUTER


class JsonList(Subquery):
    """The rows of a subquery of one column of JSON text as a JSON array, in the subquery's order."""

    template = "(SELECT concat('[', string_agg(rows_.row_, ','), ']') FROM (%(subquery)s) rows_(row_))"
    output_field = TextField()


class ShortJsonList(JsonList):
    """The same for a few rows within each of many: 3 % less for a version's resources, 4 % more for a list of 1,000."""

    template = "concat('[', array_to_string(ARRAY(%(subquery)s), ','), ']')"


class StoredJson(Json):
    """A JSON column without the blanks that PostgreSQL puts into it. Nulls within it are left out: none of ours has
    any."""

    template = "json_strip_nulls((%(expressions)s)::json)::text"
    # What a column that is seldom filled mostly holds, by its default: it needs no parsing.
    EMPTY: ClassVar[dict[Any, str]] = {list: "[]", dict: "{}"}
    EMPTY_TEXT = ""  # what to write for it; blank: itself

    def as_sql(self, compiler: Any, connection: Any, **extra: Any) -> tuple[str, list[Any]]:  # type: ignore[override]
        sql, parameters = super().as_sql(compiler, connection, **extra)
        (column,) = self.source_expressions
        empty = self.EMPTY.get(column.target.default) if isinstance(column, Col) else None
        if empty is not None:
            text, _ = compiler.compile(column)
            sql = f"CASE {text} WHEN '{empty}' THEN '{self.EMPTY_TEXT or empty}' ELSE {sql} END"
        return sql, list(parameters)


class FilledJson(StoredJson):
    """The same, ``null`` instead of an empty object."""

    EMPTY_TEXT = "null"


class StoredObjects(Json):
    """A JSON column that holds a list of objects, with these members in this order: ``jsonb`` has one of its own."""

    template = (
        "(SELECT concat('[', string_agg(concat({members}), ',' ORDER BY place_), ']')"
        " FROM jsonb_array_elements(%(expressions)s) WITH ORDINALITY stored_(object_, place_))"
    )

    def __init__(self, column: F, names: Iterable[str]) -> None:
        text = _Concatenation()
        for number, name in enumerate(names):
            text.add_text(f'{"," if number else "{"}"{name}":')
            text.add(f"coalesce(object_->'{name}', 'null')", ())
        text.add_text("}")
        super().__init__(column, template=self.template.format(members=text.sql()))


class Constant(Value):
    """A JSON text that is the same for every row."""

    def __init__(self, value: Any) -> None:
        super().__init__(to_json(value).decode().strip(), output_field=TextField())

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:  # type: ignore[override]
        sql, parameters = super().as_sql(compiler, connection)
        return f"{sql}::text", list(parameters)


# What follows ``moment_sql``: among the constant texts it costs nothing.
MOMENT_END = "Z"


def moment_sql(moment: str) -> str:
    """SQL for a time as the API writes it (``moments.moment_text``), without quotes and MOMENT_END. Less than half
    of the price of ``to_char``. Like psycopg it counts on an ISO ``DateStyle``."""
    return f"replace(({moment} AT TIME ZONE 'UTC')::text, ' ', 'T')"


class Timestamp(Func):
    """A time: ``moment_sql``. As a member it gets MOMENT_END; within another expression it would have none."""

    template = moment_sql("%(expressions)s")
    output_field = TextField()


def json_object(serializer: serializers.BaseSerializer[Any], prefix: str = "") -> JsonObject:
    """The expression that builds what ``serializer`` answers, of the row that ``prefix`` (``job__``) leads to."""
    members: dict[str, Any] = {}
    for name, serializer_field in serializer.fields.items():  # type: ignore[attr-defined]
        members[name] = _member(serializer, name, serializer_field, prefix)
    meta = getattr(serializer, "Meta", None)
    return JsonObject(
        members, omit_absent=getattr(meta, "omit_absent", False), omit_empty=getattr(meta, "omit_empty", ())
    )


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


def _related_list(
    model: type[Model], member: serializers.ListSerializer[Any], source: str, prefix: str
) -> ShortJsonList:
    relation: Any = model._meta.get_field(source)
    child = relation.related_model
    rows = child._default_manager.filter(**{relation.field.name: OuterRef(f"{prefix}pk")})
    serializer: Any = member.child
    order = getattr(serializer.Meta, "list_order", ("pk",))
    return ShortJsonList(rows.order_by(*order).values_list(json_object(serializer), flat=True))


def json_list(rows: QuerySet[Any], serializer: Any) -> JsonList:
    """The rows, in their order, each as the serializer writes it."""
    return JsonList(rows.values_list(json_object(serializer), flat=True))
