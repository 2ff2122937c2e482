"""How users, organizations and tokens look on the wire."""

from collections.abc import Iterable
from typing import Any

from django.db.models import F, Func, JSONField, OuterRef
from rest_framework import serializers

from coderproj.api.compiled import JsonList
from coderproj.api.serializers import AnswerSerializer, BodySerializer, StrictIntegerField, StrictTextField
from coderproj.identity.models import Membership, Organization, User
from coderproj.identity.rbac import ROLES


class RoleSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    display_name = serializers.CharField()


def role_list(names: Iterable[str]) -> list[dict[str, str]]:
    """Roles by name, as clients show them."""
    return [{"name": name, "display_name": ROLES[name].display_name} for name in names if name in ROLES]


class ToJson(Func):
    function = "to_json"
    output_field = JSONField()


class RoleList(Func):
    """``role_list`` in SQL, of an array of role names."""

    output_field = JSONField()

    def as_sql(self, compiler: Any, connection: Any, **extra: Any) -> tuple[str, list[Any]]:  # type: ignore[override]
        names, parameters = compiler.compile(self.source_expressions[0])
        # Role names and titles are ours, not a request's.
        titles = " ".join(f"WHEN '{role.name}' THEN '{role.display_name}'" for role in ROLES.values())
        return (
            "(SELECT coalesce(array_to_json(array_agg(row_to_json(roles_))), '[]') FROM ("  # noqa: S608
            f"SELECT name, CASE name WHEN '' THEN '' {titles} END AS display_name FROM unnest({names}) name) roles_)",
            parameters,
        )


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

    def sql_organization_ids(self, prefix: str) -> JsonList:
        rows = Membership.objects.filter(user=OuterRef(f"{prefix}pk")).order_by("pk")
        return JsonList(rows.values_list(ToJson("organization_id"), flat=True))

    def sql_roles(self, prefix: str) -> RoleList:
        return RoleList(F(f"{prefix}site_roles"))


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
