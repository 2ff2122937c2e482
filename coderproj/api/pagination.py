"""Pagination by ``after_id``, ``limit`` (0 means all) and ``offset``. Invalid values give 400 with the field."""

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response

from coderproj.base.errors import Invalid, Problem
from coderproj.base.identifiers import NIL, parse_uuid

MAX_INTEGER = 2**31 - 1
DIGITS = re.compile(r"-?[0-9]{1,19}", re.ASCII)
AFTER_ID = OpenApiParameter("after_id", OpenApiTypes.UUID, description="Start after the row with this id.")
LIMIT = OpenApiParameter("limit", int, description="Maximum number of rows; 0 for all.")
OFFSET = OpenApiParameter("offset", int, description="Number of rows to skip.")


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


class CursorPagination(BasePagination):
    """Pages of a list that returns all rows without ``limit``. The view's ``rows_after`` implements ``after_id``."""

    parameters: ClassVar = [AFTER_ID, LIMIT, OFFSET]
    default_limit = 0

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        """Return the rows of the page. Raises Invalid naming each invalid parameter; DomainError for an unknown
        cursor."""
        page = page_of(request.query_params)
        if page.after_id:
            queryset = self.rows_after(queryset, page.after_id, view)
        limit = page.limit or self.default_limit
        return list(queryset[page.offset : page.offset + limit if limit else None])

    def rows_after(self, queryset: QuerySet[Any], after_id: uuid.UUID, view: Any) -> QuerySet[Any]:
        rows: QuerySet[Any] = view.rows_after(queryset, after_id)
        return rows

    def get_paginated_response(self, data: Any) -> Response:
        return Response(data)


class OffsetPagination(CursorPagination):
    """Pages of a list that only grows: it has a default limit and no cursor."""

    parameters: ClassVar = [LIMIT, OFFSET]
    no_cursor = ""  # the error message for ``after_id``

    def rows_after(self, queryset: QuerySet[Any], after_id: uuid.UUID, view: Any) -> QuerySet[Any]:
        raise Invalid.field("after_id", self.no_cursor)


class CountedPagination(CursorPagination):
    """Mixin for responses that are an object with the page as ``results_field`` and ``count``, the number of rows on
    all pages."""

    results_field = ""
    count = 0

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        rows = super().paginate_queryset(queryset, request, view)
        self.count = queryset.count()
        return rows

    def get_paginated_response(self, data: Any) -> Response:
        return Response({self.results_field: data, "count": self.count})
