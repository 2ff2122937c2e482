"""Groups."""

from typing import Any

from rest_framework import serializers

from coderproj.accounts.serializers.users import UserSerializer
from coderproj.api.serializers import AnswerSerializer, BodySerializer, StrictIntegerField, StrictTextField
from coderproj.identity.models import MAX_ALLOWANCE, Group

# Groups come from users of the console and the API, never from an identity provider.
SOURCE = "user"


class GroupSerializer(AnswerSerializer):
    """A group with ``shown_members``, see ``groups.with_members``. Its members list only this organization."""

    members = serializers.SerializerMethodField()
    source = serializers.SerializerMethodField()  # type: ignore[assignment]
    total_member_count = serializers.SerializerMethodField()
    organization_name = serializers.CharField(source="organization.name")
    organization_display_name = serializers.CharField(source="organization.display_name")

    class Meta:
        model = Group
        fields = [
            "id",
            "name",
            "organization_id",
            "members",
            "avatar_url",
            "quota_allowance",
            "display_name",
            "source",
            "total_member_count",
            "organization_name",
            "organization_display_name",
        ]

    def get_source(self, group: Group) -> str:
        return SOURCE

    def get_total_member_count(self, group: Group) -> int:
        return len(group.shown_members)  # type: ignore[attr-defined]

    def get_members(self, group: Group) -> list[dict[str, Any]]:
        users = group.shown_members  # type: ignore[attr-defined]
        ids = [str(group.organization_id)]
        return [{**row, "organization_ids": ids} for row in MemberOfGroupSerializer(users, many=True).data]


class MemberOfGroupSerializer(UserSerializer):
    """A user without their memberships, which saves a query."""

    def get_organization_ids(self, user: Any) -> list[str]:
        return []


class GroupAnswer(serializers.Serializer[Any]):
    """A group as documented, for the schema."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    organization_id = serializers.UUIDField()
    members = UserSerializer(many=True)
    avatar_url = serializers.CharField()
    quota_allowance = serializers.IntegerField()
    display_name = serializers.CharField()
    source = serializers.ChoiceField(choices=[SOURCE])  # type: ignore[assignment]
    total_member_count = serializers.IntegerField()
    organization_name = serializers.CharField()
    organization_display_name = serializers.CharField()


# ---------------------------------------------------------------------- bodies
def check_not_blank(value: str) -> None:
    """Raises ValidationError for a name of spaces only."""
    if value and not value.strip():
        raise serializers.ValidationError("This field may not be blank.")


class CreateGroupBody(BodySerializer):
    """Any name but a blank one is valid."""

    name = StrictTextField(max_length=64, validators=[check_not_blank])
    display_name = StrictTextField(max_length=64, required=False, default="", allow_blank=True)
    avatar_url = StrictTextField(max_length=1024, required=False, default="", allow_blank=True)
    quota_allowance = StrictIntegerField(required=False, default=0, min_value=0, max_value=MAX_ALLOWANCE)


class UpdateGroupBody(BodySerializer):
    """A blank name and ``null`` keep the stored value. Members are added and removed by id."""

    name = StrictTextField(max_length=64, required=False, default="", allow_blank=True, validators=[check_not_blank])
    display_name = StrictTextField(max_length=64, required=False, allow_blank=True)
    avatar_url = StrictTextField(max_length=1024, required=False, allow_blank=True)
    quota_allowance = StrictIntegerField(required=False, min_value=0, max_value=MAX_ALLOWANCE)
    add_users = serializers.ListField(child=StrictTextField(), required=False, default=list)
    remove_users = serializers.ListField(child=StrictTextField(), required=False, default=list)
