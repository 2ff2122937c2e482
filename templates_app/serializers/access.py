"""Access lists and permission checks."""

from typing import Any

from rest_framework import serializers

from coderproj.accounts.serializers.groups import GroupAnswer
from coderproj.accounts.serializers.users import UserSerializer
from coderproj.api.serializers import BodySerializer, StrictTextField
from coderproj.identity.rbac import Action
from templates_app.models import AccessRole

ANY_ACTION = "*"


class ListedUserSerializer(UserSerializer):
    """A user of an access list."""

    role = serializers.ChoiceField(choices=AccessRole.choices)

    class Meta(UserSerializer.Meta):
        fields = [*UserSerializer.Meta.fields, "role"]


class ListedGroupSerializer(GroupAnswer):
    """A group of an access list."""

    role = serializers.ChoiceField(choices=AccessRole.choices)


class AccessListAnswer(serializers.Serializer[Any]):
    """``group`` is singular, as clients read it."""

    users = ListedUserSerializer(many=True)
    group = ListedGroupSerializer(many=True)


# ---------------------------------------------------------------------- bodies
class UpdateAccessListBody(BodySerializer):
    """Roles by id: ``admin``, ``use``, or an empty text to remove the entry."""

    user_perms = serializers.DictField(
        child=StrictTextField(max_length=64, allow_blank=True), required=False, default=dict
    )
    group_perms = serializers.DictField(
        child=StrictTextField(max_length=64, allow_blank=True), required=False, default=dict
    )


class CheckedObject(BodySerializer):
    """The objects of a check: all objects of a type, narrowed by owner (an id or ``me``), organization or id."""

    resource_type = StrictTextField(max_length=64)
    owner_id = StrictTextField(max_length=64, required=False, default="", allow_blank=True)
    organization_id = StrictTextField(max_length=64, required=False, default="", allow_blank=True)
    resource_id = StrictTextField(max_length=64, required=False, default="", allow_blank=True)


class CheckBody(BodySerializer):
    object = CheckedObject()
    action = serializers.ChoiceField(choices=[*Action, ANY_ACTION])


class AuthCheckBody(BodySerializer):
    checks = serializers.DictField(child=CheckBody())
