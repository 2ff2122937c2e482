"""Endpoints of dry runs: a plan of a version with values of the caller's."""

import uuid

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response

from coderproj.api.schema import ConfirmationSerializer
from coderproj.base.errors import DomainError
from coderproj.base.identifiers import path_uuid
from provisioning.models import ProvisionerJob
from provisioning.serializers.jobs import LogSerializer, ProvisionerJobSerializer, ResourceSerializer
from provisioning.views.logs import FollowableLogs
from templates_app.serializers.templates import DryRunBody
from templates_app.services import versions
from templates_app.views.base import OfVersion
from templates_app.views.versions import resources_of


class DryRunsView(OfVersion):
    @extend_schema(
        operation_id="create_template_version_dry_run",
        request=DryRunBody,
        responses={201: ProvisionerJobSerializer},
    )
    def post(self, request: Request, templateversion: str) -> Response:
        """Plan the version with the given values, without creating anything."""
        version = self.find_version()
        versions.authorize_dry_run(self.actor, version)
        if not self.has_body:
            raise DomainError("Request body must be valid JSON.", detail="It is empty.")
        body = self.body(DryRunBody)
        job = versions.start_dry_run(
            self.actor,
            version,
            versions.DryRunInput(
                workspace_name=body["workspace_name"],
                values={value["name"]: value["source_value"] for value in body["parameter_values"] if value["name"]},
                rich_values={value["name"]: value["value"] for value in body["rich_parameter_values"]},
            ),
        )
        return Response(ProvisionerJobSerializer(job).data, status=201)


class OfDryRun(OfVersion):
    """A view below ``/templateversions/{templateversion}/dry-run/{jobID}``."""

    def get_job(self) -> ProvisionerJob:
        """The dry run that the path names. Raises NotFound and Forbidden."""
        version = self.find_version()
        return versions.find_dry_run(self.actor, version, path_uuid("jobID", self.kwargs["job_id"]))


class DryRunView(OfDryRun):
    @extend_schema(operation_id="template_version_dry_run", responses={200: ProvisionerJobSerializer})
    def get(self, request: Request, templateversion: str, job_id: str) -> Response:
        """The job of a dry run."""
        return Response(ProvisionerJobSerializer(self.get_job()).data)


class CancelDryRunView(OfDryRun):
    @extend_schema(
        operation_id="cancel_template_version_dry_run", request=None, responses={200: ConfirmationSerializer}
    )
    def patch(self, request: Request, templateversion: str, job_id: str) -> Response:
        """Cancel a dry run. One that waits ends at once, one that runs is interrupted."""
        versions.cancel_dry_run(self.actor, self.get_job())
        return self.answer("Job has been marked as canceled...")


@extend_schema_view(
    get=extend_schema(operation_id="template_version_dry_run_logs", responses={200: LogSerializer(many=True)})
)
class DryRunLogsView(OfDryRun, FollowableLogs):
    """The log of a dry run, to read or to follow."""

    def get_job_id(self) -> uuid.UUID:
        return self.get_job().pk


class DryRunResourcesView(OfDryRun):
    @extend_schema(operation_id="template_version_dry_run_resources", responses={200: ResourceSerializer(many=True)})
    def get(self, request: Request, templateversion: str, job_id: str) -> Response:
        """The resources that a dry run found, with agents and apps."""
        return Response(resources_of(self.get_job()))
