"""Endpoints of templates: by id, and those of an organization."""

from contextlib import suppress
from typing import Any

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from coderproj.api.schema import ConfirmationSerializer
from coderproj.base.dialect import absent_template_fields, kept_if_empty, template_created_status
from coderproj.base.errors import NotFound
from coderproj.base.identifiers import parse_uuid
from coderproj.identity import audit
from coderproj.identity.models import AuditAction
from coderproj.identity.organizations import organization_reference, sees_all_organizations
from coderproj.identity.rbac import Action
from coderproj.reads.viewsets import CompiledReads
from provisioning.serializers.jobs import given_values
from templates_app import reads, starters
from templates_app.filters import TemplateFilter
from templates_app.models import Template
from templates_app.models.templates import TemplateQuerySet
from templates_app.serializers.bodies import CreateTemplateBody, UpdateTemplateBody
from templates_app.serializers.templates import (
    DailyActiveUsersSerializer,
    StarterSerializer,
    TemplateSerializer,
)
from templates_app.services import access, templates
from templates_app.views.base import InOrganization, OfTemplate, visible_templates


class TemplateViewSet(CompiledReads, ListModelMixin, OfTemplate):
    """Templates by their id, and those of all organizations."""

    serializer_class = TemplateSerializer
    serializer_classes = {"daily_users": DailyActiveUsersSerializer}
    body_classes = {"partial_update": UpdateTemplateBody}
    compiled_reads = {"retrieve": reads.TEMPLATE, "daily_users": reads.DAILY_USERS_OF_TEMPLATE}
    filterset_class = TemplateFilter

    def get_queryset(self) -> TemplateQuerySet:
        if self.action == "list":  # including deleted templates, which the filter excludes by default
            return Template.objects.readable(self.actor).most_used_first()
        return visible_templates(self.actor)

    @extend_schema(operation_id="templates")
    def list(self, request: Request) -> Response:
        """List the visible templates of all organizations."""
        return super().list(request)

    @extend_schema(operation_id="template")
    def retrieve(self, request: Request, template: str) -> HttpResponse:
        """Return a template."""
        return self.compiled_answer(self.template_id)

    @extend_schema(operation_id="update_template")
    def partial_update(self, request: Request, template: str) -> Response:
        """Update a template's names, description, icon or rules. Omitted fields keep their values.
        ``disable_everyone_group_access`` removes the group Everyone from the access list."""
        found = self.get_object()
        with audit.refused(self.actor, AuditAction.WRITE, found):
            access.authorize(self.actor, Action.UPDATE, found)
            changes = self.read_body()
        if self.has_body:
            changes = {**absent_template_fields(self.dialect, self.request.data), **changes}
        kept = kept_if_empty(self.request.data)
        changes = {name: value for name, value in changes.items() if value or name not in kept}
        revoke = changes.pop("disable_everyone_group_access", False)
        return self.respond(for_answer(templates.update(self.actor, found, changes, revoke_everyone=revoke)))

    @extend_schema(operation_id="delete_template", responses={200: ConfirmationSerializer})
    def destroy(self, request: Request, template: str) -> Response:
        """Delete a template and free its name."""
        templates.delete(self.actor, self.get_object())
        return self.confirm("Template has been deleted!")

    @extend_schema(operation_id="template_daus")
    def daily_users(self, request: Request, template: str) -> HttpResponse:
        """Return the daily active users of a template: owners of workspaces with traffic. Days are in UTC."""
        return self.compiled_answer(self.template_id)


class OrganizationTemplateViewSet(CompiledReads, InOrganization):
    """The templates of an organization, by their name."""

    serializer_class = TemplateSerializer
    serializer_classes = {"examples": StarterSerializer}
    body_classes = {"create": CreateTemplateBody}
    compiled_reads = {"list": reads.TEMPLATES_OF_ORGANIZATION, "retrieve": reads.TEMPLATE_BY_NAME}
    filterset_class = TemplateFilter

    def get_queryset(self) -> TemplateQuerySet:
        """Return the templates of the organization, including deleted ones for the filter. Raises NotFound."""
        found = self.find_organization_of_templates()
        return Template.objects.readable(self.actor).filter(organization=found).most_used_first()

    @extend_schema(operation_id="organization_templates")
    def list(self, request: Request, organization: str) -> HttpResponseBase:
        """List the visible templates of an organization."""
        if not self.is_filtered():
            with suppress(NotFound):
                return self.compiled_answer(organization_reference(organization))
        try:
            rows = self.get_queryset()
        except NotFound:
            # A caller without a site role cannot tell a hidden organization from a missing one: both are empty.
            if sees_all_organizations(self.actor) or parse_uuid(organization) is None:
                raise
            return Response([])
        return self.respond(self.filter_queryset(rows), many=True)

    @extend_schema(operation_id="create_template", responses={200: TemplateSerializer, 201: TemplateSerializer})
    def create(self, request: Request, organization: str) -> Response:
        """Create a template from a version. Every member of the organization may use it, unless
        ``disable_everyone_group_access`` is true."""
        found = self.find_organization()
        access.authorize_in_organization(self.actor, Action.CREATE, found)
        body = self.read_body()
        version_id, values = body.pop("template_version_id"), given_values(body.pop("parameter_values"))
        everyone = not body.pop("disable_everyone_group_access")
        template = templates.create(
            self.actor, found, version_id=version_id, fields=body, values=values, everyone=everyone
        )
        return self.respond(for_answer(template), status=template_created_status(self.dialect))

    @extend_schema(operation_id="organization_template")
    def retrieve(self, request: Request, organization: str, templatename: str) -> HttpResponse:
        """Return a template by its name, case-insensitive."""
        return self.compiled_answer(organization_reference(organization), templatename)

    @extend_schema(operation_id="organization_template_examples", responses={200: StarterSerializer(many=True)})
    def examples(self, request: Request, organization: str) -> Response:
        """List the bundled starters. Every member of the organization may read them."""
        self.find_organization()
        return self.respond(starters.starters(), many=True)


def for_answer(template: Template) -> Any:
    """Load a template again after a write, as a read would."""
    return Template.objects.with_statistics().select_related("created_by", "organization").get(pk=template.pk)
