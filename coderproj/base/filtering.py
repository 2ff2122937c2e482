"""List filters, shared by API, pages and commands: filter sets of django-filter that know the actor.

``apply`` filters rows, ``parameters`` describes a filter set in the schema. In a list with a search field ``q``, every
filter is also a key of ``q`` (``status:active``), and free text is searched in ``FilterSet.text_lookups``.
"""

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import django_filters
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.forms.fields import IntegerField, UUIDField
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter

from coderproj.base.errors import Invalid, Problem
from coderproj.base.search_terms import FIELD, Search, parse_search

INTEGER = re.compile(r"-?[0-9]{1,19}", re.ASCII)
Rows = TypeVar("Rows", bound=QuerySet[Any])


# ---------------------------------------------------------------------- filters
class Choices(django_filters.BaseInFilter, django_filters.ChoiceFilter):
    """One or more of the choices, separated by commas."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        help_text = f"{kwargs.pop('help_text', '')} Separate several values by commas.".strip()
        super().__init__(*args, help_text=help_text, **kwargs)


class Flag(django_filters.TypedChoiceFilter):
    """``true`` or ``false``; any other value is an error (django-filter's boolean filter ignores it)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        choices = (("true", "yes"), ("false", "no"))
        super().__init__(*args, choices=choices, coerce=lambda text: text == "true", **kwargs)


class Integer64(IntegerField):
    """A form field for an integer of at most 64 bits, in ASCII digits."""

    default_error_messages = {"invalid": "Enter a whole number of at most 64 bits."}

    def to_python(self, value: Any) -> int | None:
        if value in self.empty_values:
            return None
        text = str(value)
        if not INTEGER.fullmatch(text) or not -(2**63) <= int(text) < 2**63:
            raise ValidationError(self.error_messages["invalid"], code="invalid")
        return int(text)


class WholeNumber(django_filters.NumberFilter):
    """An integer of at most 64 bits."""

    field_class = Integer64


class Moment(django_filters.IsoDateTimeFilter):
    """A time in ISO 8601, in UTC unless it has an offset."""


def created_after(field: str = "created_at") -> Moment:
    return Moment(field_name=field, lookup_expr="gt", help_text="Created after this time (ISO 8601).")


def created_before(field: str = "created_at") -> Moment:
    return Moment(field_name=field, lookup_expr="lt", help_text="Created before this time (ISO 8601).")


class FilterSet(django_filters.FilterSet):
    """A filter set that knows the actor. A filter's method can raise Invalid naming the filter, or NotFound."""

    # The lookups that free text in ``q`` is compared with; empty for lists without ``q``.
    text_lookups: tuple[str, ...] = ()

    def __init__(self, data: Mapping[str, str], *, actor: Any, queryset: QuerySet[Any]) -> None:
        super().__init__(data, queryset=queryset)
        self.actor = actor


# ---------------------------------------------------------------------- applying
def is_filtered(filter_set: type[FilterSet], query: Mapping[str, str]) -> bool:
    """Return True if the query parameters filter the list."""
    names = (FIELD, *filter_set.base_filters) if filter_set.text_lookups else filter_set.base_filters
    return any(query.get(name) for name in names)


def apply(filter_set: type[FilterSet], actor: Any, query: Mapping[str, str], rows: Rows) -> Rows:
    """Return the rows that match the query parameters. A parameter overrides the same key in ``q``; blank ones are
    ignored.

    Raises Invalid with a problem per invalid parameter (field ``q`` for an invalid key of ``q``), and NotFound when a
    parameter names an object that is not visible to the actor.
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
        raise _reported_as_sent([Problem(name, str(errors[0])) for name, errors in filters.errors.items()], given)
    try:
        found: Rows = filters.qs
    except Invalid as error:
        raise _reported_as_sent(error.problems, given) from None
    return found


def _reported_as_sent(problems: list[Problem] | tuple[Problem, ...], given: Mapping[str, str]) -> Invalid:
    """Return an Invalid whose problems name the parameters that the caller sent."""
    return Invalid(
        "Query parameters have invalid values.",
        problems=tuple(
            problem if problem.field in given else Problem(FIELD, f"{problem.field}: {problem.detail}")
            for problem in problems
        ),
    )


# ---------------------------------------------------------------------- describing
def parameters(filter_set: type[FilterSet], *, without: tuple[str, ...] = ()) -> list[OpenApiParameter]:
    """Return the query parameters of a filter set, for the schema."""
    described = [_parameter(name, entry) for name, entry in filter_set.base_filters.items() if name not in without]
    if filter_set.text_lookups:
        keys = ", ".join(f"`{name}:`" for name in filter_set.base_filters)
        text = f"Free text, and the filters as keys: {keys}. Values can be quoted."
        described.insert(0, OpenApiParameter(FIELD, str, description=text))
    return described


def _parameter(name: str, entry: Any) -> OpenApiParameter:
    description = str(entry.extra.get("help_text", ""))
    if isinstance(entry, Flag):
        return OpenApiParameter(name, bool, description=description)
    if isinstance(entry, Choices):
        choices = entry.extra["choices"]
        values = [value for value, _ in (choices() if callable(choices) else choices)]
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
