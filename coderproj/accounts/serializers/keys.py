"""API tokens and session keys."""

from typing import Any

from rest_framework import serializers

from coderproj.api.serializers import AnswerSerializer, BodySerializer, StrictIntegerField, StrictTextField
from coderproj.identity.models import ApiKey, GitSSHKey, KeyScope

MAX_LIFETIME = 2**63 - 1


class KeySerializer(AnswerSerializer):
    """A key without its secret, which only the response to the creation contains. ``last_used`` is null before the
    first use; it is not omitted, because clients would read a missing time as the current time."""

    token_name = serializers.CharField(source="name")
    username = serializers.CharField(source="user.username")

    class Meta:
        model = ApiKey
        fields = [
            "id",
            "user_id",
            "last_used",
            "expires_at",
            "created_at",
            "updated_at",
            "login_type",
            "scope",
            "lifetime_seconds",
            "token_name",
            "username",
        ]


class GitSSHKeySerializer(AnswerSerializer):
    """The public half of a user's SSH key."""

    class Meta:
        model = GitSSHKey
        fields = ["user_id", "created_at", "updated_at", "public_key"]


class KeyAnswer(serializers.Serializer[Any]):
    key = serializers.CharField()


class TokenLimitsAnswer(serializers.Serializer[Any]):
    """``max_token_lifetime`` is in nanoseconds, the unit of the Go SDK."""

    max_token_lifetime = serializers.IntegerField()


class TokenBody(BodySerializer):
    """``lifetime`` is in nanoseconds, the unit of the Go SDK; newer clients send ``lifetime_seconds``."""

    lifetime = StrictIntegerField(required=False, default=0, min_value=0, max_value=MAX_LIFETIME)
    lifetime_seconds = StrictIntegerField(required=False, default=0, min_value=0, max_value=MAX_LIFETIME)
    scope = serializers.ChoiceField(choices=KeyScope.choices, required=False, default=KeyScope.ALL, allow_blank=True)
    token_name = StrictTextField(max_length=64, required=False, default="", allow_blank=True)
