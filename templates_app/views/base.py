"""Finding what a path names, with the caller's eyes: what they may not see does not exist."""

import uuid

from rest_framework.response import Response

from coderproj.accounts.serializers.users import user_context
from coderproj.api.views import ApiView
from coderproj.base.errors import NotFound
from coderproj.base.identifiers import path_uuid
from coderproj.identity.models import Organization
from coderproj.identity.organizations import find_organization
from templates_app.models import Template, TemplateVersion
from templates_app.models.templates import TemplateVersionQuerySet
from templates_app.serializers.templates import TemplateVersionSerializer
from templates_app.services import access


class InOrganization(ApiView):
    """A view below ``/organizations/{organization}``."""

    def find_organization(self) -> Organization:
        """The visible organization. Raises NotFound."""
        return find_organization(self.actor, self.kwargs["organization"])

    def find_organization_of_templates(self) -> Organization:
        """The organization, for somebody who is only in a template's access list, too. Raises NotFound."""
        return access.find_organization(self.actor, self.kwargs["organization"])


class OfTemplate(ApiView):
    """A view below ``/templates/{template}``."""

    @property
    def template_id(self) -> uuid.UUID:
        return path_uuid("template", self.kwargs["template"])

    def find_template(self) -> Template:
        """The visible template, with its author. Raises NotFound."""
        templates = Template.objects.visible(self.actor).with_statistics().select_related("created_by")
        template = templates.filter(pk=self.template_id).first()
        if template is None:
            raise NotFound
        return template


class AnswersVersion(ApiView):
    """A view that answers one version, outside of the compiled reads."""

    def version_answer(self, version: TemplateVersion, status: int = 200) -> Response:
        """The version as the caller may see it."""
        return Response(TemplateVersionSerializer(version, context=user_context(self.actor)).data, status=status)


class OfVersion(AnswersVersion):
    """A view below ``/templateversions/{templateversion}``."""

    @property
    def version_id(self) -> uuid.UUID:
        return path_uuid("templateversion", self.kwargs["templateversion"])

    def find_version(self) -> TemplateVersion:
        """The visible version, with its job and author. Raises NotFound."""
        version = versions_for_answers(TemplateVersion.objects.visible(self.actor)).filter(pk=self.version_id).first()
        if version is None:
            raise NotFound
        return version


def versions_for_answers(versions: TemplateVersionQuerySet) -> TemplateVersionQuerySet:
    """With everything that ``TemplateVersionSerializer`` reads."""
    return versions.select_related("job", "created_by").prefetch_related("created_by__memberships")


def version_for_answer(version: TemplateVersion) -> TemplateVersion:
    """A version that was just written, as a read would find it."""
    return versions_for_answers(TemplateVersion.objects.filter(pk=version.pk)).get()
