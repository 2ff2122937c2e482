"""How drf-spectacular describes the API."""

from typing import Any

from drf_spectacular.openapi import AutoSchema
from rest_framework import serializers


class ProblemSerializer(serializers.Serializer[Any]):
    field = serializers.CharField()
    detail = serializers.CharField()


class ErrorSerializer(serializers.Serializer[Any]):
    """The envelope of every error."""

    message = serializers.CharField()
    detail = serializers.CharField(required=False)
    validations = ProblemSerializer(many=True, required=False)


class ConfirmationSerializer(serializers.Serializer[Any]):
    """An answer that only confirms."""

    message = serializers.CharField()


class ApiSchema(AutoSchema):
    """Tags operations by the resource their path starts with."""

    def get_tags(self) -> list[str]:
        segments = [segment for segment in self.path.removeprefix("/api/v2/").split("/") if segment[:1] != "{"]
        first = segments[0] if segments else "system"
        second = segments[1] if len(segments) > 1 else ""
        return [second if first == "organizations" and second else first]
