"""Endpoints of dry runs: plans of a version with the caller's values."""

import uuid

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response

from coderproj.api.schema import ConfirmationSerializer
from coderproj.base.errors import DomainError
from coderproj.base.identifiers import path_uuid
from provisioning.models import ProvisionerJob, WorkspaceResource
from provisioning.serializers.jobs import LogSerializer, ProvisionerJobSerializer, ResourceSerializer
from provisioning.views.logs import FollowableLogs
from templates_app.serializers.bodies import DryRunBody
from templates_app.services import versions
from templates_app.views.base import OfVersion


class OfDryRun(OfVersion):
    """A resource at or below ``/templateversions/{templateversion}/dry-run``."""

    def find_dry_run(self) -> ProvisionerJob:
        """Return the job of the dry run in the path. Raises NotFound and Forbidden."""
        return versions.find_dry_run(self.actor, self.get_object(), path_uuid("jobID", self.kwargs["job_id"]))


class DryRunViewSet(OfDryRun):
    """Dry runs of a version."""

    serializer_class = ProvisionerJobSerializer
    serializer_classes = {"resources": ResourceSerializer}
    body_classes = {"create": DryRunBody}

    @extend_schema(operation_id="create_template_version_dry_run")
    def create(self, request: Request, templateversion: str) -> Response:
        """Plan the version with the given values, without creating anything."""
        version = self.get_object()
        versions.authorize_dry_run(self.actor, version)
        if not self.has_body:
            raise DomainError("Request body must be valid JSON.", detail="The body is empty.")
        body = self.read_body()
        job = versions.start_dry_run(
            self.actor,
            version,
            versions.DryRunInput(
                workspace_name=body["workspace_name"],
                values={
                    **{value["name"]: value["source_value"] for value in body["parameter_values"] if value["name"]},
                    **{value["name"]: value["value"] for value in body["user_variable_values"]},
                },
                rich_values={value["name"]: value["value"] for value in body["rich_parameter_values"]},
            ),
        )
        return self.respond(job, status=201)

    @extend_schema(operation_id="template_version_dry_run")
    def retrieve(self, request: Request, templateversion: str, job_id: str) -> Response:
        """Return the job of a dry run."""
        return self.respond(self.find_dry_run())

    @extend_schema(operation_id="cancel_template_version_dry_run", responses={200: ConfirmationSerializer})
    def cancel(self, request: Request, templateversion: str, job_id: str) -> Response:
        """Cancel a dry run. A waiting one ends at once, a running one is interrupted."""
        versions.cancel_dry_run(self.actor, self.find_dry_run())
        return self.confirm("Job has been marked as canceled...")

    @extend_schema(operation_id="template_version_dry_run_resources", responses={200: ResourceSerializer(many=True)})
    def resources(self, request: Request, templateversion: str, job_id: str) -> Response:
        """Return the resources of a dry run, with agents and apps."""
        job = self.find_dry_run()
        versions.require_completed(job, versions.DryRunUnfinished)
        rows = WorkspaceResource.objects.filter(job=job).prefetch_related("metadata", "agents__apps")
        return self.respond(rows.order_by(*ResourceSerializer.Meta.list_order), many=True)


@extend_schema_view(
    list=extend_schema(
        operation_id="template_version_dry_run_logs", description="The log of a dry run, to read or to follow."
    )
)
class DryRunLogViewSet(FollowableLogs, OfDryRun):
    """The log of a dry run."""

    serializer_class = LogSerializer

    def get_job_id(self) -> uuid.UUID:
        return self.find_dry_run().pk
