"""Terraform values on the wire: MessagePack, with unknown values and values that carry their own type.

In Python they are plain JSON types, plus ``UNKNOWN`` for a value that is not known yet. A value of the type
``dynamic`` is a list of two, ``[type as JSON bytes, value]``; see ``dynamic`` and ``split_dynamic``.
"""

import json
from typing import Any, Final, TypeAlias, TypeGuard, final

import msgpack

Value: TypeAlias = Any
TypeExpression: TypeAlias = str | list[Any]  # "string", ["map", "string"], ["object", {"a": "string"}]

# Extension codes of MessagePack: a plain unknown value, and an unknown value with refinements ("is not
# null").
_UNKNOWN_CODE = 0
_REFINED_UNKNOWN_CODE = 12


@final
class Unknown:
    """The type of ``UNKNOWN``, a value known only after an apply."""

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
    raise ValueError(f"MessagePack extension {code} with {len(data)} bytes is no Terraform value")


def _encode_unknown(value: object) -> msgpack.ExtType:
    if value is UNKNOWN:
        return msgpack.ExtType(_UNKNOWN_CODE, b"\0")
    raise TypeError(f"{type(value).__name__} is no Terraform value")


def decode(data: bytes) -> Value:
    """Decode MessagePack; empty bytes are null. Numbers too big for 64 bits come as text. Raises
    ValueError."""
    if not data:
        return None
    return msgpack.unpackb(data, raw=False, ext_hook=_decode_extension)


def encode(value: Value) -> bytes:
    """Encode a value as MessagePack. Raises TypeError when something in it is no Terraform value."""
    packed: bytes = msgpack.packb(value, use_bin_type=True, default=_encode_unknown)
    return packed


def dynamic(type_expression: TypeExpression, value: Value) -> list[Value]:
    """The wire form of a value whose type the schema leaves open."""
    return [json.dumps(type_expression, separators=(",", ":")).encode(), value]


def split_dynamic(value: Value) -> tuple[TypeExpression, Value] | None:
    """The type and value of what ``dynamic`` made; None for null, unknown and values of a fixed type."""
    match value:
        case [bytes() as type_json, inner]:
            return json.loads(type_json), inner
    return None


def is_set(value: Value) -> TypeGuard[Any]:
    """Whether a value is there and known."""
    return value is not None and value is not UNKNOWN
