"""drf-spectacular extensions for the OpenAPI schema."""

import inspect
import re
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension, OpenApiSerializerFieldExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import build_basic_type
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import Direction, OpenApiParameter
from rest_framework import serializers

from coderproj.api.filters import SearchFilterBackend
from coderproj.api.pagination import CursorPagination
from coderproj.api.serializers import AnswerSerializer
from coderproj.base import filtering

PATH_PARAMETER = re.compile(r"{(\w+)}")


def path_id(name: str) -> OpenApiParameter:
    """Return a path parameter that is a UUID."""
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


class AgentTokenScheme(OpenApiAuthenticationExtension):
    """The token of a workspace's agent."""

    target_class = "templates_app.agents.views.authentication.AgentAuthentication"
    name = "CoderAgentToken"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {"type": "apiKey", "in": "header", "name": "Coder-Session-Token"}


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
    """Describes each operation by the declarations of its viewset, and tags it by the first resource in its path."""

    def get_description(self) -> str:  # type: ignore[override]  # as drf-spectacular does
        """Return the docstring of the action or method, else of the view's own class; docstrings of base classes are
        not for callers."""
        handler = getattr(self.view, getattr(self.view, "action", self.method.lower()))
        return inspect.cleandoc(handler.__doc__ or vars(type(self.view)).get("__doc__") or "")

    def get_tags(self) -> list[str]:
        segments = [segment for segment in self.path.removeprefix("/api/v2/").split("/") if segment[:1] != "{"]
        first = segments[0] if segments else "system"
        second = segments[1] if len(segments) > 1 else ""
        return [second if first == "organizations" and second else first]

    def get_request_serializer(self) -> Any:
        return self.view.get_body_class() if hasattr(self.view, "get_body_class") else None

    def get_response_serializers(self) -> Any:
        view: Any = self.view
        return view.get_serializer_class()

    def get_override_parameters(self) -> list[Any]:
        """Return the filters and pagination parameters of a list, except filters that the path contains."""
        view: Any = self.view
        if getattr(view, "action", None) != "list":
            return []
        described: list[OpenApiParameter] = []
        filter_set = getattr(view, "filterset_class", None)
        if filter_set is not None and SearchFilterBackend in view.filter_backends:
            in_path = tuple(PATH_PARAMETER.findall(self.path))
            described += filtering.parameters(filter_set, without=in_path)
        if isinstance(paginator := view.paginator, CursorPagination):
            described += paginator.parameters
        return described

    def _map_basic_serializer(self, serializer: Any, direction: Direction) -> Any:
        """Describe a serializer. A response has all fields but those that it omits, which are never null."""
        described: dict[str, Any] = super()._map_basic_serializer(serializer, direction)  # type: ignore[no-untyped-call]
        if direction != "response" or not isinstance(serializer, AnswerSerializer):
            return described
        omitted = set(serializer.omitted_fields())
        for name in omitted:
            described["properties"][name].pop("nullable", None)
        described["required"] = sorted(set(described["properties"]) - omitted)
        return described

    def get_filter_backends(self) -> list[Any]:
        return []  # ``get_override_parameters`` describes them

    def _get_paginator(self) -> None:
        """Return no paginator: responses are plain arrays, or have their own serializer."""
