"""Figures about use."""

from django.db.models import Sum
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from coderproj.accounts.views.base import OfUser
from coderproj.api.views import ApiView
from coderproj.identity.models import Group
from coderproj.identity.rbac import Action, Resource, authorize
from templates_app.serializers.templates import DailyActiveUsersSerializer


class DailyUsersView(ApiView):
    """Daily active users of the deployment. There are no workspaces yet, so nobody was active."""

    @extend_schema(operation_id="deployment_daus", responses={200: DailyActiveUsersSerializer})
    def get(self, request: Request) -> Response:
        return Response({"entries": []})


class WorkspacesView(ApiView):
    """The workspaces that the caller may see. There are none: workspaces cannot be made yet."""

    @extend_schema(
        operation_id="workspaces",
        responses={
            200: inline_serializer(
                "Workspaces",
                {
                    "workspaces": serializers.ListField(child=serializers.DictField()),
                    "count": serializers.IntegerField(),
                },
            )
        },
    )
    def get(self, request: Request) -> Response:
        return Response({"workspaces": [], "count": 0})


class WorkspaceQuotaView(OfUser):
    """What a user's groups allow them, ``Everyone`` included. Nothing is consumed while there are no workspaces."""

    @extend_schema(
        operation_id="workspace_quota",
        responses={
            200: inline_serializer(
                "WorkspaceQuota",
                {"credits_consumed": serializers.IntegerField(), "budget": serializers.IntegerField()},
            )
        },
    )
    def get(self, request: Request, user: str) -> Response:
        found = self.find_user()
        authorize(self.actor, Action.READ, Resource.WORKSPACE, owner_id=found.pk)
        organizations = [row.organization_id for row in found.memberships.all()]
        explicit = Group.objects.filter(memberships__user=found, organization__in=organizations)
        everyone = Group.objects.filter(pk__in=organizations)
        budget = sum(rows.aggregate(total=Sum("quota_allowance"))["total"] or 0 for rows in (explicit, everyone))
        return Response({"credits_consumed": 0, "budget": budget})
