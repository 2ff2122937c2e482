"""Filters of jobs, for API and pages."""

from typing import Any

import django_filters

from coderproj.api import filtering
from coderproj.identity.filters import user_named
from coderproj.identity.organizations import find_organization
from provisioning.job_subjects import about_templates
from provisioning.models import JobStatus, JobType, ProvisionerJob
from provisioning.models.jobs import ProvisionerJobQuerySet


class JobFilter(filtering.FilterSet):
    """Jobs by state, kind, people, templates and time."""

    status = filtering.Choices(choices=JobStatus.choices, method="by_status")
    type = filtering.Choices(choices=[(value, value) for value in JobType.values])
    initiator = django_filters.CharFilter(method="by_initiator", help_text="Who asked for it: `me`, id or username.")
    organization = django_filters.CharFilter(method="by_organization", help_text="Id, name or `default`.")
    template = django_filters.CharFilter(
        method="by_template", help_text="Part of the name of the template that it works for."
    )
    created_after = filtering.created_after()
    created_before = filtering.created_before()
    worker = django_filters.UUIDFilter(field_name="worker_id", help_text="Id of the daemon that took it.")

    class Meta:
        model = ProvisionerJob
        fields: list[str] = []

    def by_status(self, rows: ProvisionerJobQuerySet, name: str, statuses: list[str]) -> ProvisionerJobQuerySet:
        with_status: Any = rows.with_status()
        found: ProvisionerJobQuerySet = with_status.filter(current_status__in=statuses)
        return found

    def by_initiator(self, rows: ProvisionerJobQuerySet, name: str, reference: str) -> ProvisionerJobQuerySet:
        return rows.filter(initiator=user_named(self.actor, name, reference))

    def by_organization(self, rows: ProvisionerJobQuerySet, name: str, reference: str) -> ProvisionerJobQuerySet:
        return rows.filter(organization=find_organization(self.actor, reference))

    def by_template(self, rows: ProvisionerJobQuerySet, name: str, text: str) -> ProvisionerJobQuerySet:
        return rows.filter(about_templates(self.actor, text))
