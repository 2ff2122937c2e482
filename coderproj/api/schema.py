"""drf-spectacular extensions for the OpenAPI schema."""

import inspect
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension, OpenApiSerializerFieldExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import build_basic_type
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import Direction, OpenApiParameter
from rest_framework import serializers

# ``page_of`` reads these.
PAGE_PARAMETERS = [
    OpenApiParameter("after_id", OpenApiTypes.UUID, description="Start after the row with this id."),
    OpenApiParameter("limit", int, description="Maximum number of rows; 0 for all."),
    OpenApiParameter("offset", int, description="Number of rows to skip."),
]


def path_id(name: str) -> OpenApiParameter:
    """A path parameter that is a UUID."""
    return OpenApiParameter(name, OpenApiTypes.UUID, OpenApiParameter.PATH)


class TokenScheme(OpenApiAuthenticationExtension):
    """The session token in the header. Browsers can send it in a cookie instead."""

    target_class = "coderproj.api.authentication.TokenAuthentication"
    name = "CoderSessionToken"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {"type": "apiKey", "in": "header", "name": "Coder-Session-Token"}


class ProvisionerKeyScheme(OpenApiAuthenticationExtension):
    """The provisioner key of a daemon without database access."""

    target_class = "provisioning.views.key_authentication.KeyAuthentication"
    name = "CoderProvisionerKey"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {"type": "apiKey", "in": "header", "name": "Coder-Provisioner-Key"}


class BodyUUIDFieldSchema(OpenApiSerializerFieldExtension):
    target_class = "coderproj.api.serializers.BodyUUIDField"

    def map_serializer_field(self, auto_schema: AutoSchema, direction: Direction) -> Any:
        return build_basic_type(OpenApiTypes.UUID)


class ProblemSerializer(serializers.Serializer[Any]):
    field = serializers.CharField()
    detail = serializers.CharField()


class ErrorSerializer(serializers.Serializer[Any]):
    """The envelope of every error."""

    message = serializers.CharField()
    detail = serializers.CharField(required=False)
    validations = ProblemSerializer(many=True, required=False)


class ConfirmationSerializer(serializers.Serializer[Any]):
    """A response that only confirms."""

    message = serializers.CharField()


class ApiSchema(AutoSchema):
    """Tags each operation by the first resource in its path."""

    def get_description(self) -> str:  # type: ignore[override]  # as drf-spectacular does
        """Return the docstring of the method, else of the view's own class; docstrings of base classes are not for
        callers."""
        handler = getattr(self.view, self.method.lower())
        return inspect.cleandoc(handler.__doc__ or vars(type(self.view)).get("__doc__") or "")

    def get_tags(self) -> list[str]:
        segments = [segment for segment in self.path.removeprefix("/api/v2/").split("/") if segment[:1] != "{"]
        first = segments[0] if segments else "system"
        second = segments[1] if len(segments) > 1 else ""
        return [second if first == "organizations" and second else first]
