"""Routes that later clients use beside the documented ones."""

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from coderproj.api.schema import ConfirmationSerializer, path_id
from coderproj.base.errors import NotFound
from templates_app.models import Template, TemplateVersion
from templates_app.serializers.templates import TemplateVersionSerializer
from templates_app.services import versions
from templates_app.services.archiving import set_archived
from templates_app.views.base import AnswersVersion, InOrganization, OfVersion, version_for_answer, versions_for_answers

VERSION_ID = [path_id("templateversion")]


class VersionOfNamedTemplate(AnswersVersion, InOrganization):
    """A version named by organization, template and version."""

    def find_version(self) -> TemplateVersion:
        """The version of that exact name. Raises NotFound."""
        templates = Template.objects.visible(self.actor).filter(organization=self.find_organization_of_templates())
        template = templates.filter(name__iexact=self.kwargs["templatename"]).first()
        if template is None:
            raise NotFound
        rows = versions_for_answers(TemplateVersion.objects.filter(template=template))
        version = rows.filter(name=self.kwargs["templateversionname"]).first()
        if version is None:
            raise NotFound
        return version


class NamedVersionView(VersionOfNamedTemplate):
    @extend_schema(operation_id="named_template_version", responses={200: TemplateVersionSerializer})
    def get(self, request: Request, organization: str, templatename: str, templateversionname: str) -> Response:
        """A version by the names of its template and its own."""
        return self.version_answer(self.find_version())


class PreviousNamedVersionView(VersionOfNamedTemplate):
    """The version of the same template that was created just before the named one."""

    @extend_schema(operation_id="previous_named_template_version", responses={200: TemplateVersionSerializer})
    def get(self, request: Request, organization: str, templatename: str, templateversionname: str) -> Response:
        earlier = versions.previous(self.find_version())
        if earlier is None:
            raise NotFound("No previous template version found.")
        return self.version_answer(version_for_answer(earlier))


class ArchiveVersionView(OfVersion):
    @extend_schema(
        operation_id="archive_template_version",
        parameters=VERSION_ID,
        request=None,
        responses={200: ConfirmationSerializer},
    )
    def post(self, request: Request, templateversion: str) -> Response:
        """Archive a version that is out of use. The active one stays."""
        set_archived(self.actor, self.find_version(), archived=True)
        return self.answer("Template version archived.")


class UnarchiveVersionView(OfVersion):
    @extend_schema(
        operation_id="unarchive_template_version",
        parameters=VERSION_ID,
        request=None,
        responses={200: ConfirmationSerializer},
    )
    def post(self, request: Request, templateversion: str) -> Response:
        """Take a version out of the archive."""
        set_archived(self.actor, self.find_version(), archived=False)
        return self.answer("Template version unarchived.")


class PresetsView(OfVersion):
    """Versions have no presets of parameters."""

    @extend_schema(
        operation_id="template_version_presets",
        parameters=VERSION_ID,
        responses={200: serializers.ListSerializer(child=serializers.DictField())},
    )
    def get(self, request: Request, templateversion: str) -> Response:
        self.find_version()
        return Response([])
