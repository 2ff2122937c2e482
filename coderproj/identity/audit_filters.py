"""Searching the audit log, for API and pages."""

from collections.abc import Mapping
from typing import Any

import django_filters
from django.db.models import Q, QuerySet

from coderproj.api.search import FIELD, parse_search
from coderproj.errors import Invalid, Problem
from coderproj.identity.actor import Actor
from coderproj.identity.models import AuditAction, AuditLog, User
from coderproj.identity.rbac import Action, Resource, allowed_everywhere, authorize, organizations_where


class AuditLogFilter(django_filters.FilterSet):
    """Rows by what was done, to what, by whom and when (dates in UTC, both inclusive)."""

    resource_type = django_filters.CharFilter(lookup_expr="iexact")
    resource_id = django_filters.CharFilter(lookup_expr="iexact")
    resource_target = django_filters.CharFilter(lookup_expr="iexact")
    action = django_filters.ChoiceFilter(choices=AuditAction.choices)
    username = django_filters.CharFilter(lookup_expr="iexact")
    email = django_filters.CharFilter(method="by_email")
    date_from = django_filters.DateFilter(field_name="time", lookup_expr="date__gte")
    date_to = django_filters.DateFilter(field_name="time", lookup_expr="date__lte")
    status_code = django_filters.NumberFilter()

    class Meta:
        model = AuditLog
        fields: list[str] = []

    def by_email(self, rows: QuerySet[AuditLog], name: str, value: str) -> QuerySet[AuditLog]:
        return rows.filter(user_id__in=User.objects.filter(email__iexact=value).values("pk"))


def visible_rows(actor: Actor) -> QuerySet[AuditLog]:
    """All rows for owners and auditors; those of their organizations for organizations' administrators.

    Raises NotFound for anybody else.
    """
    if allowed_everywhere(actor, Action.READ, Resource.AUDIT_LOG):
        return AuditLog.objects.all()
    organizations = organizations_where(actor, Action.READ, Resource.AUDIT_LOG)
    if not organizations:
        authorize(actor, Action.READ, Resource.AUDIT_LOG)
    return AuditLog.objects.filter(organization_id__any=organizations)


def search_rows(actor: Actor, query: Mapping[str, str]) -> QuerySet[AuditLog]:
    """The visible rows that the query parameters ask for, newest first.

    ``q`` takes the filters as ``key:value`` and free text, which is looked for in targets and usernames; a parameter of
    its own wins over it. Raises Invalid naming the parameter.
    """
    search = parse_search(query.get(FIELD, ""), AuditLogFilter.base_filters)
    rows = visible_rows(actor)
    if search.text:
        rows = rows.filter(Q(resource_target__icontains=search.text) | Q(username__icontains=search.text))
    given = {name: query[name] for name in AuditLogFilter.base_filters if query.get(name)}
    filters: Any = AuditLogFilter({**search.terms, **given}, queryset=rows)
    if not filters.is_valid():
        raise Invalid(
            "Query parameters have invalid values.",
            problems=tuple(
                Problem(name if name in given else FIELD, f"{name}: {errors[0]}")
                for name, errors in filters.errors.items()
            ),
        )
    found: QuerySet[AuditLog] = filters.qs
    return found.order_by("-time", "id")
