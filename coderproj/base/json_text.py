"""The JSON encoding of the API."""

from typing import Any

import msgspec

JSON_CONTENT_TYPE = "application/json; charset=utf-8"


def to_json(data: Any) -> bytes:
    """Encode ``data`` as compact UTF-8 JSON that ends with a newline.

    UUIDs become strings; lazy strings and iterables are evaluated. Pass times as strings (``times.moment_text``).
    """
    return msgspec.json.encode(data, enc_hook=_plain) + b"\n"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return dict(value)
    if hasattr(value, "__iter__"):
        return list(value)
    return str(value)
