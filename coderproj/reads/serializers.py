"""Serializers as expressions of ``json_sql``: whole ones, nested ones and lists."""

from collections.abc import Sequence
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db.models import F, Model, OuterRef, QuerySet
from rest_framework import serializers

from coderproj.reads.fields import (
    Columns,
    require_one_row,
    require_supported,
    rule_of,
    unsupported,
)
from coderproj.reads.json_sql import JsonList, JsonObject, ShortJsonList, WrittenJson


def json_object(
    serializer: serializers.BaseSerializer[Any], prefix: str = "", model: type[Model] | None = None
) -> JsonObject:
    """Return the expression that builds the JSON of ``serializer`` for the row at ``prefix`` (``job__``).

    ``Meta.stored_members`` has, by column, members that the column holds as text: the value of the first one, then the
    others with their names. ``model`` is the row's model, for serializers that do not name it. Raises TypeError for
    serializers and fields that are not on the allow-list of ``reads.fields``.
    """
    leaves_out = require_supported(serializer)
    meta = getattr(serializer, "Meta", None)
    model = getattr(meta, "model", model)
    members: dict[str, Any] = {}
    columns: dict[str, Columns] = {}
    stored = getattr(meta, "stored_members", {})
    first_of = {names[0]: column for column, names in stored.items()}
    written = {name for names in stored.values() for name in names[1:]}
    for name, member in serializer.fields.items():  # type: ignore[attr-defined]
        if member.write_only or name in written:
            continue
        if name in first_of:
            _require_adjacent(serializer, stored[first_of[name]])
            members[name] = WrittenJson(F(prefix + first_of[name]))
            continue
        twin = getattr(serializer, f"sql_{name}", None)
        if twin is not None:
            members[name] = twin(prefix)
        elif leaves_out and name in getattr(meta, "keep_null", ()):
            raise unsupported(serializer, name, f"a member of keep_null needs sql_{name}(prefix)")
        elif isinstance(member, serializers.BaseSerializer):
            members[name] = _nested(serializer, name, member, prefix, model)
        elif isinstance(member, serializers.SerializerMethodField):
            raise unsupported(serializer, name, f"it needs sql_{name}(prefix)")
        else:
            rule = rule_of(serializer, name, member)
            path = (member.source or name).split(".")
            require_one_row(serializer, name, model, path[:-1])
            members[name] = rule.expression(F(prefix + "__".join(path)))
            columns[name] = rule.columns
    return JsonObject(
        members,
        owner=type(serializer).__name__,
        columns=columns,
        omit_absent=leaves_out and getattr(meta, "omit_absent", False),
        omit_empty=getattr(meta, "omit_empty", ()) if leaves_out else (),
    )


def _require_adjacent(serializer: Any, names: Sequence[str]) -> None:
    """Raise TypeError unless the members that one column holds follow each other, in its order."""
    fields = list(serializer.fields)
    start = fields.index(names[0])
    if fields[start : start + len(names)] != list(names):
        raise unsupported(serializer, names[0], "the members of a stored text are not adjacent, or in another order")


def _nested(
    serializer: Any, name: str, member: serializers.BaseSerializer[Any], prefix: str, model: type[Model] | None
) -> Any:
    """Return the object or list of a nested serializer. Raises TypeError."""
    source = member.source or name
    if isinstance(member, serializers.ListSerializer):
        return _related_list(serializer, name, member, source, prefix, model)
    if source == "*":
        return json_object(member, prefix, model)
    path = source.split(".")
    require_one_row(serializer, name, model, path)
    return json_object(member, f"{prefix}{'__'.join(path)}__")


def _related_list(
    serializer: Any,
    name: str,
    member: serializers.ListSerializer[Any],
    source: str,
    prefix: str,
    model: type[Model] | None,
) -> ShortJsonList:
    if type(member) is not serializers.ListSerializer:
        raise unsupported(serializer, name, f"it is a {type(member).__name__}")
    try:
        relation: Any = None if model is None else model._meta.get_field(source)
    except FieldDoesNotExist:
        relation = None
    if relation is None or not relation.one_to_many:
        raise unsupported(serializer, name, f"its source {source} is not a relation of rows that point to this one")
    rows = relation.related_model._default_manager.filter(**{relation.field.name: OuterRef(f"{prefix}pk")})
    child: Any = member.child
    order = getattr(child.Meta, "list_order", ("pk",))
    return ShortJsonList(rows.order_by(*order).values_list(json_object(child), flat=True))


def json_list(rows: QuerySet[Any], serializer: Any) -> JsonList:
    """Return the rows as a JSON array, in their order, each as the serializer writes it."""
    return JsonList(rows.values_list(json_object(serializer), flat=True))
