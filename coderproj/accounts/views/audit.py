"""Reading the audit log."""

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from coderproj.accounts.serializers.audit import AuditLogsAnswer, AuditLogSerializer
from coderproj.accounts.serializers.users import user_context
from coderproj.api.pagination import CountedPagination, OffsetPagination
from coderproj.api.viewsets import ApiViewSet
from coderproj.identity.filters import AuditLogFilter, visible_rows
from coderproj.identity.models import AuditLog
from coderproj.identity.users import users_with_visible_details


class AuditLogPagination(CountedPagination, OffsetPagination):
    results_field = "audit_logs"
    default_limit = 100
    no_cursor = "The audit log supports only limit and offset."


class AuditLogViewSet(ApiViewSet):
    """The audit log."""

    serializer_class = AuditLogSerializer
    filterset_class = AuditLogFilter
    pagination_class = AuditLogPagination

    def get_queryset(self) -> QuerySet[AuditLog]:
        return visible_rows(self.actor).order_by("-time", "id")

    @extend_schema(operation_id="audit_logs", responses={200: AuditLogsAnswer})
    def list(self, request: Request) -> Response:
        """List the audit log, newest first; 100 rows unless ``limit`` is given."""
        rows = self.paginate_queryset(self.filter_queryset(self.get_queryset())) or []
        wanted = {row.user_id for row in rows if row.user_id}
        actors = users_with_visible_details(self.actor).prefetch_related("memberships").in_bulk(wanted)
        context = {**self.get_serializer_context(), **user_context(self.actor), "users": actors}
        return self.get_paginated_response(self.get_serializer(rows, many=True, context=context).data)
