"""Endpoints of figures about usage."""

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from coderproj.api.viewsets import ApiViewSet
from coderproj.base.errors import Forbidden
from coderproj.identity.rbac import Action, Resource, allowed_everywhere
from coderproj.reads.viewsets import CompiledReads
from templates_app import reads
from templates_app.serializers.templates import DailyActiveUsersSerializer


class StatisticsViewSet(CompiledReads, ApiViewSet):
    """Figures about the deployment and its users."""

    serializer_classes = {
        "daily_users": DailyActiveUsersSerializer,
    }

    compiled_reads = {"daily_users": reads.DAILY_USERS_OF_ALL}

    @extend_schema(operation_id="deployment_daus")
    def daily_users(self, request: Request) -> HttpResponse:
        """Return the daily active users of the deployment: owners of workspaces with traffic. Days are in UTC. For
        owners of the deployment only."""
        if not allowed_everywhere(self.actor, Action.READ, Resource.DEPLOYMENT_FLAGS):
            raise Forbidden  # not NotFound: the figures always exist (contract, permission matrix)
        return self.compiled_answer()
