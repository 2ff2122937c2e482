"""Serializers of stored parameter values."""

from rest_framework import serializers

from coderproj.api.serializers import AnswerSerializer, BodySerializer, StrictTextField
from provisioning.engine.base import MAX_SHORT_TEXT
from provisioning.models import DestinationScheme, ParameterValue, SourceScheme


class StoredParameterSerializer(AnswerSerializer):
    """A stored parameter value, without the value itself."""

    class Meta:
        model = ParameterValue
        fields = [
            "id",
            "scope",
            "scope_id",
            "name",
            "source_scheme",
            "destination_scheme",
            "created_at",
            "updated_at",
        ]


class StoreParameterBody(BodySerializer):
    name = StrictTextField(max_length=MAX_SHORT_TEXT)
    source_value = StrictTextField(max_length=65_536)
    source_scheme = serializers.ChoiceField(choices=[SourceScheme.DATA])
    destination_scheme = serializers.ChoiceField(
        choices=[DestinationScheme.ENVIRONMENT_VARIABLE, DestinationScheme.PROVISIONER_VARIABLE]
    )
