"""The jobs of an organization."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from coderproj.api.pagination import page_of
from coderproj.api.schema import PAGE_PARAMETERS
from coderproj.api.views import ApiView
from coderproj.base import filtering
from coderproj.base.errors import Invalid
from coderproj.identity.organizations import find_organization
from provisioning.filters import JobFilter
from provisioning.models import ProvisionerJob
from provisioning.queue.positions import Queue, queue_of
from provisioning.serializers.jobs import ProvisionerJobSerializer

# Jobs only grow in number: unlike other lists, they are not given whole when no limit is named.
PAGE_ROWS = 50


class QueuedJobSerializer(ProvisionerJobSerializer):
    """A job with its place in the queue: ``queue_position`` counts from 1 and is 0 for a job that does not wait.
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
        """What the job is about; the values that it was given are nobody's business here."""
        names = ("template_version_id", "template_id")
        return {name: job.input[name] for name in names if job.input.get(name)}

    @property
    def _queue(self) -> Queue:
        queue: Queue = self.context["queue"]
        return queue


class OrganizationJobsView(ApiView):
    """The jobs that one may see, newest first, 50 unless ``limit`` says otherwise: one's own, and all of them for
    whoever may manage the organization's templates."""

    @extend_schema(
        operation_id="organization_provisioner_jobs",
        parameters=[*filtering.parameters(JobFilter, without=("organization",)), *PAGE_PARAMETERS[1:]],
        responses={200: QueuedJobSerializer(many=True)},
    )
    def get(self, request: Request, organization: str) -> Response:
        found = find_organization(self.actor, organization)
        page = page_of(request.query_params)
        if page.after_id:
            raise Invalid.field("after_id", "Jobs have pages by limit and offset only.")
        visible = ProvisionerJob.objects.visible(self.actor).filter(organization=found)
        rows = filtering.apply(JobFilter, self.actor, request.query_params, visible).order_by("-created_at", "id")
        jobs = list(rows[page.offset : page.offset + (page.limit or PAGE_ROWS)])
        context: dict[str, Any] = {"queue": queue_of([job.pk for job in jobs])}
        return Response(QueuedJobSerializer(jobs, many=True, context=context).data)
