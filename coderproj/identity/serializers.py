"""How users, organizations and tokens look on the wire."""

from collections.abc import Iterable
from typing import Any

from rest_framework import serializers

from coderproj.api.serializers import AnswerSerializer, BodySerializer, StrictIntegerField, StrictTextField
from coderproj.identity.models import Organization, User
from coderproj.identity.rbac import ROLES


class RoleSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    display_name = serializers.CharField()


def role_list(names: Iterable[str]) -> list[dict[str, str]]:
    """Roles by name, as clients show them."""
    return [{"name": name, "display_name": ROLES[name].display_name} for name in names if name in ROLES]


class UserSerializer(AnswerSerializer):
    """``organization_ids`` are those of the user's memberships, in the order of joining."""

    organization_ids = serializers.SerializerMethodField()
    roles = serializers.SerializerMethodField()

    class Meta:
        model = User
        fields = [
            "id",
            "username",
            "email",
            "created_at",
            "last_seen_at",
            "status",
            "organization_ids",
            "roles",
            "avatar_url",
        ]
        omit_absent = True

    def get_organization_ids(self, user: User) -> list[str]:
        return [str(row.organization_id) for row in sorted(user.memberships.all(), key=lambda row: row.pk)]

    def get_roles(self, user: User) -> list[dict[str, str]]:
        return role_list(user.site_roles)


class OrganizationSerializer(AnswerSerializer):
    class Meta:
        model = Organization
        fields = [
            "id",
            "name",
            "created_at",
            "updated_at",
            "display_name",
            "description",
            "icon",
            "is_default",
        ]


# ---------------------------------------------------------------------- bodies
class FirstUserBody(BodySerializer):
    email = serializers.EmailField(max_length=254)
    username = serializers.RegexField(r"\A[a-zA-Z0-9]+(?:-[a-zA-Z0-9]+)*\Z", max_length=32)
    password = StrictTextField(max_length=256)
    name = StrictTextField(max_length=128, required=False, default="", allow_blank=True)


class FirstUserAnswer(serializers.Serializer[Any]):
    user_id = serializers.UUIDField()
    organization_id = serializers.UUIDField()


class LoginBody(BodySerializer):
    email = StrictTextField(max_length=254)
    password = StrictTextField(max_length=1024)


class LoginAnswer(serializers.Serializer[Any]):
    session_token = serializers.CharField()


class TokenBody(BodySerializer):
    """``lifetime`` is in nanoseconds, as the Go SDK counts; ``lifetime_seconds`` is the newer spelling."""

    lifetime = StrictIntegerField(required=False, default=0, min_value=0)
    lifetime_seconds = StrictIntegerField(required=False, default=0, min_value=0)
    scope = serializers.ChoiceField(
        choices=["", "all", "application_connect"], required=False, default="all", allow_blank=True
    )
    token_name = StrictTextField(max_length=64, required=False, default="", allow_blank=True)


class KeyAnswer(serializers.Serializer[Any]):
    key = serializers.CharField()
