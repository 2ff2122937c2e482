"""Endpoints of provisioner daemons."""

from typing import Any

from django.db.models import Exists, OuterRef, QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from coderproj.api.serializers import AnswerSerializer, MomentField
from coderproj.api.viewsets import ApiViewSet
from coderproj.base.times import moment_text
from coderproj.identity.organizations import find_organization
from coderproj.identity.rbac import Action, Resource, authorize
from provisioning.models import ProvisionerDaemon, ProvisionerJob

# What clients show as the key of a daemon with database access.
BUILT_IN = "built-in"
# The protocol between server and daemons has one version.
API_VERSION = "1.0"


class OptionalTimeSerializer(serializers.Serializer[Any]):
    """A time in the form that the Go SDK decodes here: an object instead of a string."""

    Time = MomentField()
    Valid = serializers.BooleanField()


class ProvisionerDaemonSerializer(AnswerSerializer):
    """A daemon that is online; ``updated_at`` and ``last_seen_at`` are the time of its last heartbeat. It is busy while
    it runs a job. Needs the queryset of the view."""

    status = serializers.SerializerMethodField()
    key_name = serializers.SerializerMethodField()
    api_version = serializers.SerializerMethodField()
    updated_at = serializers.SerializerMethodField()
    provisioners = serializers.ListField(child=serializers.CharField())
    tags = serializers.DictField(child=serializers.CharField())

    class Meta:
        model = ProvisionerDaemon
        fields = [
            "id",
            "created_at",
            "updated_at",
            "name",
            "provisioners",
            "tags",
            "version",
            "status",
            "last_seen_at",
            "key_name",
            "api_version",
        ]

    @extend_schema_field(serializers.ChoiceField(choices=["idle", "busy"]))
    def get_status(self, daemon: Any) -> str:
        return "busy" if daemon.is_busy else "idle"

    def get_key_name(self, daemon: ProvisionerDaemon) -> str:
        return daemon.key.name if daemon.key else BUILT_IN

    def get_api_version(self, daemon: ProvisionerDaemon) -> str:
        return API_VERSION

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
        running = ProvisionerJob.objects.active().filter(worker_id=OuterRef("pk"), started_at__isnull=False)
        online = ProvisionerDaemon.objects.online().annotate(is_busy=Exists(running))
        return online.select_related("key").order_by("name")

    @extend_schema(operation_id="provisioner_daemons", responses={200: DaemonAnswer(many=True)})
    def list(self, request: Request) -> Response:
        """List the daemons that are online. They serve every organization."""
        return self.respond(self.get_queryset(), many=True)

    @extend_schema(operation_id="organization_provisioner_daemons", responses={200: DaemonAnswer(many=True)})
    def of_organization(self, request: Request, organization: str) -> Response:
        """List the daemons that are online. The organization must be visible."""
        find_organization(self.actor, organization)
        return self.respond(self.get_queryset(), many=True)
