"""Endpoints of the keys of an organization's daemons. A key is shown once, when it is created."""

from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from coderproj.api.serializers import AnswerSerializer, BodySerializer, StrictIntegerField, StrictTextField
from coderproj.api.viewsets import ApiViewSet
from coderproj.base.errors import Invalid
from coderproj.identity.models import Organization
from coderproj.identity.organizations import find_organization
from provisioning import keys
from provisioning.models import ProvisionerKey


class ProvisionerKeySerializer(AnswerSerializer):
    """A key's name, tags and times, without the secret."""

    tags = serializers.DictField(child=serializers.CharField())

    class Meta:
        model = ProvisionerKey
        fields = ["id", "created_at", "organization", "name", "tags", "created_by", "last_used", "expires_at"]
        omit_absent = True


class ProvisionerKeyBody(BodySerializer):
    """``lifetime_seconds`` 0 means unlimited; tags are added to the default tags."""

    name = StrictTextField()
    tags = serializers.DictField(child=StrictTextField(), default=dict)
    lifetime_seconds = StrictIntegerField(min_value=0, default=0)


class ProvisionerKeyAnswer(serializers.Serializer[Any]):
    key = serializers.CharField()


class ProvisionerKeyViewSet(ApiViewSet):
    """The keys of an organization's daemons, by name."""

    serializer_class = ProvisionerKeySerializer
    serializer_classes = {"create": ProvisionerKeyAnswer}
    body_classes = {"create": ProvisionerKeyBody}

    def find_organization(self) -> Organization:
        """Return the visible organization. Raises NotFound."""
        return find_organization(self.actor, self.kwargs["organization"])

    @extend_schema(operation_id="provisioner_keys")
    def list(self, request: Request, organization: str) -> Response:
        """List the keys of an organization."""
        return self.respond(keys.keys_of(self.actor, self.find_organization()), many=True)

    @extend_schema(operation_id="create_provisioner_key")
    def create(self, request: Request, organization: str) -> Response:
        """Create a key for daemons of an organization."""
        found = self.find_organization()
        body = self.read_body()
        if body["lifetime_seconds"] > settings.TOKEN_MAX_LIFETIME_SECONDS:
            limit = settings.TOKEN_MAX_LIFETIME_SECONDS
            raise Invalid.field("lifetime_seconds", f"Must be at most {limit} seconds.")
        _, key = keys.create(
            self.actor, found, name=body["name"], tags=body["tags"], lifetime_seconds=body["lifetime_seconds"]
        )
        return self.respond({"key": key}, status=201)

    @extend_schema(operation_id="revoke_provisioner_key", responses={204: None})
    def destroy(self, request: Request, organization: str, name: str) -> Response:
        """Revoke a key by its name."""
        keys.revoke(self.actor, self.find_organization(), name)
        return Response(status=204)
