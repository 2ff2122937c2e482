"""Endpoints of the jobs of an organization."""

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from coderproj.api.pagination import OffsetPagination
from coderproj.api.viewsets import ApiViewSet
from coderproj.identity.organizations import find_organization
from provisioning.filters import JobFilter
from provisioning.models import ProvisionerJob
from provisioning.models.jobs import ProvisionerJobQuerySet
from provisioning.queue.positions import Queue, queue_of
from provisioning.serializers.jobs import ProvisionerJobSerializer


class QueuedJobSerializer(ProvisionerJobSerializer):
    """A job with its position in the queue: ``queue_position`` counts from 1 and is 0 for a job that is not waiting.
    Needs ``queue`` in the context."""

    queue_position = serializers.SerializerMethodField()
    queue_size = serializers.SerializerMethodField()
    input = serializers.SerializerMethodField()

    class Meta(ProvisionerJobSerializer.Meta):
        fields = [
            *ProvisionerJobSerializer.Meta.fields,
            "queue_position",
            "queue_size",
            "organization_id",
            "initiator_id",
            "input",
            "type",
        ]

    def get_queue_position(self, job: ProvisionerJob) -> int:
        return self._queue.position(job.pk)

    def get_queue_size(self, job: ProvisionerJob) -> int:
        return self._queue.size

    def get_input(self, job: ProvisionerJob) -> dict[str, str]:
        """Return the ids of version and template from the job's input, without parameter values."""
        names = ("template_version_id", "template_id")
        return {name: job.input[name] for name in names if job.input.get(name)}

    @property
    def _queue(self) -> Queue:
        queue: Queue = self.context["queue"]
        return queue


class JobPagination(OffsetPagination):
    """The number of jobs only grows, so a list without ``limit`` is limited."""

    default_limit = 50
    no_cursor = "Lists of jobs are paged by limit and offset only."


class OrganizationJobViewSet(ApiViewSet):
    """The jobs of an organization."""

    serializer_class = QueuedJobSerializer
    filterset_class = JobFilter
    pagination_class = JobPagination

    def get_queryset(self) -> ProvisionerJobQuerySet:
        """Visible jobs of the organization, newest first. Raises NotFound."""
        found = find_organization(self.actor, self.kwargs["organization"])
        return ProvisionerJob.objects.visible(self.actor).filter(organization=found).order_by("-created_at", "id")

    @extend_schema(operation_id="organization_provisioner_jobs")
    def list(self, request: Request, organization: str) -> Response:
        """List the visible jobs, newest first, 50 by default (``limit``): the caller's own, or all jobs of the
        organization if the caller may manage its templates."""
        jobs = self.paginate_queryset(self.filter_queryset(self.get_queryset())) or []
        context = {**self.get_serializer_context(), "queue": queue_of([job.pk for job in jobs])}
        return self.get_paginated_response(self.get_serializer(jobs, many=True, context=context).data)
