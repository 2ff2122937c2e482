"""Filters of templates and versions, for API and pages."""

from collections.abc import Mapping
from typing import Any

import django_filters
from django.db.models import Q

from coderproj.base import filtering
from coderproj.identity.actor import Actor
from coderproj.identity.filters import user_named
from coderproj.identity.organizations import find_organization
from provisioning.models import JobStatus
from provisioning.models.jobs import status_expression
from templates_app.models import Template, TemplateVersion
from templates_app.models.templates import TemplateQuerySet, TemplateVersionQuerySet


class TemplateFilter(filtering.FilterSet):
    """Filter templates by name and organization. Deleted templates are excluded by default."""

    text_lookups = ("name__icontains", "display_name__icontains")

    name = django_filters.CharFilter(method="by_name", help_text="Part of the name or display name.")
    exact_name = django_filters.CharFilter(
        field_name="name", lookup_expr="iexact", help_text="The exact name, case-insensitive."
    )
    organization = django_filters.CharFilter(method="by_organization", help_text="Id, name or `default`.")
    deleted = filtering.Flag(help_text="Return deleted templates instead of existing ones.")

    class Meta:
        model = Template
        fields: list[str] = []

    def filter_queryset(self, rows: TemplateQuerySet) -> TemplateQuerySet:
        found: TemplateQuerySet = super().filter_queryset(rows)
        return found if self.form.cleaned_data["deleted"] is True else found.existing()

    def by_name(self, rows: TemplateQuerySet, name: str, value: str) -> TemplateQuerySet:
        return rows.filter(Q(name__icontains=value) | Q(display_name__icontains=value))

    def by_organization(self, rows: TemplateQuerySet, name: str, reference: str) -> TemplateQuerySet:
        return rows.filter(organization=find_organization(self.actor, reference))


def search_templates(actor: Actor, query: Mapping[str, str]) -> TemplateQuerySet:
    """Return the readable templates that match the query parameters. Raises Invalid, naming the parameter, and NotFound
    for an unknown organization."""
    return filtering.apply(TemplateFilter, actor, query, Template.objects.readable(actor))


class VersionFilter(filtering.FilterSet):
    """Filter versions by name, import status, author, archiving and time."""

    name = django_filters.CharFilter(lookup_expr="icontains", help_text="Part of the name.")
    status = filtering.Choices(choices=JobStatus.choices, method="by_status", help_text="Status of the import.")
    author = django_filters.CharFilter(
        method="by_author", help_text="User who created the version: `me`, id or username."
    )
    archived = filtering.Flag(help_text="True for archived versions, false for the others.")
    include_archived = filtering.Flag(
        method="unchanged", help_text="True for all versions, false (the default) for those that are not archived."
    )
    created_after = filtering.created_after()
    created_before = filtering.created_before()

    class Meta:
        model = TemplateVersion
        fields: list[str] = []

    def filter_queryset(self, rows: TemplateVersionQuerySet) -> TemplateVersionQuerySet:
        found: TemplateVersionQuerySet = super().filter_queryset(rows)
        given = self.form.cleaned_data
        return found if given["archived"] in {True, False} or given["include_archived"] is True else found.listed()

    def unchanged(self, rows: Any, name: str, value: bool) -> Any:
        return rows

    def by_status(self, rows: Any, name: str, statuses: list[str]) -> TemplateVersionQuerySet:
        found: TemplateVersionQuerySet = rows.alias(import_status=status_expression("job__")).filter(
            import_status__in=statuses
        )
        return found

    def by_author(self, rows: TemplateVersionQuerySet, name: str, reference: str) -> TemplateVersionQuerySet:
        return rows.filter(created_by=user_named(self.actor, name, reference))
