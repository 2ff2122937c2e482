"""Filters of jobs, for API and pages."""

import uuid
from typing import Any

import django_filters

from coderproj.base import filtering
from coderproj.base.errors import Invalid
from coderproj.base.identifiers import parse_uuid
from coderproj.identity.models import User
from coderproj.identity.organizations import find_organization
from coderproj.identity.users import ME, UnknownUser, visible_users
from provisioning.models import JobStatus, ProvisionerJob
from provisioning.models.jobs import ProvisionerJobQuerySet
from provisioning.queue.kinds import types
from provisioning.queue.subjects import about_templates

# The final statuses of a job.
ENDS = (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELED)


class JobFilter(filtering.FilterSet):
    """Filters by status, kind, initiator, organization, template, time and daemon, on the jobs visible to the actor."""

    status = filtering.Choices(choices=JobStatus.choices, method="by_status")
    type = filtering.Choices(choices=types)
    initiator = django_filters.CharFilter(
        method="by_initiator", help_text="User who started the job: `me`, id or username."
    )
    organization = django_filters.CharFilter(method="by_organization", help_text="Id, name or `default`.")
    template = django_filters.CharFilter(
        method="by_template",
        help_text="Part of the name or display name of the job's template, including deleted templates.",
    )
    created_after = filtering.created_after()
    created_before = filtering.created_before()
    worker = django_filters.UUIDFilter(field_name="worker_id", help_text="Id of the daemon that claimed the job.")

    class Meta:
        model = ProvisionerJob
        fields: list[str] = []

    def by_status(self, rows: ProvisionerJobQuerySet, name: str, statuses: list[str]) -> ProvisionerJobQuerySet:
        with_status: Any = rows.with_status()
        found: ProvisionerJobQuerySet = with_status.filter(current_status__in=statuses)
        return found

    def by_initiator(self, rows: ProvisionerJobQuerySet, name: str, reference: str) -> ProvisionerJobQuerySet:
        """Filter by user. Raises Invalid unless the user, who may be deleted, is visible to the actor or the initiator
        of a visible job: the list names those, too."""
        ids = self._user_ids(reference)
        known = visible_users(self.actor).filter(pk__any=ids).exists() or self._started_by(self.queryset, ids).exists()
        if not known:
            raise Invalid.field(name, UnknownUser.message)
        return self._started_by(rows, ids)

    def _user_ids(self, reference: str) -> list[uuid.UUID]:
        """Return the ids for ``me``, an id or a username in any case: several, since deleted users keep their names."""
        user_id = self.actor.id if reference == ME else parse_uuid(reference)
        if user_id:
            return [user_id]
        return list(User.objects.filter(username__iexact=reference).values_list("pk", flat=True))

    @staticmethod
    def _started_by(rows: Any, ids: list[uuid.UUID]) -> ProvisionerJobQuerySet:
        found: ProvisionerJobQuerySet = rows.filter(initiator__any=ids)
        return found

    def by_organization(self, rows: ProvisionerJobQuerySet, name: str, reference: str) -> ProvisionerJobQuerySet:
        return rows.filter(organization=find_organization(self.actor, reference))

    def by_template(self, rows: ProvisionerJobQuerySet, name: str, text: str) -> ProvisionerJobQuerySet:
        return rows.filter(about_templates(self.actor, text))


class FinishedJobFilter(JobFilter):
    """The filters of finished jobs on pages: only final statuses are allowed, and an unknown user has no jobs."""

    status = filtering.Choices(
        choices=[(status.value, status.label) for status in ENDS],
        method="by_status",
        error_messages={"invalid_choice": "%(value)s is not a final status."},
    )

    class Meta(JobFilter.Meta):
        pass

    def by_initiator(self, rows: ProvisionerJobQuerySet, name: str, reference: str) -> ProvisionerJobQuerySet:
        return self._started_by(rows, self._user_ids(reference))
