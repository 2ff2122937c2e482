"""Endpoints of template versions, the results of their imports, and their logs."""

import uuid

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from coderproj.api.schema import ConfirmationSerializer, path_id
from coderproj.base.errors import DomainError, Unfinished
from coderproj.identity import audit
from coderproj.identity.models import AuditAction
from coderproj.reads.compiled import json_answer
from coderproj.reads.viewsets import CompiledReads
from provisioning import parameters
from provisioning.serializers.jobs import (
    ComputedValueSerializer,
    LogSerializer,
    ParameterSchemaSerializer,
    ResourceSerializer,
)
from provisioning.views.logs import CompiledLog
from templates_app import reads
from templates_app.serializers.bodies import UpdateVersionBody
from templates_app.serializers.templates import PresetSerializer, RichParameterSerializer
from templates_app.services import versions
from templates_app.services.archiving import set_archived
from templates_app.views.base import OfVersion, version_for_answer

VERSION_ID = [path_id("templateversion")]


class VersionViewSet(CompiledReads, OfVersion):
    """Versions by their id, and the results of their imports."""

    serializer_classes = {
        "parameters": ComputedValueSerializer,
        "presets": PresetSerializer,
        "rich_parameters": RichParameterSerializer,
        "resources": ResourceSerializer,
        "variables": ParameterSchemaSerializer,
    }
    body_classes = {"partial_update": UpdateVersionBody}
    compiled_reads = {
        "retrieve": reads.VERSION,
        "rich_parameters": reads.RICH_PARAMETERS,
        "resources": reads.RESOURCES,
        "variables": reads.SCHEMA,
    }

    @extend_schema(operation_id="template_version")
    def retrieve(self, request: Request, templateversion: str) -> HttpResponse:
        """Return a version with the status of its import."""
        return self.compiled_answer(self.version_id)

    @extend_schema(operation_id="update_template_version")
    def partial_update(self, request: Request, templateversion: str) -> Response:
        """Change a version's name or message."""
        found = self.get_object()
        with audit.refused(self.actor, AuditAction.WRITE, found):
            versions.authorize_change(self.actor, found)
            body = self.read_body()
        version = versions.update(self.actor, found, name=body["name"], message=body.get("message"))
        return self.respond(version_for_answer(version))

    @extend_schema(operation_id="cancel_template_version", responses={200: ConfirmationSerializer})
    def cancel(self, request: Request, templateversion: str) -> Response:
        """Cancel a version's import. A waiting one ends at once, a running one is interrupted."""
        versions.cancel(self.actor, self.get_object())
        return self.confirm("Job has been marked as canceled...")

    @extend_schema(
        operation_id="archive_template_version", parameters=VERSION_ID, responses={200: ConfirmationSerializer}
    )
    def archive(self, request: Request, templateversion: str) -> Response:
        """Archive a version. The active version cannot be archived."""
        set_archived(self.actor, self.get_object(), archived=True)
        return self.confirm("Template version archived.")

    @extend_schema(
        operation_id="unarchive_template_version", parameters=VERSION_ID, responses={200: ConfirmationSerializer}
    )
    def unarchive(self, request: Request, templateversion: str) -> Response:
        """Unarchive a version."""
        set_archived(self.actor, self.get_object(), archived=False)
        return self.confirm("Template version unarchived.")

    @extend_schema(
        operation_id="template_version_presets",
        parameters=VERSION_ID,
        responses={200: PresetSerializer(many=True)},
    )
    def presets(self, request: Request, templateversion: str) -> Response:
        """List the presets of a version: named sets of values for its parameters."""
        return self.respond(self.get_object().presets.order_by("index"), many=True)

    @extend_schema(
        operation_id="template_version_external_auth",
        parameters=VERSION_ID,
        responses={200: serializers.ListSerializer(child=serializers.DictField())},
    )
    def external_auth(self, request: Request, templateversion: str) -> Response:
        """Return an empty list: there are no external providers to sign in to. Command lines ask before they create a
        workspace."""
        self.get_object()
        return Response([])

    @extend_schema(operation_id="template_version_parameters", responses={200: ComputedValueSerializer(many=True)})
    def parameters(self, request: Request, templateversion: str) -> Response:
        """Return the values of the version's variables, as computed by its import."""
        version = self.get_object()
        versions.require_completed(version.job)
        return self.respond(parameters.compute(version.job_id), many=True)

    @extend_schema(operation_id="template_version_rich_parameters", responses={200: RichParameterSerializer(many=True)})
    def rich_parameters(self, request: Request, templateversion: str) -> HttpResponse:
        """Return the parameters that users set for a workspace. 412 during the import (contract)."""
        return self.results(Unfinished)

    @extend_schema(operation_id="template_version_resources", responses={200: ResourceSerializer(many=True)})
    def resources(self, request: Request, templateversion: str) -> HttpResponse:
        """Return the resources of the version's plans for start and stop."""
        return self.results()

    @extend_schema(operation_id="template_version_schema", responses={200: ParameterSchemaSerializer(many=True)})
    def variables(self, request: Request, templateversion: str) -> HttpResponse:
        """Return the variables of the version's root module."""
        return self.results()

    def results(self, unfinished: type[DomainError] = versions.JobUnfinished) -> HttpResponse:
        """Return the action's read of the import's results. Raises ``unfinished`` before the import has ended."""
        body, has_ended = self.compiled_row(self.version_id)
        if not has_ended:
            raise unfinished
        return json_answer(body)


@extend_schema_view(
    list=extend_schema(
        operation_id="template_version_logs",
        description="The log of a version's import, to read or to follow.",
    )
)
class VersionLogViewSet(CompiledLog, OfVersion):
    """The log of a version's import."""

    serializer_class = LogSerializer
    compiled_reads = {"list": reads.LOG_OF_VERSION}

    @property
    def object_id(self) -> uuid.UUID:
        return self.version_id
