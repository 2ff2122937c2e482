"""Base classes of serializers for responses and bodies, and shared fields."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, ClassVar

from django.db import models
from rest_framework import serializers

from coderproj.base.identifiers import NIL, parse_uuid
from coderproj.base.times import moment_text
from coderproj.reads.fields import compiles_to, leaves_out_absent
from coderproj.reads.json_sql import Timestamp


@compiles_to(Timestamp, models.DateTimeField)
class MomentField(serializers.DateTimeField):
    """A time in a response, formatted by ``moment_text``."""

    def to_representation(self, value: datetime) -> str:
        return moment_text(value)


@leaves_out_absent
class AnswerSerializer(serializers.ModelSerializer[models.Model]):
    """Describes a response. Fields have the order of the documented structures.

    ``Meta.omit_absent`` omits fields without a value, except those in ``Meta.keep_null``; ids and times are never
    ``""``. ``Meta.omit_empty`` lists text fields that are omitted when they are empty.
    """

    serializer_field_mapping: ClassVar = {
        **serializers.ModelSerializer.serializer_field_mapping,
        models.DateTimeField: MomentField,
    }

    def omitted_fields(self) -> Iterator[str]:
        """Yield the names of the fields that a response can omit."""
        yield from getattr(self.Meta, "omit_empty", ())
        if getattr(self.Meta, "omit_absent", False):
            kept = getattr(self.Meta, "keep_null", ())
            yield from (name for name, _ in self.fields.items() if name not in kept and self._can_be_null(name))

    def _can_be_null(self, name: str) -> bool:
        """Return True for a field that is declared with ``allow_null``, or whose column can be null."""
        model: type[models.Model] = self.Meta.model
        nullable = {field.attname for field in model._meta.concrete_fields if field.null}
        return self.fields[name].allow_null or self.fields[name].source in nullable

    def to_representation(self, instance: Any) -> dict[str, Any]:
        values = super().to_representation(instance)
        if getattr(self.Meta, "omit_absent", False):
            kept = getattr(self.Meta, "keep_null", ())
            values = {name: value for name, value in values.items() if value is not None or name in kept}
        for name in getattr(self.Meta, "omit_empty", ()):
            if values.get(name) == "":
                del values[name]
        return values


class BodySerializer(serializers.Serializer[Any]):
    """Describes a request body. Unknown keys are ignored, and keys match in any case, the exact spelling first
    (contract, body decoding). ``null`` is an empty list or map, because Go clients send those as null; for other fields
    it counts as absent."""

    def to_internal_value(self, data: Any) -> Any:
        return super().to_internal_value(self.normalised(data) if isinstance(data, dict) else data)

    def normalised(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return the sent values keyed by field name, with ``null`` replaced or left out."""
        known = set(self.fields.keys())
        exact = known & data.keys()
        folded = {name.lower(): name for name in known - exact}
        named = {name if name in exact else folded.get(name.lower(), name): value for name, value in data.items()}
        values = {name: self._empty(name) if value is None else value for name, value in named.items()}
        return {name: value for name, value in values.items() if value is not None}

    def _empty(self, name: str) -> list[Any] | dict[str, Any] | None:
        """Return the empty value of a field that is a list or a map, None for any other."""
        match self.fields.get(name):
            case serializers.ListField() | serializers.ListSerializer():
                return []
            case serializers.DictField():
                return {}
        return None


class BodyUUIDField(serializers.Field[Any, Any, Any, Any]):
    """A UUID in a body. The nil UUID and the empty string count as absent."""

    default_error_messages = {"invalid": "Must be a valid UUID.", "required": "This field is required."}

    def to_internal_value(self, data: Any) -> Any:
        text = data if isinstance(data, str) else "not a UUID"
        value = parse_uuid(text) if text else NIL
        if value is None:
            self.fail("invalid")
        if value == NIL:
            if self.required:
                self.fail("required")
            return None
        return value

    def to_representation(self, value: Any) -> str:
        return str(value)


class StrictTextField(serializers.CharField):
    """A JSON string. Numbers and booleans are rejected; surrounding whitespace is kept."""

    default_error_messages = {"not_text": "Must be a string."}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(trim_whitespace=False, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("not_text")
        return super().to_internal_value(data)


class StrictIntegerField(serializers.IntegerField):
    """A JSON number without a fraction. Strings and booleans are rejected."""

    default_error_messages = {"not_integer": "Must be a whole number."}

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("not_integer")
        return super().to_internal_value(data)


class StrictBooleanField(serializers.BooleanField):
    """``true`` or ``false``. Strings and numbers are rejected."""

    default_error_messages = {"not_boolean": "Must be true or false."}

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("not_boolean")
        return data
