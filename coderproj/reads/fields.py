"""The allow-list of compiled reads: serializer and field classes whose JSON is known in SQL.

The class that defines a field's ``to_representation`` determines its JSON. A field is compiled only if that class is
listed here; any other causes a TypeError that names serializer and field. So PostgreSQL's JSON cannot differ unnoticed
from that of Django REST framework. Our own field classes list themselves::

    @compiles_to(Timestamp, DateTimeField)
    class MomentField(serializers.DateTimeField):
        def to_representation(self, value): ...
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from django.core.exceptions import FieldDoesNotExist
from django.db.models import BooleanField, CharField, ForeignKey, IntegerField, Model, TextField, UUIDField
from django.db.models import Field as ModelField
from rest_framework import serializers

Columns = tuple[type["ModelField[Any, Any]"], ...]
FieldT = TypeVar("FieldT", bound=type["serializers.Field[Any, Any, Any, Any]"])
SerializerT = TypeVar("SerializerT", bound=type["serializers.BaseSerializer[Any]"])

TEXTS: Columns = (CharField, TextField)
IDS: Columns = (UUIDField, ForeignKey)  # the foreign keys of compiled models hold UUIDs


@dataclass(frozen=True, slots=True)
class Rule:
    """How a serializer field becomes SQL. ``expression`` is applied to the column, which must be one of ``columns``.
    ``options`` are attributes of the serializer field that must have these values, because they change its JSON."""

    columns: Columns
    expression: Callable[[Any], Any] = lambda column: column
    options: tuple[tuple[str, Any], ...] = ()


# Float, Decimal and Date are not listed: no response has them, and PostgreSQL and Python write fractions differently.
FIELDS: dict[type, Rule] = {
    serializers.UUIDField: Rule(IDS, options=(("uuid_format", "hex_verbose"),)),
    serializers.CharField: Rule(TEXTS),
    serializers.ChoiceField: Rule(TEXTS),
    serializers.IntegerField: Rule((IntegerField,)),
    serializers.BigIntegerField: Rule((IntegerField,), options=(("coerce_to_string", False),)),
    serializers.BooleanField: Rule((BooleanField,)),
    serializers.ReadOnlyField: Rule((*IDS, *TEXTS, IntegerField, BooleanField)),
}
# Serializers that write their fields one by one, and whether they omit absent members as their Meta declares.
SERIALIZERS: dict[type, bool] = {serializers.Serializer: False}


def compiles_to(expression: Callable[[Any], Any], *columns: type["ModelField[Any, Any]"]) -> Callable[[FieldT], FieldT]:
    """Decorate a field class that defines ``to_representation``; ``expression`` is its SQL twin."""

    def listed(field: FieldT) -> FieldT:
        FIELDS[field] = Rule(columns, expression)
        return field

    return listed


def leaves_out_absent(serializer: SerializerT) -> SerializerT:
    """Decorate a serializer class that writes its fields one by one and omits members by ``omit_absent`` and
    ``omit_empty`` of its Meta, as ``json_sql.JsonObject`` does."""
    SERIALIZERS[serializer] = True
    return serializer


def rule_of(serializer: Any, name: str, field: Any) -> Rule:
    """Return the rule for a field. Raises TypeError naming serializer and field."""
    writer = _definer(field, "to_representation")
    rule = FIELDS.get(writer)
    if rule is None:
        raise unsupported(serializer, name, f"{type(field).__name__} is written by {writer.__name__}.to_representation")
    reader = _definer(field, "get_attribute")
    if reader is not serializers.Field:
        raise unsupported(serializer, name, f"{reader.__name__} has a get_attribute of its own")
    for option, value in rule.options:
        if getattr(field, option, value) != value:
            raise unsupported(serializer, name, f"{type(field).__name__} has another {option} than {value!r}")
    return rule


def require_supported(serializer: Any) -> bool:
    """Return True if the serializer omits absent members. Raises TypeError if it writes more than its fields."""
    writer = _definer(serializer, "to_representation")
    if writer not in SERIALIZERS:
        raise TypeError(f"cannot compile {type(serializer).__name__}: {writer.__name__} has its own to_representation")
    return SERIALIZERS[writer]


def require_one_row(serializer: Any, name: str, model: type[Model] | None, path: list[str]) -> None:
    """Raise TypeError if one of the relations in ``path`` leads to several rows or can lead to none.

    Several rows would repeat the row that the path starts from. For a missing row, REST framework writes null or omits
    the member, but the join would write an object of nulls.
    """
    for part in path:
        if model is None:
            return
        try:
            relation: Any = model._meta.get_field(part)
        except FieldDoesNotExist:  # an annotation or a foreign key's id, which compiling resolves or rejects
            return
        if relation.one_to_many or relation.many_to_many:
            raise unsupported(serializer, name, f"its source goes through {part}, which has several rows")
        if relation.is_relation and (relation.auto_created or relation.null):
            raise unsupported(serializer, name, f"its source goes through {part}, which can be missing")
        model = relation.related_model


def unsupported(serializer: Any, name: str, reason: str) -> TypeError:
    """Return the error for a field that cannot be compiled."""
    owner = serializer if isinstance(serializer, str) else type(serializer).__name__
    return TypeError(f"cannot compile {owner}.{name}: {reason}; see docs/compiled-reads.md")


def _definer(instance: Any, method: str) -> type:
    """Return the class in the ancestry of ``instance`` that defines a method."""
    return next(ancestor for ancestor in type(instance).__mro__ if method in vars(ancestor))
