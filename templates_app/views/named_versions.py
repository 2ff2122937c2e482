"""Endpoints of versions by name below an organization, and of creating versions."""

from abc import ABC, abstractmethod

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from coderproj.base.errors import NotFound
from provisioning.queue.matching import matched
from provisioning.serializers.jobs import given_values
from templates_app.models import Template, TemplateVersion
from templates_app.serializers.bodies import CreateVersionBody
from templates_app.serializers.templates import CreatedVersionSerializer
from templates_app.services import versions
from templates_app.views.base import AnswersVersions, InOrganization, version_for_answer, versions_for_answers


class NamedVersions(AnswersVersions, InOrganization, ABC):
    """The base of viewsets that find a version by name."""

    @abstractmethod
    def get_object(self) -> TemplateVersion:
        """Return the version in the path. Raises NotFound."""

    def find_previous(self) -> TemplateVersion:
        """Return the previous version of the same template. Raises NotFound."""
        earlier = versions.previous(self.get_object())
        if earlier is None:
            raise NotFound("No previous template version found.")
        return version_for_answer(earlier)


class OrganizationVersionViewSet(NamedVersions):
    """Versions by their name in an organization. The newest match wins: names are unique within a template only."""

    serializer_classes = {"create": CreatedVersionSerializer}
    body_classes = {"create": CreateVersionBody}

    def get_object(self) -> TemplateVersion:
        """Return the newest visible version with exactly this name. Raises NotFound."""
        name = self.kwargs["templateversionname"]
        found = self.find_organization_of_templates()
        rows = TemplateVersion.objects.visible(self.actor).filter(organization=found, name=name)
        version = versions_for_answers(rows).order_by("-created_at", "-id").first()
        if version is None:
            raise NotFound(f"No template version found by name {name[:64]!r}.")
        return version

    @extend_schema(operation_id="create_template_version")
    def create(self, request: Request, organization: str) -> Response:
        """Create a version and queue its import."""
        found = self.find_organization_of_templates()
        body = self.read_body()
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
                values=given_values(body["parameter_values"], body["user_variable_values"]),
                rich_values={value["name"]: value["value"] for value in body["rich_parameter_values"]},
                workspace_name=body["workspace_name"],
            ),
        )
        context = {**self.get_serializer_context(), "matched": matched(version.job)}
        # Not reloaded: a daemon may have claimed the job meanwhile.
        return Response(self.get_serializer(version, context=context).data, status=201)

    @extend_schema(operation_id="organization_template_version")
    def retrieve(self, request: Request, organization: str, templateversionname: str) -> Response:
        """Return a version by its name; the newest if several templates have versions of this name."""
        return self.respond(self.get_object())

    @extend_schema(operation_id="previous_template_version")
    def previous(self, request: Request, organization: str, templateversionname: str) -> Response:
        """Return the version that precedes the named one in its template."""
        return self.respond(self.find_previous())


class NamedVersionViewSet(NamedVersions):
    """Versions by the names of template and version, as later clients request them."""

    def get_object(self) -> TemplateVersion:
        """Return the version with exactly this name. Raises NotFound."""
        templates = Template.objects.visible(self.actor).filter(organization=self.find_organization_of_templates())
        template = templates.filter(name__iexact=self.kwargs["templatename"]).first()
        if template is None:
            raise NotFound
        rows = versions_for_answers(TemplateVersion.objects.filter(template=template))
        version = rows.filter(name=self.kwargs["templateversionname"]).first()
        if version is None:
            raise NotFound
        return version

    @extend_schema(operation_id="named_template_version")
    def retrieve(self, request: Request, organization: str, templatename: str, templateversionname: str) -> Response:
        """Return a version by the names of template and version."""
        return self.respond(self.get_object())

    @extend_schema(operation_id="previous_named_template_version")
    def previous(self, request: Request, organization: str, templatename: str, templateversionname: str) -> Response:
        """Return the version that precedes the named one in its template."""
        return self.respond(self.find_previous())
