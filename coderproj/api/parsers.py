"""Parsing of request bodies."""

import json
import re
from collections.abc import Mapping
from typing import IO, Any, NoReturn

from django.conf import settings
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from coderproj.base.errors import TooLarge

# More than any valid body needs, and far below the limit of the interpreter's stack.
MAX_DEPTH = 64
ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class Blank(dict[str, Any]):
    """The value of an empty body. It works like an empty object, but can be distinguished from one that was sent."""


class StrictJSONParser(BaseParser):
    """Parses the first JSON value of a body as UTF-8. Rejects NaN, infinities and nesting that could exhaust the stack.

    Data after the value is ignored, as in Go's ``json.Decoder``. An empty body is ``Blank``. Raises ParseError, and
    TooLarge above DATA_UPLOAD_MAX_MEMORY_SIZE bytes.
    """

    media_type = "application/json"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        body = stream.read(limit + 1)
        if len(body) > limit:
            raise TooLarge(f"The request body is larger than {limit} bytes.")
        return parse_json(body)


def parse_json(body: bytes) -> Any:
    """Return the first value of ``body``, or ``Blank`` if it is empty. Raises ParseError."""
    text = body.decode("utf-8", "surrogateescape").lstrip(" \t\r\n")
    if not text.strip():
        return Blank()
    if _depth(text) > MAX_DEPTH:
        raise ParseError(f"nested deeper than {MAX_DEPTH} levels")
    try:
        value, end = DECODER.raw_decode(text)
        if not is_utf8(text[:end]):
            raise ParseError("not UTF-8")
        if ESCAPED_SURROGATE.search(text, 0, end):  # a lone surrogate can be neither stored nor returned
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except (ValueError, RecursionError) as error:
        raise ParseError(str(error)) from None


def is_utf8(text: str) -> bool:
    """Return True if a string that was decoded with ``surrogateescape`` was valid UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


DECODER = json.JSONDecoder(parse_constant=_reject_constant)


def _depth(text: str) -> int:
    """Return the deepest nesting of brackets outside of strings, up to the end of the first object or array."""
    depth = deepest = 0
    in_string = escaped = False
    for character in text:
        if in_string:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                in_string = False
        elif character == '"':
            in_string = True
        elif character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
            if depth <= 0:
                break
    return deepest
