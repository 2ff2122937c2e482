"""Checks of values in the ``coder/coder`` provider. Each check returns the error, or None for a valid value."""

import re
from typing import Final
from urllib.parse import urlsplit

from provisioning.engine.provider.schema import Check
from provisioning.engine.provider.values import Value

_SLUG: Final = re.compile(r"[a-z0-9](-?[a-z0-9])*")
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL_CHARACTER: Final = re.compile(r"[\x00-\x1f\x7f]")


def one_of(*choices: str) -> Check:
    def check(value: Value) -> str | None:
        return None if value in choices else f'is "{value}", expected one of {", ".join(choices)}'

    return check


def whole_number(minimum: int | None = None) -> Check:
    def check(value: Value) -> str | None:
        if not isinstance(value, int):
            return f"is {value}, expected a whole number"
        if minimum is not None and value < minimum:
            return f"is {value}, expected at least {minimum}"
        return None

    return check


def slug(value: Value) -> str | None:
    if _SLUG.fullmatch(value):
        return None
    return f'is "{value}", expected lower-case letters and digits with single hyphens between them'


def url(value: Value) -> str | None:
    fault = f'is "{value}", expected a URL'
    if _CONTROL_CHARACTER.search(value) or _BAD_ESCAPE.search(value):
        return fault
    try:
        urlsplit(value)
    except ValueError:
        return fault
    return None
