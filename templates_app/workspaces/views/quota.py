"""Quotas of users."""

import uuid
from collections.abc import Collection

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from coderproj.api.viewsets import ApiViewSet
from coderproj.base.errors import NotFound
from coderproj.identity.models import User
from coderproj.identity.organizations import find_organization
from coderproj.identity.users import find_user
from templates_app.workspaces.serializers.quota import WorkspaceQuotaSerializer
from templates_app.workspaces.services import quota


class QuotaViewSet(ApiViewSet):
    """What the workspaces of a user cost, and what they may cost. Users see their own quota, administrators of users
    all, administrators of an organization those in it; others are not found (contract, W63)."""

    serializer_classes = {"retrieve": WorkspaceQuotaSerializer, "of_member": WorkspaceQuotaSerializer}

    @extend_schema(operation_id="workspace_quota")
    def retrieve(self, request: Request, user: str) -> Response:
        """Return the quota of a user: the sum over the organizations in which groups have allowances. A budget of -1
        means that there is none of them."""
        found = find_user(self.actor, user)
        return self._answer(found, quota.readable_organizations(self.actor, found))

    @extend_schema(operation_id="member_workspace_quota")
    def of_member(self, request: Request, organization: str, user: str) -> Response:
        """Return the quota of a user in one organization. A budget of -1 means that no group there has an allowance."""
        wanted = find_organization(self.actor, organization)
        found = find_user(self.actor, user)
        return self._answer(found, {wanted.pk} & set(quota.readable_organizations(self.actor, found)))

    def _answer(self, user: User, organizations: Collection[uuid.UUID]) -> Response:
        if not organizations and user.pk != self.actor.id:
            raise NotFound
        found = quota.total(quota.quotas_of(user.pk, organizations).values())
        budget = quota.UNLIMITED if found.budget is None else found.budget
        return self.respond({"credits_consumed": min(found.consumed, quota.MAX_COST), "budget": budget})
