"""Terraform values in the wire format: MessagePack, with unknown values and dynamically typed values.

In Python they are JSON types, plus ``UNKNOWN`` for a value that is not known yet. A value of the type ``dynamic`` is a
list ``[type as JSON bytes, value]``; see ``dynamic`` and ``split_dynamic``.
"""

import json
from typing import Any, Final, TypeAlias, TypeGuard, final

import msgpack

Value: TypeAlias = Any
TypeExpression: TypeAlias = str | list[Any]  # "string", ["map", "string"], ["object", {"a": "string"}]

# Extension codes of MessagePack: an unknown value, and an unknown value with refinements ("is not null").
_UNKNOWN_CODE = 0
_REFINED_UNKNOWN_CODE = 12


@final
class Unknown:
    """The type of ``UNKNOWN``, a value that is known only after an apply."""

    _instance: "Unknown | None" = None

    def __new__(cls) -> "Unknown":
        if cls._instance is None:
            cls._instance = super().__new__(cls)
        return cls._instance

    def __repr__(self) -> str:
        return "UNKNOWN"

    def __bool__(self) -> bool:
        raise TypeError("an unknown value is neither true nor false")


UNKNOWN: Final = Unknown()


def _decode_extension(code: int, data: bytes) -> Unknown:
    if code in (_UNKNOWN_CODE, _REFINED_UNKNOWN_CODE):
        return UNKNOWN
    raise ValueError(f"MessagePack extension {code} with {len(data)} bytes is not a Terraform value")


def _encode_unknown(value: object) -> msgpack.ExtType:
    if value is UNKNOWN:
        return msgpack.ExtType(_UNKNOWN_CODE, b"\0")
    raise TypeError(f"{type(value).__name__} is not a Terraform value")


def decode(data: bytes) -> Value:
    """Decode MessagePack. Empty bytes are null, numbers with more than 64 bits are text. Raises ValueError."""
    if not data:
        return None
    return msgpack.unpackb(data, raw=False, ext_hook=_decode_extension)


def encode(value: Value) -> bytes:
    """Encode a value as MessagePack. Raises TypeError if it contains something that is not a Terraform value."""
    packed: bytes = msgpack.packb(value, use_bin_type=True, default=_encode_unknown)
    return packed


def dynamic(type_expression: TypeExpression, value: Value) -> list[Value]:
    """Return the wire format of a value with a dynamic type."""
    return [json.dumps(type_expression, separators=(",", ":")).encode(), value]


def split_dynamic(value: Value) -> tuple[TypeExpression, Value] | None:
    """Return type and value of a dynamic value; None for null, unknown and statically typed values."""
    match value:
        case [bytes() as type_json, inner]:
            return json.loads(type_json), inner
    return None


def is_set(value: Value) -> TypeGuard[Any]:
    """True if a value is neither null nor unknown."""
    return value is not None and value is not UNKNOWN
