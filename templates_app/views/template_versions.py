"""Endpoints of the versions of a template."""

import uuid

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from coderproj.api.pagination import CursorPagination, page_of
from coderproj.api.schema import ConfirmationSerializer
from coderproj.base.dialect import one_version
from coderproj.base.errors import DomainError, Invalid, NotFound
from coderproj.identity import audit
from coderproj.identity.models import AuditAction
from coderproj.identity.rbac import Action
from coderproj.reads.compiled import json_answer
from coderproj.reads.viewsets import CompiledReads
from templates_app import reads
from templates_app.filters import VersionFilter
from templates_app.models import TemplateVersion
from templates_app.models.templates import TemplateVersionQuerySet
from templates_app.serializers.bodies import ArchiveBody, PromoteBody
from templates_app.serializers.templates import ArchivedAnswer, TemplateVersionSerializer
from templates_app.services import access, archiving, templates
from templates_app.views.base import AnswersVersions, OfTemplate, versions_for_answers


class TemplateVersionViewSet(CompiledReads, AnswersVersions, OfTemplate):
    """The versions of a template, by their name."""

    serializer_classes = {"archive": ArchivedAnswer}
    body_classes = {"promote": PromoteBody, "archive": ArchiveBody}
    compiled_reads = {"list": reads.VERSIONS_OF_TEMPLATE, "retrieve": reads.VERSION_OF_TEMPLATE}
    filterset_class = VersionFilter
    pagination_class = CursorPagination

    def get_queryset(self) -> TemplateVersionQuerySet:
        """Return the versions of the visible template, oldest first. Raises NotFound."""
        versions = TemplateVersion.objects.filter(template=self.find_template())
        return versions_for_answers(versions).order_by("created_at", "id")

    def rows_after(self, rows: TemplateVersionQuerySet, after_id: uuid.UUID) -> TemplateVersionQuerySet:
        """Return the rows after a version. Raises DomainError when no such version is visible."""
        if not TemplateVersion.objects.visible(self.actor).filter(pk=after_id).exists():
            raise unknown_cursor(after_id)
        return rows.after_id(after_id)

    @extend_schema(operation_id="template_versions")
    def list(self, request: Request, template: str) -> HttpResponseBase:
        """List the versions of a template, oldest first. Archived ones are left out, unless a filter asks for them."""
        try:
            page = page_of(request.query_params)
        except Invalid:
            self.find_template()  # a caller who cannot see the template gets 404 whatever the query
            raise
        if self.is_filtered():
            return self.respond(self.paginate_queryset(self.filter_queryset(self.get_queryset())), many=True)
        body, cursor_is_known = self.compiled_row(
            self.template_id, page.after_id, page.limit or None, page.offset or None
        )
        if not cursor_is_known:
            raise unknown_cursor(page.after_id)
        return json_answer(body)

    @extend_schema(operation_id="promote_template_version", responses={200: ConfirmationSerializer})
    def promote(self, request: Request, template: str) -> Response:
        """Make a version the template's active version."""
        found = self.find_template()
        with audit.refused(self.actor, AuditAction.WRITE, found):
            access.authorize(self.actor, Action.UPDATE, found)
            body = self.read_body()
        templates.promote(self.actor, found, body["id"])
        return self.confirm("Updated the active template version!")

    @extend_schema(operation_id="archive_template_versions", responses={200: ArchivedAnswer})
    def archive(self, request: Request, template: str) -> Response:
        """Archive the versions whose import failed, or with ``all`` those that no workspace uses. The active version
        stays."""
        found = self.find_template()
        with audit.refused(self.actor, AuditAction.WRITE, found):
            access.authorize(self.actor, Action.UPDATE, found)
            unused = self.read_body()["all"] if self.has_body else False
        archived = archiving.archive_versions(self.actor, found, unused=unused)
        return self.respond({"template_id": found.pk, "archived_ids": archived})

    @extend_schema(operation_id="template_version_by_name", responses={200: TemplateVersionSerializer(many=True)})
    def retrieve(self, request: Request, template: str, templateversionname: str) -> HttpResponse:
        """Return a version of a template by its exact name, as documented in an array of one."""
        (array,) = self.compiled_row(self.template_id, templateversionname)
        if array == b"[]":
            raise NotFound(f"No template version found by name {templateversionname[:64]!r}.")
        return json_answer(one_version(self.dialect, array))


def unknown_cursor(after_id: uuid.UUID | None) -> DomainError:
    return DomainError(f'Record at "after_id" ({after_id}) does not exist.')
