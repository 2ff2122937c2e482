"""Pagination by ``after_id``, ``limit`` (0 means all) and ``offset``. Invalid values give 400 with the field."""

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from coderproj.base.errors import Invalid, Problem
from coderproj.base.identifiers import NIL, parse_uuid

MAX_INTEGER = 2**31 - 1
DIGITS = re.compile(r"-?[0-9]{1,19}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a list. ``limit`` 0 means all rows; ``after_id`` is the id of the row before the first one."""

    after_id: uuid.UUID | None = None
    limit: int = 0
    offset: int = 0


def page_of(query: Mapping[str, str]) -> Page:
    """Parse the query parameters. Raises Invalid with a problem for each invalid parameter."""
    problems: list[Problem] = []
    after_id = None
    text = query.get("after_id", "")
    if text:
        after_id = parse_uuid(text)
        if after_id is None:
            problems.append(Problem("after_id", f"{text!r} is not a UUID."))
        elif after_id == NIL:
            after_id = None
    numbers = {}
    for name in ("limit", "offset"):
        text = query.get(name, "") or "0"
        if not DIGITS.fullmatch(text) or not 0 <= int(text) <= MAX_INTEGER:
            problems.append(Problem(name, f"{text!r} is not a number from 0 to {MAX_INTEGER}."))
        else:
            numbers[name] = int(text)
    if problems:
        raise Invalid("Query parameters have invalid values.", problems=tuple(problems))
    return Page(after_id=after_id, **numbers)
