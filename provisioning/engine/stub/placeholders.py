"""Placeholder values in the shape that a template reads, with types that fit their use."""

import base64
import json
from typing import Final

from provisioning.engine.provider.values import TypeExpression, Value
from provisioning.engine.provider_usage import (
    AT_LEAST,
    BOOL,
    CIDR,
    ELEMENT,
    EQUAL,
    JSON,
    NUMBER,
    OBJECT,
    SPLIT,
    TIME,
    Hints,
    merge_hints,
)

PLACEHOLDER: Final = "c3R1Yg=="  # also valid input for base64decode()
MAX_ELEMENTS: Final = 64
KEY: Final = "stub"  # key of the only element of a map whose keys are unknown

Placeholder = tuple[TypeExpression, Value]


def placeholder(hint: Hints, number: int = 0) -> Placeholder:
    """Return type and value of the smallest placeholder that matches ``hint`` (see BlockUsage).

    ``number`` makes the elements of a list different, because they can become keys of a map.
    """
    names = [name for name in hint if name != ELEMENT and not name.startswith((AT_LEAST, EQUAL))]
    if JSON in hint:
        return "string", json.dumps(placeholder(hint[JSON], number)[1] if hint[JSON] else {})
    if separator := next((mark.removeprefix(SPLIT) for mark in hint if mark.startswith(SPLIT)), ""):
        parts = placeholder({ELEMENT: {}, **hint[f"{SPLIT}{separator}"]}, number)[1]
        return "string", separator.join(map(str, parts))
    if names:
        return _object({name: _merged_hints(hint[name], hint.get(ELEMENT, {})) for name in names}, number)
    if OBJECT in hint:
        return _object({KEY: hint[ELEMENT]} if ELEMENT in hint else {}, number)
    count = _min_count(hint)
    if ELEMENT in hint or count:
        elements = [placeholder(hint.get(ELEMENT, {}), index) for index in range(max(count, 1))]
        return ["tuple", [type_ for type_, _ in elements]], [value for _, value in elements]
    return _leaf(hint, number)


def _object(members: Hints, number: int) -> Placeholder:
    made = {name: placeholder(inner, number) for name, inner in members.items()}
    types = {name: type_ for name, (type_, _) in made.items()}
    return ["object", types], {name: value for name, (_, value) in made.items()}


def _leaf(hint: Hints, number: int) -> Placeholder:
    for mark in hint:
        if mark.startswith(EQUAL):
            return _compared_with(mark.removeprefix(EQUAL))
    if NUMBER in hint:
        return "number", number + 1
    if BOOL in hint:
        return "bool", True
    if CIDR in hint:
        return "string", f"10.{number}.0.0/16"
    if TIME in hint:
        return "string", "2000-01-01T00:00:00Z"
    return "string", base64.b64encode(f"stub{number}".encode()).decode() if number else PLACEHOLDER


def _compared_with(text: str) -> Placeholder:
    if text in ("true", "false"):
        return "bool", text == "true"
    if text.isascii() and text.isdigit() and len(text) < 16:
        return "number", int(text)
    return "string", text


def _min_count(hint: Hints) -> int:
    counts = [mark.removeprefix(AT_LEAST) for mark in hint if mark.startswith(AT_LEAST)]
    numbers = [int(count) for count in counts if count.isascii() and count.isdigit() and len(count) < 4]
    return min(max(numbers, default=0), MAX_ELEMENTS)


def _merged_hints(one: Hints, other: Hints) -> Hints:
    if not other:
        return one
    result: Hints = {}
    merge_hints(result, one)
    merge_hints(result, other)
    return result
