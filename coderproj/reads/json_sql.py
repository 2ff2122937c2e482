"""Serializers compiled to SQL expressions that build the JSON of an answer.

The serializers remain the only description of a response's shape: the schema and the responses to writes use them, and
every compiled read is tested against them. A value that a serializer computes in Python (a ``SerializerMethodField``)
has a twin ``sql_<name>(prefix)`` beside its ``get_<name>``, which returns a Django expression.

For example, with this serializer ::

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

``Pet.objects.values_list(json_object(PetSerializer()))`` is one column of text, in SQL ::

    SELECT concat('{"id":"', pet.id,                                   -- UUIDField: quoted unchanged
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

With ``Meta.omit_absent``, a member that can be NULL is ``',"age":' || …`` instead: NULL as a whole, which ``concat``
omits. Empty texts of ``Meta.omit_empty`` are omitted in the same way. ``prefix`` is the lookup from the query's rows to
the serializer's: ``""`` here, and ``pet__`` if a ``VisitSerializer`` has ``pet = PetSerializer()``.

Only serializers and fields on the allow-list of ``reads.fields`` are compiled; others raise TypeError.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, ClassVar

from django.db.models import (
    BooleanField,
    CharField,
    F,
    ForeignKey,
    Func,
    IntegerField,
    Subquery,
    TextField,
    UUIDField,
    Value,
)
from django.db.models.expressions import Col
from django.db.models.sql.constants import LOUTER

from coderproj.base.json_text import to_json
from coderproj.reads.fields import (
    Columns,
    unsupported,
)


class Json(Func):
    """An expression whose value is JSON text, which is written into an object unchanged."""

    output_field = TextField()


class JsonObject(Json):
    """One JSON object of named expressions, joined by ``concat``.

    The type of a value determines how it is written: texts are escaped, ids quoted, numbers unchanged. ``concat`` skips
    NULL: with ``omit_absent`` a member without a value is omitted (the first one always has a value), else it is
    ``null``. An empty text of ``omit_empty`` is omitted as well. Building text is several times cheaper than
    ``row_to_json`` with ``json_strip_nulls``.

    ``owner`` is the serializer's name for errors; ``columns`` has, by key, the kinds of columns that a member may read.
    """

    def __init__(
        self,
        members: dict[str, Any],
        *,
        owner: str = "an object",
        columns: Mapping[str, Columns] | None = None,
        omit_absent: bool = False,
        omit_empty: Collection[str] = (),
    ) -> None:
        self.keys = list(members)
        self.owner = owner
        self.columns = columns or {}
        self.omit_absent = omit_absent
        self.omit_empty = omit_empty
        super().__init__(*members.values())

    def as_sql(self, compiler: Any, connection: Any, **extra: Any) -> tuple[str, list[Any]]:  # type: ignore[override]
        text = _Concatenation()
        self.add_to(text, compiler)
        return text.sql(), text.parameters

    def add_to(self, text: "_Concatenation", compiler: Any) -> None:
        """Write the object into ``text``. A nested object shares the text of the outer one."""
        for key, expression in zip(self.keys, self.source_expressions, strict=True):
            is_first = key == self.keys[0]
            # Names come from serializers, never from a request.
            name = f'{"{" if is_first else ","}"{key}":'
            if isinstance(expression, JsonObject):
                text.add_text(name)
                expression.add_to(text, compiler)
                continue
            sql, parameters = compiler.compile(expression)
            self._require_columns(key, expression)
            try:
                before, written, after = _written(expression, sql)
            except TypeError as error:
                raise unsupported(self.owner, key, str(error)) from None
            if is_first and (key in self.omit_empty or (self.omit_absent and _may_be_null(expression, compiler))):
                raise unsupported(self.owner, key, "the first member may be absent: nothing could follow it")
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

    def _require_columns(self, key: str, expression: Any) -> None:
        """Raise TypeError if the serializer field and the column hold different types, which would be written
        differently."""
        allowed = self.columns.get(key)
        if allowed is None:
            return
        column = expression.source_expressions[0] if isinstance(expression, Timestamp | StoredJson) else expression
        if not isinstance(column.output_field, allowed):
            names = ", ".join(kind.__name__ for kind in allowed)
            raise unsupported(self.owner, key, f"it reads a {type(column.output_field).__name__}, not {names}")


class _Concatenation:
    """The arguments of ``concat``: constant text, adjacent pieces of it joined, and expressions."""

    LIMIT = 90  # PostgreSQL accepts 100 arguments

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
    """Return the text before a value, the value as an argument of ``concat``, and the text after it. Raises
    TypeError."""
    match expression:
        case Json() | JsonList() | Constant():
            return "", sql, ""
        case Timestamp():
            return '"', sql, MOMENT_END + '"'
    match expression.output_field:
        case UUIDField() | ForeignKey():  # the foreign keys of compiled models hold UUIDs
            return '"', sql, '"'
        case IntegerField():
            return "", sql, ""
        case BooleanField():
            return "", f"({sql})::text", ""
        case CharField() | TextField() as field:
            return "", text_sql(f"({sql})::text", _known(field) if isinstance(expression, Col) else ()), ""
    raise TypeError(f"do not know how to write a {type(expression.output_field).__name__} as JSON")


# Comparing a text with this many known ones is still cheaper than escaping it.
MOST_KNOWN = 6
PLAIN_WORD = re.compile(r"[\w-]*", re.ASCII)


def _known(field: "CharField[Any, Any] | TextField[Any, Any]") -> list[str]:
    """Return the likely values of a text column: its choices, and the empty text if it may be blank."""
    choices = [str(word) for word, _ in field.flatchoices]
    words = [*([""] if field.blank else []), *(choices if len(choices) <= MOST_KNOWN else [])]
    # With a collation, two spellings could be equal.
    return [word for word in words if PLAIN_WORD.fullmatch(word) and field.db_collation is None]


def text_sql(text: str, known: Iterable[str] = ()) -> str:
    """Return SQL for a text as JSON. ``known`` are likely texts without escapes: finding one costs a third of an
    escape."""
    words = "".join(f""" WHEN '{word}' THEN '"{word}"'::json""" for word in known)
    return f"CASE {text}{words} ELSE to_json({text}) END" if words else f"to_json({text})"


def _joined(before: str, sql: str, after: str) -> str:
    """Return the pieces as one text, which is NULL if the value is."""
    pieces = (f"'{before}'" if before else "", f"({sql})::text", f"'{after}'" if after else "")
    return " || ".join(piece for piece in pieces if piece)


def _may_be_null(expression: Any, compiler: Any) -> bool:
    """Return False only for a column that is not NULL, of a row that an inner join requires."""
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
    """The same, for a few rows within each of many: 3 % cheaper for a version's resources, 4 % more expensive for a
    list of 1,000."""

    template = "concat('[', array_to_string(ARRAY(%(subquery)s), ','), ']')"


class JsonRow(JsonList):
    """The JSON text of a subquery of one row, which must exist."""

    template = "(%(subquery)s)"


class StoredJson(Json):
    """A JSON column without PostgreSQL's whitespace. Nulls within it are omitted; no stored value has any."""

    template = "json_strip_nulls((%(expressions)s)::json)::text"
    # By a column's default: its most frequent value, which needs no parsing.
    EMPTY: ClassVar[dict[Any, str]] = {list: "[]", dict: "{}"}
    EMPTY_TEXT = ""  # the replacement of that value, if not blank

    def as_sql(self, compiler: Any, connection: Any, **extra: Any) -> tuple[str, list[Any]]:  # type: ignore[override]
        sql, parameters = super().as_sql(compiler, connection, **extra)
        (column,) = self.source_expressions
        empty = self.EMPTY.get(column.target.default) if isinstance(column, Col) else None
        if empty is not None:
            text, _ = compiler.compile(column)
            sql = f"CASE {text} WHEN '{empty}' THEN '{self.EMPTY_TEXT or empty}' ELSE {sql} END"
        return sql, list(parameters)


class FilledJson(StoredJson):
    """The same, with ``null`` instead of an empty object."""

    EMPTY_TEXT = "null"


class StoredObjects(Json):
    """A JSON column with a list of objects. Members are written in the order of ``names``, because ``jsonb`` has its
    own order."""

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


class WrittenJson(Json):
    """The first of these texts that is not NULL, each of them JSON as the answer has it."""

    function = "coalesce"


class Constant(Value):
    """A JSON text that is the same for every row."""

    def __init__(self, value: Any) -> None:
        super().__init__(to_json(value).decode().strip(), output_field=TextField())

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:  # type: ignore[override]
        sql, parameters = super().as_sql(compiler, connection)
        return f"{sql}::text", list(parameters)


# The text after ``moment_sql``. Joined to other constant texts, it costs nothing.
MOMENT_END = "Z"


def moment_sql(moment: str) -> str:
    """Return SQL for a time as the API writes it (``times.moment_text``), without quotes and MOMENT_END. It costs less
    than half of ``to_char``. Like psycopg, it requires an ISO ``DateStyle``."""
    return f"replace(({moment} AT TIME ZONE 'UTC')::text, ' ', 'T')"


class Timestamp(Func):
    """A time: ``moment_sql``. Only as a member does it get MOMENT_END, not within another expression."""

    template = moment_sql("%(expressions)s")
    output_field = TextField()
