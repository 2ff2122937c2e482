"""Endpoints of figures about usage."""

from django.db.models import Sum
from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from coderproj.api.viewsets import ApiViewSet
from coderproj.base.errors import Forbidden
from coderproj.identity.models import Group
from coderproj.identity.rbac import Action, Resource, allowed_everywhere, authorize
from coderproj.identity.users import find_user
from coderproj.reads.viewsets import CompiledReads
from templates_app import reads
from templates_app.serializers.statistics import WorkspaceQuotaSerializer
from templates_app.serializers.templates import DailyActiveUsersSerializer


class StatisticsViewSet(CompiledReads, ApiViewSet):
    """Figures about the deployment and its users."""

    serializer_classes = {
        "daily_users": DailyActiveUsersSerializer,
        "workspace_quota": WorkspaceQuotaSerializer,
    }

    compiled_reads = {"daily_users": reads.DAILY_USERS_OF_ALL}

    @extend_schema(operation_id="deployment_daus")
    def daily_users(self, request: Request) -> HttpResponse:
        """Return the daily active users of the deployment: owners of workspaces with traffic. Days are in UTC. For
        owners of the deployment only."""
        if not allowed_everywhere(self.actor, Action.READ, Resource.DEPLOYMENT_FLAGS):
            raise Forbidden  # not NotFound: the figures always exist (contract, permission matrix)
        return self.compiled_answer()

    @extend_schema(operation_id="workspace_quota")
    def workspace_quota(self, request: Request, user: str) -> Response:
        """Return the quota of a user: the sum of the groups', including ``Everyone``. Nothing is consumed yet."""
        found = find_user(self.actor, user)
        authorize(self.actor, Action.READ, Resource.WORKSPACE, owner_id=found.pk)
        organizations = [row.organization_id for row in found.memberships.all()]
        explicit = Group.objects.filter(memberships__user=found, organization__in=organizations)
        everyone = Group.objects.filter(pk__in=organizations)
        budget = sum(rows.aggregate(total=Sum("quota_allowance"))["total"] or 0 for rows in (explicit, everyone))
        return self.respond({"credits_consumed": 0, "budget": budget})
