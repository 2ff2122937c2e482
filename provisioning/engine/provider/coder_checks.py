"""Checks of values in the ``coder/coder`` provider. Each check returns the error, or None for a valid value."""

import json
import re
from functools import cache
from typing import Final
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from provisioning.engine.provider.schema import Check
from provisioning.engine.provider.values import Value

_SLUG: Final = re.compile(r"[a-z0-9](-?[a-z0-9])*")
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL_CHARACTER: Final = re.compile(r"[\x00-\x1f\x7f]")
_ENVIRONMENT_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_NO_NAMES: Final[dict[str, int]] = {}
# Name, smallest and largest value of each field of a schedule, and names of values.
_SCHEDULE_FIELDS: Final = (
    ("seconds", 0, 59, _NO_NAMES),
    ("minutes", 0, 59, _NO_NAMES),
    ("hours", 0, 23, _NO_NAMES),
    ("day of the month", 1, 31, _NO_NAMES),
    ("month", 1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    ("day of the week", 0, 7, {name: number for number, name in enumerate(_DAYS)}),
)
_SCHEDULE_NAMES: Final = frozenset(
    {"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly", "@reboot"}
)
_INTERVAL: Final = re.compile(r"@every (?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+")
_MAX_SCHEDULE_LENGTH: Final = 1000


def one_of(*choices: str) -> Check:
    def check(value: Value) -> str | None:
        return None if value in choices else f'is "{value}", expected one of {", ".join(choices)}'

    return check


def empty_or(other: Check) -> Check:
    """Return a check that accepts empty texts, which count as not set."""
    return lambda value: None if value == "" else other(value)


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


def json_text(value: Value) -> str | None:
    """Check that a text is JSON."""
    try:
        json.loads(value)
    except (ValueError, RecursionError) as error:
        return f"is not valid JSON: {error}"
    return None


def environment_name(value: Value) -> str | None:
    """Check the name of an environment variable."""
    if _ENVIRONMENT_NAME.fullmatch(value):
        return None
    return f'is "{value}", expected letters, digits and underscores, and no digit at the start'


def home_or_absolute_path(value: Value) -> str | None:
    """Check that a path is absolute or below the home folder."""
    return None if value.startswith(("/", "~/")) else f'is "{value}", expected a path that starts with "/" or "~/"'


def time_zone(value: Value) -> str | None:
    """Check the name of a time zone. Without a database of time zones every name is accepted."""
    known = _time_zones()
    return None if not known or value in known else f'is "{value}", expected a time zone such as "Europe/Paris"'


@cache
def _time_zones() -> frozenset[str]:
    return frozenset(available_timezones())


def schedule(value: Value) -> str | None:
    """Check a cron expression of six fields, of which the first (seconds) can be missing, or a name (``@daily``)."""
    if value in _SCHEDULE_NAMES or _INTERVAL.fullmatch(value) or not value:
        return None
    fields = value.split() if len(value) <= _MAX_SCHEDULE_LENGTH else []
    if len(fields) not in (5, 6):
        return f"{_shown(value)}, expected the fields of a cron expression: seconds minutes hours day month weekday"
    faults = (_field_fault(text, *field) for text, field in zip(fields, _SCHEDULE_FIELDS[-len(fields) :], strict=True))
    return next((f"{_shown(value)}: {fault}" for fault in faults if fault), None)


def hourly_schedule(value: Value) -> str | None:
    """Check a cron expression of five fields that covers whole hours: its minutes are ``*``."""
    fields = value.split() if len(value) <= _MAX_SCHEDULE_LENGTH else []
    if len(fields) != 5 or fields[0] != "*":
        return f'{_shown(value)}, expected five fields, of which the first is "*": * hour day month weekday'
    return schedule(value)


def _shown(value: str) -> str:
    return f'is "{value[:100]}"'


def _field_fault(text: str, name: str, lowest: int, highest: int, names: dict[str, int]) -> str | None:
    """Return why a field of a schedule is invalid, or None: a list of ``*``, values and ranges with steps."""

    def number(part: str) -> int:
        found = names.get(part.lower())
        if found is None and not (part.isascii() and part.isdigit()):
            raise ValueError(part)
        return int(part) if found is None else found

    for part in text.split(","):
        span, slash, step = part.partition("/")
        first, dash, last = span.partition("-")
        try:
            if slash and number(step) < 1:
                return f'the step of the {name} "{part}" is not positive'
            if span in ("*", "?"):
                continue
            low = number(first)
            high = number(last) if dash else low
        except ValueError:
            return f'the {name} "{part}" is not a number'
        if not lowest <= low <= high <= highest:
            return f'the {name} "{part}" is not between {lowest} and {highest}'
    return None
