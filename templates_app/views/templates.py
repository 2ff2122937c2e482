"""Endpoints of templates."""

from contextlib import suppress

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from coderproj.accounts.serializers.users import user_context
from coderproj.api.dialect import absent_template_fields, one_version, template_created_status
from coderproj.api.pagination import Page, page_of
from coderproj.api.schema import PAGE_PARAMETERS, ConfirmationSerializer
from coderproj.api.views import CompiledReadView
from coderproj.base import filtering
from coderproj.base.errors import DomainError, Invalid, NotFound
from coderproj.base.identifiers import parse_uuid
from coderproj.identity import audit
from coderproj.identity.models import AuditAction
from coderproj.identity.organizations import organization_reference, sees_all_organizations
from coderproj.identity.rbac import Action
from coderproj.reads.compiled import json_answer
from provisioning.serializers.jobs import given_values
from templates_app import reads, starters
from templates_app.filters import TemplateFilter, VersionFilter, search_templates
from templates_app.models import Template, TemplateVersion
from templates_app.serializers.templates import (
    CreateTemplateBody,
    DailyActiveUsersSerializer,
    PromoteBody,
    StarterSerializer,
    TemplateSerializer,
    TemplateVersionSerializer,
    UpdateTemplateBody,
)
from templates_app.services import access, templates
from templates_app.views.base import InOrganization, OfTemplate, versions_for_answers


class OrganizationTemplatesView(CompiledReadView, InOrganization):
    """The templates of an organization, and creating one from a version."""

    @extend_schema(
        operation_id="organization_templates",
        parameters=filtering.parameters(TemplateFilter, without=("organization",)),
        responses={200: TemplateSerializer(many=True)},
    )
    def get(self, request: Request, organization: str) -> HttpResponse:
        if not filtering.is_filtered(TemplateFilter, request.query_params):
            with suppress(NotFound):
                return reads.TEMPLATES_OF_ORGANIZATION.answer(self.actor, organization_reference(organization))
        try:
            found = self.find_organization_of_templates()
        except NotFound:
            # To somebody without a site role a hidden organization and one that does not exist look alike: empty.
            if sees_all_organizations(self.actor) or parse_uuid(organization) is None:
                raise
            return Response([])
        rows = search_templates(self.actor, request.query_params).filter(organization=found)
        return Response(TemplateSerializer(rows.most_used_first(), many=True).data)

    @extend_schema(
        operation_id="create_template",
        request=CreateTemplateBody,
        responses={200: TemplateSerializer, 201: TemplateSerializer},
    )
    def post(self, request: Request, organization: str) -> Response:
        found = self.find_organization()
        access.authorize_in_organization(self.actor, Action.CREATE, found)
        body = self.body(CreateTemplateBody)
        template = templates.create(
            self.actor,
            found,
            templates.NewTemplate(
                name=body["name"],
                version_id=body["template_version_id"],
                display_name=body["display_name"],
                description=body["description"],
                icon=body["icon"],
                default_ttl_ms=body["default_ttl_ms"],
                allow_user_cancel_workspace_jobs=body["allow_user_cancel_workspace_jobs"],
                values=given_values(body["parameter_values"]),
            ),
        )
        return Response(_answer(template), status=template_created_status(self.dialect))


class StartersView(InOrganization):
    """The starter templates that come with the product, for any member of the organization."""

    @extend_schema(operation_id="organization_template_examples", responses={200: StarterSerializer(many=True)})
    def get(self, request: Request, organization: str) -> Response:
        self.find_organization()
        return Response(StarterSerializer(starters.starters(), many=True).data)


class OrganizationTemplateView(CompiledReadView, InOrganization):
    """A template by its name, in any case."""

    @extend_schema(operation_id="organization_template", responses={200: TemplateSerializer})
    def get(self, request: Request, organization: str, templatename: str) -> HttpResponse:
        return reads.TEMPLATE_BY_NAME.answer(self.actor, organization_reference(organization), templatename)


class TemplateView(CompiledReadView, OfTemplate):
    @extend_schema(operation_id="template", responses={200: TemplateSerializer})
    def get(self, request: Request, template: str) -> HttpResponse:
        """A template."""
        return reads.TEMPLATE.answer(self.actor, self.template_id)

    @extend_schema(operation_id="update_template", request=UpdateTemplateBody, responses={200: TemplateSerializer})
    def patch(self, request: Request, template: str) -> Response:
        """Change a template's names, description, icon or rules; fields that are left out stay."""
        found = self.find_template()
        with audit.refused(self.actor, AuditAction.WRITE, found):
            access.authorize(self.actor, Action.UPDATE, found)
            changes = self.body(UpdateTemplateBody)
        if self.has_body:
            changes = {**absent_template_fields(self.dialect), **changes}
        # A blank name or description means "keep" to the clients that send one.
        changes = {name: value for name, value in changes.items() if value or name not in {"name", "description"}}
        return Response(_answer(templates.update(self.actor, found, changes)))

    @extend_schema(operation_id="delete_template", responses={200: ConfirmationSerializer})
    def delete(self, request: Request, template: str) -> Response:
        """Delete a template. Its name can be used again."""
        templates.delete(self.actor, self.find_template())
        return self.answer("Template has been deleted!")


class TemplateDailyUsersView(OfTemplate):
    """Daily active users of a template."""

    @extend_schema(operation_id="template_daus", responses={200: DailyActiveUsersSerializer})
    def get(self, request: Request, template: str) -> Response:
        self.find_template()
        return Response({"entries": []})


class TemplateVersionsView(CompiledReadView, OfTemplate):
    """The versions of a template, oldest first, and promoting one of them."""

    @extend_schema(
        operation_id="template_versions",
        parameters=[*filtering.parameters(VersionFilter), *PAGE_PARAMETERS],
        responses={200: TemplateVersionSerializer(many=True)},
    )
    def get(self, request: Request, template: str) -> HttpResponse:
        try:
            page = page_of(request.query_params)
        except Invalid:
            self.find_template()  # who may not see it learns that first
            raise
        if filtering.is_filtered(VersionFilter, request.query_params):
            return self._filtered(page)
        body, known = reads.VERSIONS_OF_TEMPLATE.row(
            self.actor, self.template_id, page.after_id, page.limit or None, page.offset or None
        )
        if not known:
            raise unknown_cursor(page)
        return json_answer(body)

    def _filtered(self, page: Page) -> Response:
        """The page of the versions that the query parameters ask for."""
        versions = TemplateVersion.objects.filter(template=self.find_template())
        rows = filtering.apply(VersionFilter, self.actor, self.request.query_params, versions)
        if page.after_id:
            if not TemplateVersion.objects.visible(self.actor).filter(pk=page.after_id).exists():
                raise unknown_cursor(page)
            rows = rows.after_id(page.after_id)
        rows = versions_for_answers(rows.order_by("created_at", "id"))
        shown = rows[page.offset : page.offset + page.limit if page.limit else None]
        return Response(TemplateVersionSerializer(shown, many=True, context=user_context(self.actor)).data)

    @extend_schema(
        operation_id="promote_template_version", request=PromoteBody, responses={200: ConfirmationSerializer}
    )
    def patch(self, request: Request, template: str) -> Response:
        found = self.find_template()
        with audit.refused(self.actor, AuditAction.WRITE, found):
            access.authorize(self.actor, Action.UPDATE, found)
            body = self.body(PromoteBody)
        templates.promote(self.actor, found, body["id"])
        return self.answer("Updated the active template version!")


class TemplateVersionByNameView(CompiledReadView, OfTemplate):
    """A version of a template by its exact name: an array of one as documented."""

    @extend_schema(operation_id="template_version_by_name", responses={200: TemplateVersionSerializer(many=True)})
    def get(self, request: Request, template: str, templateversionname: str) -> HttpResponse:
        (array,) = reads.VERSION_OF_TEMPLATE.row(self.actor, self.template_id, templateversionname)
        if array == b"[]":
            raise NotFound(f"No template version found by name {templateversionname[:64]!r}.")
        return json_answer(one_version(self.dialect, array))


def unknown_cursor(page: Page) -> DomainError:
    return DomainError(f'Record at "after_id" ({page.after_id}) does not exist.')


def _answer(template: Template) -> dict[str, object]:
    """A template that was just written, as a read would find it."""
    return TemplateSerializer(Template.objects.with_statistics().select_related("created_by").get(pk=template.pk)).data
