"""Endpoints of provisioner daemons."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from coderproj.api.serializers import AnswerSerializer, MomentField
from coderproj.api.viewsets import ApiViewSet
from coderproj.base.times import moment_text
from coderproj.identity.organizations import find_organization
from coderproj.identity.rbac import Action, Resource, authorize
from provisioning.models import ProvisionerDaemon


class OptionalTimeSerializer(serializers.Serializer[Any]):
    """A time in the form that the Go SDK decodes here: an object instead of a string."""

    Time = MomentField()
    Valid = serializers.BooleanField()


class ProvisionerDaemonSerializer(AnswerSerializer):
    """A daemon; ``updated_at`` is the time of its last heartbeat."""

    updated_at = serializers.SerializerMethodField()
    provisioners = serializers.ListField(child=serializers.CharField())
    tags = serializers.DictField(child=serializers.CharField())

    class Meta:
        model = ProvisionerDaemon
        fields = ["id", "created_at", "updated_at", "name", "provisioners", "tags", "version"]

    def get_updated_at(self, daemon: ProvisionerDaemon) -> dict[str, Any]:
        return {"Time": moment_text(daemon.last_seen_at), "Valid": True}


class DaemonAnswer(ProvisionerDaemonSerializer):
    """The daemon as the API schema describes it."""

    updated_at = OptionalTimeSerializer()  # type: ignore[assignment]


class ProvisionerDaemonViewSet(ApiViewSet):
    """The daemons that are online. ``DaemonAnswer`` describes them for the schema."""

    serializer_class = ProvisionerDaemonSerializer

    def get_queryset(self) -> QuerySet[ProvisionerDaemon]:
        """Raises Forbidden and NotFound for an actor who may not see daemons."""
        authorize(self.actor, Action.READ, Resource.PROVISIONER_DAEMON)
        return ProvisionerDaemon.objects.online().order_by("name")

    @extend_schema(operation_id="provisioner_daemons", responses={200: DaemonAnswer(many=True)})
    def list(self, request: Request) -> Response:
        """List the daemons that are online. They serve every organization."""
        return self.respond(self.get_queryset(), many=True)

    @extend_schema(operation_id="organization_provisioner_daemons", responses={200: DaemonAnswer(many=True)})
    def of_organization(self, request: Request, organization: str) -> Response:
        """List the daemons that are online. The organization must be visible."""
        find_organization(self.actor, organization)
        return self.respond(self.get_queryset(), many=True)
