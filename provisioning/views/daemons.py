"""Which provisioner daemons there are."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from coderproj.api.serializers import AnswerSerializer, MomentField
from coderproj.api.views import ApiView
from coderproj.base.times import moment_text
from coderproj.identity.organizations import find_organization
from coderproj.identity.rbac import Action, Resource, authorize
from provisioning.models import ProvisionerDaemon


class OptionalTimeSerializer(serializers.Serializer[Any]):
    """A time as the Go SDK decodes it here: not a text but an object."""

    Time = MomentField()
    Valid = serializers.BooleanField()


class ProvisionerDaemonSerializer(AnswerSerializer):
    """A daemon; ``updated_at`` is its last sign of life."""

    updated_at = serializers.SerializerMethodField()
    provisioners = serializers.ListField(child=serializers.CharField())
    tags = serializers.DictField(child=serializers.CharField())

    class Meta:
        model = ProvisionerDaemon
        fields = ["id", "created_at", "updated_at", "name", "provisioners", "tags", "version"]

    def get_updated_at(self, daemon: ProvisionerDaemon) -> dict[str, Any]:
        return {"Time": moment_text(daemon.last_seen_at), "Valid": True}


class DaemonAnswer(ProvisionerDaemonSerializer):
    """The same for the schema."""

    updated_at = OptionalTimeSerializer()  # type: ignore[assignment]


class ProvisionerDaemonsView(ApiView):
    """The daemons that are online. They serve every organization."""

    @extend_schema(operation_id="provisioner_daemons", responses={200: DaemonAnswer(many=True)})
    def get(self, request: Request) -> Response:
        authorize(self.actor, Action.READ, Resource.PROVISIONER_DAEMON)
        daemons = ProvisionerDaemon.objects.online().order_by("name")
        return Response(ProvisionerDaemonSerializer(daemons, many=True).data)


class OrganizationDaemonsView(ProvisionerDaemonsView):
    """The same daemons, below an organization."""

    @extend_schema(operation_id="organization_provisioner_daemons", responses={200: DaemonAnswer(many=True)})
    def get(self, request: Request, organization: str) -> Response:  # type: ignore[override]
        find_organization(self.actor, organization)
        return super().get(request)
