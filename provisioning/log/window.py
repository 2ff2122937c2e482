"""The part of a log that a request selects with ``after``, ``before`` and ``follow``. docs/api.md has the rules."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from coderproj.base.errors import Invalid, Problem

INTEGER = re.compile(r"-?[0-9]+", re.ASCII)
OFF = frozenset({"false", "0"})

# Numbers below FIRST_SECOND are log ids, numbers below FIRST_MILLISECOND Unix seconds, others Unix milliseconds.
FIRST_SECOND = 10**9
FIRST_MILLISECOND = 10**11
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST_MOMENT = datetime.max.replace(tzinfo=UTC)
LAST_MILLISECOND = (LAST_MOMENT - EPOCH) // timedelta(milliseconds=1)
# More digits than any bound needs; Python itself does not convert numbers of thousands of digits.
MAX_DIGITS = 20


@dataclass(frozen=True, slots=True)
class LogWindow:
    """The lines strictly between the bounds; None means no bound. All given bounds apply."""

    after_id: int | None = None
    before_id: int | None = None
    after_time: datetime | None = None
    before_time: datetime | None = None
    follow: bool = False


def log_window(query: Mapping[str, str]) -> LogWindow:
    """Parse the query parameters. Raises Invalid, naming every invalid parameter.

    An empty ``after`` or ``before`` means no bound.
    """
    bounds: dict[str, int | datetime] = {}
    problems: list[Problem] = []
    follow = follow_is_on(query)
    for name in ("after", "before"):
        text = query.get(name, "")
        if not text:
            continue
        if name == "before" and follow:
            problems.append(Problem("before", "cannot be combined with follow."))
        elif INTEGER.fullmatch(text):
            if -(2**63) <= _integer(text) < 2**63:
                bounds[name] = _bound(text)
            else:
                problems.append(Problem(name, f"{text[:64]!r} has more than 64 bits."))
        else:
            problems.append(Problem(name, f"{text[:64]!r} is not an integer."))
    if problems:
        raise Invalid("Query parameters have invalid values.", problems=tuple(problems))
    after, before = bounds.get("after"), bounds.get("before")
    return LogWindow(
        after_id=after if isinstance(after, int) else None,
        before_id=before if isinstance(before, int) else None,
        after_time=after if isinstance(after, datetime) else None,
        before_time=before if isinstance(before, datetime) else None,
        follow=follow,
    )


def follow_is_on(query: Mapping[str, str]) -> bool:
    """Return True for a bare ``?follow`` and for any value other than ``false`` and ``0``."""
    return "follow" in query and query["follow"].lower() not in OFF


def last_event_id(text: str) -> int:
    """Return the log id in a ``Last-Event-ID`` header, 0 for an empty one. Raises Invalid when it is not an id."""
    if text and not INTEGER.fullmatch(text):
        raise Invalid.field("Last-Event-ID", f"{text[:64]!r} is not a log id.")
    return min(_integer(text or "0"), 2**63 - 1)


def _integer(text: str) -> int:
    digits = text.lstrip("-").lstrip("0")[: MAX_DIGITS + 1] or "0"
    number = 10**MAX_DIGITS if len(digits) > MAX_DIGITS else int(digits)
    return -number if text.startswith("-") else number


def _bound(text: str) -> int | datetime:
    """Return a log id or a time. Numbers outside the database's range become the nearest value in it."""
    number = _integer(text)
    if number < FIRST_SECOND:
        return max(number, -1)
    milliseconds = number * 1000 if number < FIRST_MILLISECOND else number
    return LAST_MOMENT if milliseconds > LAST_MILLISECOND else EPOCH + timedelta(milliseconds=milliseconds)
