"""The allow-list of compiled reads: serializer and field classes whose JSON is known in SQL.

What a field writes is decided by the class in its ancestry that defines ``to_representation``. Only if that class is
listed here is the field compiled; every other one is a TypeError that names serializer and field, so that an answer of
PostgreSQL cannot differ unnoticed from one of Django REST framework. A class of ours lists itself::

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
    """How a serializer field becomes SQL. ``expression`` makes it of the column, which must be one of ``columns``.
    ``options`` are attributes of the serializer field that must have this value, as they change what it writes."""

    columns: Columns
    expression: Callable[[Any], Any] = lambda column: column
    options: tuple[tuple[str, Any], ...] = ()


# Float, Decimal and Date are not listed: no answer has them, and numbers with a fraction are written differently by
# PostgreSQL and Python.
FIELDS: dict[type, Rule] = {
    serializers.UUIDField: Rule(IDS, options=(("uuid_format", "hex_verbose"),)),
    serializers.CharField: Rule(TEXTS),
    serializers.ChoiceField: Rule(TEXTS),
    serializers.IntegerField: Rule((IntegerField,)),
    serializers.BigIntegerField: Rule((IntegerField,), options=(("coerce_to_string", False),)),
    serializers.BooleanField: Rule((BooleanField,)),
    serializers.ReadOnlyField: Rule((*IDS, *TEXTS, IntegerField, BooleanField)),
}
# Serializers that write their fields one by one, and whether they leave out absent members as their Meta says.
SERIALIZERS: dict[type, bool] = {serializers.Serializer: False}


def compiles_to(expression: Callable[[Any], Any], *columns: type["ModelField[Any, Any]"]) -> Callable[[FieldT], FieldT]:
    """Decorate a field class with a ``to_representation`` of its own, of which ``expression`` is the SQL twin."""

    def listed(field: FieldT) -> FieldT:
        FIELDS[field] = Rule(columns, expression)
        return field

    return listed


def leaves_out_absent(serializer: SerializerT) -> SerializerT:
    """Decorate a serializer class that writes its fields one by one and leaves members out by ``omit_absent`` and
    ``omit_empty`` of its Meta, as ``json_sql.JsonObject`` does."""
    SERIALIZERS[serializer] = True
    return serializer


def rule_of(serializer: Any, name: str, field: Any) -> Rule:
    """The rule for a field. Raises TypeError naming serializer and field."""
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
    """Whether the serializer leaves out absent members. Raises TypeError for one that writes more than its fields."""
    writer = _definer(serializer, "to_representation")
    if writer not in SERIALIZERS:
        raise TypeError(f"cannot compile {type(serializer).__name__}: {writer.__name__} has its own to_representation")
    return SERIALIZERS[writer]


def require_one_row(serializer: Any, name: str, model: type[Model] | None, path: list[str]) -> None:
    """Raise TypeError if a dotted source leads to several rows, for which it would repeat the row it starts from."""
    for part in path:
        if model is None:
            return
        try:
            relation: Any = model._meta.get_field(part)
        except FieldDoesNotExist:  # an annotation or an id of a foreign key: compiling finds it, or not
            return
        if relation.one_to_many or relation.many_to_many:
            raise unsupported(serializer, name, f"its source leads over {part}, which are several rows")
        model = relation.related_model


def unsupported(serializer: Any, name: str, reason: str) -> TypeError:
    """The error of a field that cannot be compiled."""
    owner = serializer if isinstance(serializer, str) else type(serializer).__name__
    return TypeError(f"cannot compile {owner}.{name}: {reason}; see docs/compiled-reads.md")


def _definer(instance: Any, method: str) -> type:
    """The class in the ancestry of ``instance`` that defines a method."""
    return next(ancestor for ancestor in type(instance).__mro__ if method in vars(ancestor))
