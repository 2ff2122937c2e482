"""Users, roles and signing in."""

from collections.abc import Iterable
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db.models import F, OuterRef
from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from coderproj.api.serializers import (
    AnswerSerializer,
    BodySerializer,
    BodyUUIDField,
    StrictBooleanField,
    StrictTextField,
)
from coderproj.base.identifiers import UUID_PATTERN
from coderproj.base.json_text import to_json
from coderproj.identity.actor import Actor
from coderproj.identity.models import Membership, User, UserLogin
from coderproj.identity.organizations import sees_all_organizations
from coderproj.identity.rbac import ROLES
from coderproj.identity.users import RESERVED_USERNAMES, USERNAME_PATTERN
from coderproj.reads.json_sql import Json, ShortJsonList

USERNAME_LENGTH = 32
PASSWORD_LENGTH = 256


class RoleSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    display_name = serializers.CharField()


class AssignableRoleSerializer(RoleSerializer):
    """``assignable`` is true if the caller may assign the role."""

    assignable = serializers.BooleanField()


def role_list(names: Iterable[str]) -> list[dict[str, str]]:
    """Return the roles with these names, as clients show them."""
    return [{"name": name, "display_name": ROLES[name].display_name} for name in names if name in ROLES]


class QuotedId(Json):
    """An id as a JSON string."""

    template = """concat('"', %(expressions)s, '"')"""


class RoleList(Json):
    """``role_list`` in SQL, for an array of role names. Most users have no site role: that case skips the subquery."""

    def as_sql(self, compiler: Any, connection: Any, **extra: Any) -> tuple[str, list[Any]]:  # type: ignore[override]
        names, parameters = compiler.compile(self.source_expressions[0])
        # Role names and titles are constants, so they are safe to embed in SQL.
        roles = [(name, to_json(role).decode().strip()) for name in ROLES for role in role_list([name])]
        known = " ".join(f"WHEN '{name}' THEN '{role}'" for name, role in roles)
        some = f"SELECT concat('[', string_agg(CASE name {known} END, ','), ']') FROM unnest({names}) name"  # noqa: S608
        return f"CASE WHEN {names} = '{{}}' THEN '[]' ELSE ({some}) END", [*parameters, *parameters]


def user_context(actor: Actor) -> dict[str, Any]:
    """Return the serializer context that hides memberships in organizations that are not visible to the actor."""
    return {} if sees_all_organizations(actor) else {"organizations": actor.organization_ids}


class UserSerializer(AnswerSerializer):
    """A user. ``organization_ids`` lists the user's organizations in the order of joining, limited to ``organizations``
    of the context if given. Prefetch ``memberships`` for lists of users. ``last_seen_at`` is null before the first
    sign-in; it is not omitted, because clients would read a missing time as the current time."""

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
            "name",
            "login_type",
            "updated_at",
            "is_service_account",
        ]

    def get_organization_ids(self, user: User) -> list[str]:
        shown = self.context.get("organizations")
        memberships = sorted(user.memberships.all(), key=lambda row: row.pk)
        return [str(row.organization_id) for row in memberships if shown is None or row.organization_id in shown]

    def sql_organization_ids(self, prefix: str) -> ShortJsonList:
        rows = Membership.objects.filter(user=OuterRef(f"{prefix}pk")).order_by("pk")
        shown = self.context.get("organizations")
        if shown is not None:
            rows = rows.filter(organization_id__any=shown)
        return ShortJsonList(rows.values_list(QuotedId("organization_id"), flat=True))

    def get_roles(self, user: User) -> list[dict[str, str]]:
        return role_list(user.site_roles)

    def sql_roles(self, prefix: str) -> RoleList:
        return RoleList(F(f"{prefix}site_roles"))


@extend_schema_serializer(many=False)
class UsersAnswer(serializers.Serializer[Any]):
    """A page of users; ``count`` is the number of users on all pages."""

    users = UserSerializer(many=True)
    count = serializers.IntegerField()


class UserRolesAnswer(serializers.Serializer[Any]):
    """Site roles, and organization roles by the organization's id."""

    roles = serializers.ListField(child=serializers.CharField())
    organization_roles = serializers.DictField(child=serializers.ListField(child=serializers.CharField()))


class LoginTypeAnswer(serializers.Serializer[Any]):
    login_type = serializers.CharField()


class LoginAnswer(serializers.Serializer[Any]):
    session_token = serializers.CharField()


class FirstUserAnswer(serializers.Serializer[Any]):
    user_id = serializers.UUIDField()
    organization_id = serializers.UUIDField()


# ---------------------------------------------------------------------- bodies
class UsernameField(StrictTextField):
    """Letters and digits in groups joined by single dashes; neither a path segment of the API nor a UUID."""

    default_error_messages = {
        "pattern": f"Must be 1 to {USERNAME_LENGTH} letters and digits, in groups joined by single dashes.",
        "reserved": "This name is reserved.",
    }

    def to_internal_value(self, data: Any) -> str:
        value = super().to_internal_value(data)
        if len(value) > USERNAME_LENGTH or not USERNAME_PATTERN.fullmatch(value):
            self.fail("pattern")
        if value.lower() in RESERVED_USERNAMES or UUID_PATTERN.fullmatch(value):
            self.fail("reserved")
        return value


class EmailTextField(StrictTextField):
    """A JSON string with an email address."""

    default_error_messages = {"address": "Enter a valid email address."}

    def to_internal_value(self, data: Any) -> str:
        value = super().to_internal_value(data)
        try:
            validate_email(value)
        except ValidationError:
            self.fail("address")
        return value


class FirstUserBody(BodySerializer):
    email = serializers.EmailField(max_length=254)
    username = UsernameField()
    password = StrictTextField(max_length=PASSWORD_LENGTH)
    name = StrictTextField(max_length=128, required=False, default="", allow_blank=True)


class LoginBody(BodySerializer):
    email = EmailTextField(max_length=254)
    password = StrictTextField(max_length=1024)


class CreateUserBody(BodySerializer):
    """The documented body has a password and an organization. Clients can omit the organization, and also the password
    when the user cannot sign in (``disable_login``, ``login_type`` ``none``, or ``service_account``)."""

    email = serializers.EmailField(max_length=254)
    username = UsernameField()
    password = StrictTextField(max_length=PASSWORD_LENGTH, required=False, default="", allow_blank=True)
    name = StrictTextField(max_length=128, required=False, default="", allow_blank=True)
    avatar_url = StrictTextField(max_length=1024, required=False, default="", allow_blank=True)
    organization_id = BodyUUIDField(required=False)
    organization_ids = serializers.ListField(child=BodyUUIDField(required=False), required=False, default=list)
    disable_login = StrictBooleanField(required=False, default=False)
    login_type = serializers.ChoiceField(choices=UserLogin.choices, required=False, default="", allow_blank=True)
    service_account = StrictBooleanField(required=False, default=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["service_account"] and (attrs["password"] or attrs["login_type"] == UserLogin.PASSWORD):
            field = "password" if attrs["password"] else "login_type"
            raise serializers.ValidationError({field: "A service account cannot sign in."})
        can_not = attrs["disable_login"] or attrs["service_account"] or attrs["login_type"] == UserLogin.NONE
        attrs["can_sign_in"] = not can_not
        if attrs["can_sign_in"] and not attrs["password"]:
            raise serializers.ValidationError({"password": "This field is required."})
        return attrs


class ProfileBody(BodySerializer):
    """``name`` and ``avatar_url`` stay unchanged when they are absent."""

    username = UsernameField()
    name = StrictTextField(max_length=128, required=False, allow_blank=True)
    avatar_url = StrictTextField(max_length=1024, required=False, allow_blank=True)


class PasswordBody(BodySerializer):
    """Users who change their own password must send ``old_password``."""

    old_password = StrictTextField(max_length=1024, required=False, default="", allow_blank=True)
    password = StrictTextField(max_length=PASSWORD_LENGTH)


class RolesBody(BodySerializer):
    """The complete list of roles that replaces the current one."""

    roles = serializers.ListField(child=StrictTextField(max_length=128), max_length=32)
