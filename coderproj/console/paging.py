"""Long lists in pages: one query each, without counting."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.db.models import QuerySet
from django.http import HttpRequest

Row = TypeVar("Row")
FIELD = "page"
LAST_PAGE = 10_000


@dataclass(frozen=True, slots=True)
class Slice(Generic[Row]):
    """Rows of one page. The address of a neighbour is empty if it does not exist."""

    rows: Sequence[Row]
    number: int
    previous_url: str
    next_url: str

    @property
    def has_neighbours(self) -> bool:
        return bool(self.previous_url or self.next_url)


def slice_of(
    request: HttpRequest, rows: "QuerySet[Any, Row]", size: int, *, address: str = "", fragment: str = ""
) -> Slice[Row]:
    """Return the rows of the page in ``?page=``, counted from 1; invalid numbers give the first page. ``address`` is
    the page's address if it differs from the request's, as for a form that is shown again. ``fragment`` is the id of
    the element at which the neighbours are opened, for a list that is not at the top of its page."""
    text = request.GET.get(FIELD, "")
    number = min(max(int(text), 1), LAST_PAGE) if text.isascii() and text.isdigit() and len(text) < 9 else 1
    start = (number - 1) * size
    found = list(itertools.islice(rows[start : start + size + 1], size + 1))
    return Slice(
        rows=found[:size],
        number=number,
        previous_url=_url(request, number - 1, address, fragment) if number > 1 else "",
        next_url=_url(request, number + 1, address, fragment) if len(found) > size else "",
    )


def _url(request: HttpRequest, number: int, address: str, fragment: str) -> str:
    query = request.GET.copy()
    query[FIELD] = str(number)
    return f"{address}?{query.urlencode()}" + (f"#{fragment}" if fragment else "")
