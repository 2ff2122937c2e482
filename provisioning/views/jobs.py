"""Endpoints of the jobs of an organization."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from coderproj.api.pagination import OffsetPagination
from coderproj.api.viewsets import ApiViewSet
from coderproj.identity.actor import Actor
from coderproj.identity.organizations import find_organization
from provisioning.filters import JobFilter
from provisioning.models import ProvisionerDaemon, ProvisionerJob
from provisioning.models.jobs import ProvisionerJobQuerySet
from provisioning.queue.positions import Queue, queue_of
from provisioning.queue.subjects import JobMetadata, metadata_of
from provisioning.serializers.jobs import ProvisionerJobSerializer


class JobMetadataSerializer(serializers.Serializer[Any]):
    """What a job is about. What does not exist, or the caller may not see, is absent."""

    template_version_name = serializers.CharField(required=False)
    template_id = serializers.UUIDField(required=False)
    template_name = serializers.CharField(required=False)
    template_display_name = serializers.CharField(required=False)
    template_icon = serializers.CharField(required=False)


class QueuedJobSerializer(ProvisionerJobSerializer):
    """A job with its position in the queue: ``queue_position`` counts from 1 and is 0 for a job that is not waiting.
    ``worker_name`` is that of the daemon that runs or ran the job. Needs ``context_of`` as the context."""

    worker_name = serializers.SerializerMethodField()
    metadata = serializers.SerializerMethodField()
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
            "worker_name",
            "metadata",
        ]

    def get_queue_position(self, job: ProvisionerJob) -> int:
        return self._queue.position(job.pk)

    def get_queue_size(self, job: ProvisionerJob) -> int:
        return self._queue.size

    def get_input(self, job: ProvisionerJob) -> dict[str, str]:
        """Return the ids of version and template from the job's input, without parameter values. An import is older
        than its version."""
        names = ("template_version_id", "template_id")
        found = {name: job.input[name] for name in names if job.input.get(name)}
        about = self._metadata(job)
        return {"template_version_id": str(about.template_version_id), **found} if about else found

    def get_worker_name(self, job: ProvisionerJob) -> str:
        names: Mapping[uuid.UUID | None, str] = self.context["workers"]
        return names.get(job.worker_id, "")

    @extend_schema_field(JobMetadataSerializer())
    def get_metadata(self, job: ProvisionerJob) -> dict[str, Any]:
        about = self._metadata(job)
        return about.members() if about else {}

    def _metadata(self, job: ProvisionerJob) -> JobMetadata | None:
        found: Mapping[uuid.UUID, JobMetadata] = self.context["metadata"]
        return found.get(job.pk)

    @property
    def _queue(self) -> Queue:
        queue: Queue = self.context["queue"]
        return queue


def context_of(actor: Actor, jobs: Sequence[ProvisionerJob]) -> dict[str, Any]:
    """Return what the serializer needs to know of all jobs together."""
    workers = {job.worker_id for job in jobs if job.worker_id}
    names = ProvisionerDaemon.objects.filter(pk__in=workers).values_list("pk", "name") if workers else ()
    return {
        "queue": queue_of([job.pk for job in jobs]),
        "metadata": metadata_of(actor, jobs),
        "workers": dict(names),
    }


class JobPagination(OffsetPagination):
    """The number of jobs only grows, so a list without ``limit`` is limited."""

    default_limit = 50
    no_cursor = "Lists of jobs are paged by limit and offset only."


class OrganizationJobViewSet(ApiViewSet):
    """The jobs of an organization."""

    serializer_class = QueuedJobSerializer
    filterset_class = JobFilter
    pagination_class = JobPagination
    lookup_url_kwarg = "job"

    def get_queryset(self) -> ProvisionerJobQuerySet:
        """Visible jobs of the organization, newest first. Raises NotFound."""
        found = find_organization(self.actor, self.kwargs["organization"])
        return ProvisionerJob.objects.visible(self.actor).filter(organization=found).order_by("-created_at", "id")

    @extend_schema(operation_id="organization_provisioner_jobs")
    def list(self, request: Request, organization: str) -> Response:
        """List the visible jobs, newest first, 50 by default (``limit``): the caller's own, or all jobs of the
        organization if the caller may manage its templates."""
        jobs = self.paginate_queryset(self.filter_queryset(self.get_queryset())) or []
        context = {**self.get_serializer_context(), **context_of(self.actor, jobs)}
        return self.get_paginated_response(self.get_serializer(jobs, many=True, context=context).data)

    @extend_schema(operation_id="organization_provisioner_job")
    def retrieve(self, request: Request, organization: str, job: str) -> Response:
        """Return a visible job of the organization."""
        found = self.get_object()
        context = {**self.get_serializer_context(), **context_of(self.actor, [found])}
        return Response(self.get_serializer(found, context=context).data)
