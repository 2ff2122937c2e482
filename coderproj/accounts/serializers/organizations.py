"""Organizations and their members."""

from typing import Any

from rest_framework import serializers

from coderproj.api.serializers import AnswerSerializer, BodySerializer, MomentField, StrictTextField
from coderproj.base.identifiers import UUID_PATTERN
from coderproj.identity.models import Membership, Organization, UserLogin, UserStatus
from coderproj.identity.organizations import DEFAULT
from coderproj.identity.rbac import ROLES
from coderproj.identity.users import USERNAME_PATTERN


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


class OrganizationRoleSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    display_name = serializers.CharField()
    organization_id = serializers.UUIDField()


class MemberSerializer(AnswerSerializer):
    """A membership with its user. ``roles`` excludes the implicit ``organization-member``."""

    roles = serializers.SerializerMethodField()
    username = serializers.CharField(source="user.username")
    name = serializers.CharField(source="user.name")
    email = serializers.CharField(source="user.email")
    avatar_url = serializers.CharField(source="user.avatar_url")
    status = serializers.ChoiceField(source="user.status", choices=UserStatus.choices)
    login_type = serializers.ChoiceField(source="user.login_type", choices=UserLogin.choices)
    last_seen_at = MomentField(source="user.last_seen_at", allow_null=True)

    class Meta:
        model = Membership
        fields = [
            "user_id",
            "organization_id",
            "created_at",
            "updated_at",
            "roles",
            "username",
            "name",
            "email",
            "avatar_url",
            "status",
            "login_type",
            "last_seen_at",
        ]

    def get_roles(self, member: Membership) -> list[dict[str, str]]:
        return [
            {"name": name, "display_name": ROLES[name].display_name, "organization_id": str(member.organization_id)}
            for name in member.roles
            if name in ROLES
        ]


# ---------------------------------------------------------------------- bodies
def check_organization_name(value: str) -> None:
    """Raises ValidationError for a name that no path could have."""
    if not USERNAME_PATTERN.fullmatch(value):
        raise serializers.ValidationError("Must be letters and digits, in groups joined by single dashes.")
    if value.lower() == DEFAULT or UUID_PATTERN.fullmatch(value):
        raise serializers.ValidationError("This name is reserved.")


class CreateOrganizationBody(BodySerializer):
    name = StrictTextField(max_length=32, validators=[check_organization_name])
    display_name = StrictTextField(max_length=64, required=False, default="", allow_blank=True)
    description = StrictTextField(max_length=256, required=False, default="", allow_blank=True)
    icon = StrictTextField(max_length=256, required=False, default="", allow_blank=True)


class UpdateOrganizationBody(BodySerializer):
    """Absent fields and an empty name keep the stored value."""

    name = StrictTextField(max_length=32, required=False, allow_blank=True)
    display_name = StrictTextField(max_length=64, required=False, allow_blank=True)
    description = StrictTextField(max_length=256, required=False, allow_blank=True)
    icon = StrictTextField(max_length=256, required=False, allow_blank=True)

    def validate_name(self, value: str) -> str:
        if value:
            check_organization_name(value)
        return value
