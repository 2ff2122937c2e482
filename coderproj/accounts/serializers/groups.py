"""Groups."""

from typing import Any

from rest_framework import serializers

from coderproj.accounts.serializers.users import UserSerializer
from coderproj.api.serializers import AnswerSerializer, BodySerializer, StrictIntegerField, StrictTextField
from coderproj.identity.models import MAX_ALLOWANCE, Group


class GroupSerializer(AnswerSerializer):
    """A group with ``shown_members``, see ``groups.with_members``. Its members list only this organization."""

    members = serializers.SerializerMethodField()

    class Meta:
        model = Group
        fields = ["id", "name", "organization_id", "members", "avatar_url", "quota_allowance"]

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


# ---------------------------------------------------------------------- bodies
def check_not_blank(value: str) -> None:
    """Raises ValidationError for a name of spaces only."""
    if value and not value.strip():
        raise serializers.ValidationError("This field may not be blank.")


class CreateGroupBody(BodySerializer):
    """Any name but a blank one is valid."""

    name = StrictTextField(max_length=64, validators=[check_not_blank])
    avatar_url = StrictTextField(max_length=1024, required=False, default="", allow_blank=True)
    quota_allowance = StrictIntegerField(required=False, default=0, min_value=0, max_value=MAX_ALLOWANCE)


class UpdateGroupBody(BodySerializer):
    """A blank name and ``null`` keep the stored value. Members are added and removed by id."""

    name = StrictTextField(max_length=64, required=False, default="", allow_blank=True, validators=[check_not_blank])
    avatar_url = StrictTextField(max_length=1024, required=False, allow_blank=True)
    quota_allowance = StrictIntegerField(required=False, min_value=0, max_value=MAX_ALLOWANCE)
    add_users = serializers.ListField(child=StrictTextField(), required=False, default=list)
    remove_users = serializers.ListField(child=StrictTextField(), required=False, default=list)
