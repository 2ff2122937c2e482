"""Endpoints of template versions and of what their imports found."""

import uuid
from typing import Any

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response

from coderproj.api.schema import ConfirmationSerializer
from coderproj.api.views import CompiledReadView
from coderproj.base.errors import DomainError, NotFound, Unfinished
from coderproj.identity import audit
from coderproj.identity.models import AuditAction
from coderproj.reads.compiled import json_answer
from provisioning import parameters
from provisioning.log.reading import LogPage
from provisioning.log.window import LogWindow
from provisioning.models import ProvisionerJob, WorkspaceResource
from provisioning.serializers.jobs import (
    ComputedValueSerializer,
    LogSerializer,
    ParameterSchemaSerializer,
    ResourceSerializer,
    given_values,
)
from provisioning.views.logs import FollowableLogs, log_response
from templates_app import reads
from templates_app.models import TemplateVersion
from templates_app.serializers.templates import (
    CreateVersionBody,
    RichParameterSerializer,
    TemplateVersionSerializer,
    UpdateVersionBody,
)
from templates_app.services import versions
from templates_app.views.base import AnswersVersion, InOrganization, OfVersion, version_for_answer, versions_for_answers


class OrganizationVersionsView(AnswersVersion, InOrganization):
    """Creating a version, which queues its import."""

    @extend_schema(
        operation_id="create_template_version",
        request=CreateVersionBody,
        responses={201: TemplateVersionSerializer},
    )
    def post(self, request: Request, organization: str) -> Response:
        found = self.find_organization_of_templates()
        body = self.body(CreateVersionBody)
        version = versions.create(
            self.actor,
            found,
            versions.NewVersion(
                source=versions.Source(file_id=body.get("file_id"), starter=body["example_id"]),
                name=body["name"],
                message=body["message"],
                template_id=body.get("template_id"),
                provisioner=body["provisioner"],
                tags=body["tags"],
                values=given_values(body["parameter_values"]),
                rich_values={value["name"]: value["value"] for value in body["rich_parameter_values"]},
                workspace_name=body["workspace_name"],
            ),
        )
        return self.version_answer(version, status=201)  # as it was queued: a daemon may have taken it meanwhile


class VersionByName(AnswersVersion, InOrganization):
    """A view of a version that is named below its organization. The newest match wins, as
    names are unique within a template only."""

    def find_version(self) -> TemplateVersion:
        """The newest visible version of that exact name. Raises NotFound."""
        name = self.kwargs["templateversionname"]
        found = self.find_organization_of_templates()
        rows = TemplateVersion.objects.visible(self.actor).filter(organization=found, name=name)
        version = versions_for_answers(rows).order_by("-created_at", "-id").first()
        if version is None:
            raise NotFound(f"No template version found by name {name[:64]!r}.")
        return version


class OrganizationVersionView(VersionByName):
    @extend_schema(operation_id="organization_template_version", responses={200: TemplateVersionSerializer})
    def get(self, request: Request, organization: str, templateversionname: str) -> Response:
        """A version by its name, the newest of the organization where several templates have it."""
        return self.version_answer(self.find_version())


class PreviousVersionView(VersionByName):
    """The version of the same template that was created just before the named one."""

    @extend_schema(operation_id="previous_template_version", responses={200: TemplateVersionSerializer})
    def get(self, request: Request, organization: str, templateversionname: str) -> Response:
        earlier = versions.previous(self.find_version())
        if earlier is None:
            raise NotFound("No previous template version found.")
        return self.version_answer(version_for_answer(earlier))


class VersionView(CompiledReadView, OfVersion):
    @extend_schema(operation_id="template_version", responses={200: TemplateVersionSerializer})
    def get(self, request: Request, templateversion: str) -> HttpResponse:
        """A version with the state of its import."""
        return reads.VERSION.answer(self.actor, self.version_id)

    @extend_schema(
        operation_id="update_template_version",
        request=UpdateVersionBody,
        responses={200: TemplateVersionSerializer},
    )
    def patch(self, request: Request, templateversion: str) -> Response:
        """Change a version's name or message."""
        found = self.find_version()
        with audit.refused(self.actor, AuditAction.WRITE, found):
            versions.authorize_change(self.actor, found)
            body = self.body(UpdateVersionBody)
        version = versions.update(self.actor, found, name=body["name"], message=body.get("message"))
        return self.version_answer(version_for_answer(version))


class CancelVersionView(OfVersion):
    @extend_schema(operation_id="cancel_template_version", request=None, responses={200: ConfirmationSerializer})
    def patch(self, request: Request, templateversion: str) -> Response:
        """Cancel a version's import. One that waits ends at once, one that runs is interrupted."""
        versions.cancel(self.actor, self.find_version())
        return self.answer("Job has been marked as canceled...")


@extend_schema_view(get=extend_schema(operation_id="template_version_logs", responses={200: LogSerializer(many=True)}))
class VersionLogsView(CompiledReadView, OfVersion, FollowableLogs):
    """The log of a version's import, to read or to follow."""

    def get_job_id(self) -> uuid.UUID:
        job_id: uuid.UUID
        (job_id,) = reads.JOB_OF_VERSION.row(self.actor, self.version_id)
        return job_id

    def read_log(self, window: LogWindow) -> HttpResponseBase:
        page, job_id, _ = reads.LOG_OF_VERSION.row(
            self.actor, self.version_id, window.after_id, window.before_id, window.after_time, window.before_time
        )
        return log_response(job_id, window, LogPage.of(page))


class VersionParametersView(OfVersion):
    """The values of the version's variables, as its import computed them."""

    @extend_schema(operation_id="template_version_parameters", responses={200: ComputedValueSerializer(many=True)})
    def get(self, request: Request, templateversion: str) -> Response:
        version = self.find_version()
        versions.require_completed(version.job)
        return Response(ComputedValueSerializer(parameters.compute(version.job_id), many=True).data)


class VersionRichParametersView(CompiledReadView, OfVersion):
    """What the template asks whoever makes a workspace of it. 412 during the import (contract)."""

    @extend_schema(operation_id="template_version_rich_parameters", responses={200: RichParameterSerializer(many=True)})
    def get(self, request: Request, templateversion: str) -> HttpResponse:
        return completed(reads.RICH_PARAMETERS.row(self.actor, self.version_id), Unfinished)


class VersionResourcesView(CompiledReadView, OfVersion):
    """What the version creates, on start and on stop."""

    @extend_schema(operation_id="template_version_resources", responses={200: ResourceSerializer(many=True)})
    def get(self, request: Request, templateversion: str) -> HttpResponse:
        return completed(reads.RESOURCES.row(self.actor, self.version_id))


class VersionSchemaView(CompiledReadView, OfVersion):
    """The variables of the version's root module."""

    @extend_schema(operation_id="template_version_schema", responses={200: ParameterSchemaSerializer(many=True)})
    def get(self, request: Request, templateversion: str) -> HttpResponse:
        return completed(reads.SCHEMA.row(self.actor, self.version_id))


def completed(row: tuple[Any, ...], error: type[DomainError] = versions.JobUnfinished) -> HttpResponse:
    """The answer of a read of an import's results: JSON, and whether the import has ended. Raises ``error``."""
    body, has_ended = row
    if not has_ended:
        raise error
    return json_answer(body)


def resources_of(job: ProvisionerJob) -> Any:
    """The resources of a finished dry run, by name. Raises DryRunUnfinished."""
    versions.require_completed(job, versions.DryRunUnfinished)
    rows = WorkspaceResource.objects.filter(job=job).prefetch_related("metadata", "agents__apps")
    return ResourceSerializer(rows.order_by(*ResourceSerializer.Meta.list_order), many=True).data
