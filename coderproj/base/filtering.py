"""Filters of lists, shared by API, pages and commands: django-filter's sets with an actor, and how they are applied.

A filter set is used in two steps: ``apply`` for rows, ``parameters`` for the schema. Where a list has a search field
``q``, every filter is also a key of it (``status:active``); free text is looked for in ``FilterSet.text_lookups``.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

import django_filters
from django.db.models import Q, QuerySet
from django.forms.fields import IntegerField, UUIDField
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter

from coderproj.base.errors import Invalid, Problem
from coderproj.base.search_terms import FIELD, Search, parse_search

Rows = TypeVar("Rows", bound=QuerySet[Any])


# ---------------------------------------------------------------------- filters
class Choices(django_filters.BaseInFilter, django_filters.ChoiceFilter):
    """One or several of the choices, with commas between them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        help_text = f"{kwargs.pop('help_text', '')} Several with commas between them.".strip()
        super().__init__(*args, help_text=help_text, **kwargs)


class Flag(django_filters.TypedChoiceFilter):
    """``true`` or ``false``; anything else is an error (django-filter's own would ignore it)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        choices = (("true", "yes"), ("false", "no"))
        super().__init__(*args, choices=choices, coerce=lambda text: text == "true", **kwargs)


class WholeNumber(django_filters.NumberFilter):
    """A number without a fraction."""

    field_class = IntegerField


class Moment(django_filters.IsoDateTimeFilter):
    """A time in ISO 8601, UTC unless it says otherwise."""


def created_after(field: str = "created_at") -> Moment:
    return Moment(field_name=field, lookup_expr="gt", help_text="Created after this time (ISO 8601).")


def created_before(field: str = "created_at") -> Moment:
    return Moment(field_name=field, lookup_expr="lt", help_text="Created before this time (ISO 8601).")


class FilterSet(django_filters.FilterSet):
    """A filter set that knows the actor. A filter's method may raise Invalid naming the filter, or NotFound."""

    # Where the free text of ``q`` is looked for; empty for lists without ``q``.
    text_lookups: tuple[str, ...] = ()

    def __init__(self, data: Mapping[str, str], *, actor: Any, queryset: QuerySet[Any]) -> None:
        super().__init__(data, queryset=queryset)
        self.actor = actor


# ---------------------------------------------------------------------- applying
def is_filtered(filter_set: type[FilterSet], query: Mapping[str, str]) -> bool:
    """Whether the query parameters ask for anything but the whole list."""
    names = (FIELD, *filter_set.base_filters) if filter_set.text_lookups else filter_set.base_filters
    return any(query.get(name) for name in names)


def apply(filter_set: type[FilterSet], actor: Any, query: Mapping[str, str], rows: Rows) -> Rows:
    """The rows that the query parameters ask for. A parameter of its own wins over the same key in ``q``; blank ones
    do not count.

    Raises Invalid with a problem for each bad parameter, where a bad key of ``q`` is named ``q``; NotFound for a named
    object that the actor cannot see.
    """
    search = Search("", {})
    if filter_set.text_lookups:
        search = parse_search(query.get(FIELD, ""), filter_set.base_filters)
    if search.text:
        condition = Q()
        for lookup in filter_set.text_lookups:
            condition |= Q(**{lookup: search.text})
        rows = rows.filter(condition)
    given = {name: query[name] for name in filter_set.base_filters if query.get(name)}
    filters: Any = filter_set({**search.terms, **given}, actor=actor, queryset=rows)
    if not filters.is_valid():
        raise _named([Problem(name, str(errors[0])) for name, errors in filters.errors.items()], given)
    try:
        found: Rows = filters.qs
    except Invalid as error:
        raise _named(error.problems, given) from None
    return found


def _named(problems: list[Problem] | tuple[Problem, ...], given: Mapping[str, str]) -> Invalid:
    """The problems by the parameters that the caller wrote."""
    return Invalid(
        "Query parameters have invalid values.",
        problems=tuple(
            problem if problem.field in given else Problem(FIELD, f"{problem.field}: {problem.detail}")
            for problem in problems
        ),
    )


# ---------------------------------------------------------------------- describing
def parameters(filter_set: type[FilterSet], *, without: tuple[str, ...] = ()) -> list[OpenApiParameter]:
    """The query parameters of a filter set, for the schema."""
    described = [_parameter(name, entry) for name, entry in filter_set.base_filters.items() if name not in without]
    if filter_set.text_lookups:
        keys = ", ".join(f"`{name}:`" for name in filter_set.base_filters)
        text = f"Free text, and the filters as keys: {keys}. Values may be quoted."
        described.insert(0, OpenApiParameter(FIELD, str, description=text))
    return described


def _parameter(name: str, entry: Any) -> OpenApiParameter:
    description = str(entry.extra.get("help_text", ""))
    if isinstance(entry, Flag):
        return OpenApiParameter(name, bool, description=description)
    if isinstance(entry, Choices):
        values = [value for value, _ in entry.extra["choices"]]
        return OpenApiParameter(name, str, description=description, enum=values, many=True, explode=False)
    if isinstance(entry, django_filters.ChoiceFilter):
        return OpenApiParameter(name, str, description=description, enum=[value for value, _ in entry.extra["choices"]])
    return OpenApiParameter(name, _type_of(entry), description=description)


def _type_of(entry: Any) -> Any:
    if isinstance(entry, Moment):
        return OpenApiTypes.DATETIME
    if isinstance(entry, django_filters.DateFilter):
        return OpenApiTypes.DATE
    if isinstance(entry, django_filters.NumberFilter):
        return OpenApiTypes.INT
    return OpenApiTypes.UUID if entry.field_class is UUIDField else OpenApiTypes.STR
