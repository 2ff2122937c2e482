"""Reading the audit log."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from coderproj.accounts.serializers.audit import AuditLogsAnswer, AuditLogSerializer
from coderproj.accounts.serializers.users import user_context
from coderproj.api.pagination import page_of
from coderproj.api.schema import PAGE_PARAMETERS
from coderproj.api.views import ApiView
from coderproj.base import filtering
from coderproj.base.errors import Invalid
from coderproj.identity.filters import AuditLogFilter, search_rows
from coderproj.identity.users import users_with_visible_details

# The audit log only grows, so unlike other lists it has a default limit.
PAGE_ROWS = 100


class AuditView(ApiView):
    """The audit log, newest first; 100 rows unless ``limit`` is given."""

    @extend_schema(
        operation_id="audit_logs",
        parameters=[*filtering.parameters(AuditLogFilter), *PAGE_PARAMETERS[1:]],
        responses={200: AuditLogsAnswer},
    )
    def get(self, request: Request) -> Response:
        page = page_of(request.query_params)
        if page.after_id:
            raise Invalid.field("after_id", "The audit log supports only limit and offset.")
        found = search_rows(self.actor, request.query_params)
        rows = list(found[page.offset : page.offset + (page.limit or PAGE_ROWS)])
        wanted = {row.user_id for row in rows if row.user_id}
        actors = users_with_visible_details(self.actor).prefetch_related("memberships").in_bulk(wanted)
        context = {**user_context(self.actor), "users": actors}
        return Response(
            {"audit_logs": AuditLogSerializer(rows, many=True, context=context).data, "count": found.count()}
        )
