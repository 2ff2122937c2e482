"""Base classes of viewsets below an organization, a template or a version. Hidden objects are not found."""

import uuid
from typing import Any

from coderproj.accounts.serializers.users import user_context
from coderproj.api.viewsets import ApiViewSet, SerializerClass
from coderproj.base.errors import NotFound
from coderproj.base.identifiers import path_uuid
from coderproj.identity.actor import Actor
from coderproj.identity.models import Organization
from coderproj.identity.organizations import find_organization
from templates_app.models import Template, TemplateVersion
from templates_app.models.templates import TemplateQuerySet, TemplateVersionQuerySet
from templates_app.serializers.templates import TemplateVersionSerializer
from templates_app.services import access


class InOrganization(ApiViewSet):
    """A resource below ``/organizations/{organization}``."""

    def find_organization(self) -> Organization:
        """Return the visible organization. Raises NotFound."""
        return find_organization(self.actor, self.kwargs["organization"])

    def find_organization_of_templates(self) -> Organization:
        """Return the organization, also for an actor who is only on a template's access list. Raises NotFound."""
        return access.find_organization(self.actor, self.kwargs["organization"])


class OfTemplate(ApiViewSet):
    """A resource at or below ``/templates/{template}``."""

    lookup_url_kwarg = "template"

    @property
    def template_id(self) -> uuid.UUID:
        """The id in the path. Raises DomainError for an invalid id."""
        return path_uuid("template", self.kwargs["template"])

    def find_template(self) -> Template:
        """Return the visible template. Raises NotFound."""
        template = visible_templates(self.actor).filter(pk=self.template_id).first()
        if template is None:
            raise NotFound
        return template


class AnswersVersions(ApiViewSet):
    """A resource whose actions return versions with the regular serializer."""

    serializer_class: SerializerClass | None = TemplateVersionSerializer

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), **user_context(self.actor)}


class OfVersion(AnswersVersions):
    """A resource at or below ``/templateversions/{templateversion}``."""

    lookup_url_kwarg = "templateversion"

    @property
    def version_id(self) -> uuid.UUID:
        """The id in the path. Raises DomainError for an invalid id."""
        return path_uuid("templateversion", self.kwargs["templateversion"])

    def get_queryset(self) -> TemplateVersionQuerySet:
        return versions_for_answers(TemplateVersion.objects.visible(self.actor))


def visible_templates(actor: Actor) -> TemplateQuerySet:
    """Return the visible templates with everything that ``TemplateSerializer`` reads."""
    return Template.objects.visible(actor).with_statistics().select_related("created_by", "organization")


def versions_for_answers(versions: TemplateVersionQuerySet) -> TemplateVersionQuerySet:
    """Return the versions with everything that ``TemplateVersionSerializer`` reads."""
    return versions.select_related("job", "created_by").prefetch_related("created_by__memberships")


def version_for_answer(version: TemplateVersion) -> TemplateVersion:
    """Load a version again after a write, as a read would."""
    return versions_for_answers(TemplateVersion.objects.filter(pk=version.pk)).get()
