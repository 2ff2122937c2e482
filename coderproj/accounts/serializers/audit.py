"""The audit log."""

from typing import Any

from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from coderproj.accounts.serializers.users import UserSerializer
from coderproj.api.serializers import AnswerSerializer, MomentField
from coderproj.identity.models import AuditAction, AuditLog

VERBS = {
    AuditAction.CREATE: "created",
    AuditAction.WRITE: "updated",
    AuditAction.DELETE: "deleted",
    AuditAction.LOGIN: "logged in with",
    AuditAction.LOGOUT: "logged out of",
    AuditAction.START: "started",
    AuditAction.STOP: "stopped",
}


class AuditLogSerializer(AnswerSerializer):
    """A row of the audit log. ``user`` is the actor in their current state if the context's ``users`` (by id) has them,
    else only the id and the recorded name. Clients replace ``{user}`` and ``{target}`` in ``description``."""

    description = serializers.SerializerMethodField()
    resource_link = serializers.SerializerMethodField()
    user = serializers.SerializerMethodField()

    class Meta:
        model = AuditLog
        fields = [
            "id",
            "request_id",
            "time",
            "organization_id",
            "ip",
            "user_agent",
            "resource_type",
            "resource_id",
            "resource_target",
            "resource_icon",
            "action",
            "diff",
            "status_code",
            "additional_fields",
            "description",
            "resource_link",
            "user",
        ]

    def get_description(self, row: AuditLog) -> str:
        verb = VERBS[AuditAction(row.action)]
        tried = "" if row.status_code < 400 else "unsuccessfully attempted: "
        return f"{{user}} {tried}{verb} {row.resource_type.replace('_', ' ')} {{target}}"

    def get_resource_link(self, row: AuditLog) -> str:
        return ""

    def get_user(self, row: AuditLog) -> dict[str, Any] | None:
        user = self.context["users"].get(row.user_id)
        if user is not None:
            return UserSerializer(user, context=self.context).data
        if row.user_id is None:
            return None
        return {"id": str(row.user_id), "username": row.username, "email": "", "organization_ids": [], "roles": []}


class AuditActor(UserSerializer):
    """A user. For a user who is not visible to the caller: only id and name, with empty lists and address."""

    created_at = MomentField(required=False)


class AuditLogAnswer(AuditLogSerializer):
    """``AuditLogSerializer`` with a typed ``user``, for the schema."""

    user = AuditActor(allow_null=True)  # type: ignore[assignment]


@extend_schema_serializer(many=False)
class AuditLogsAnswer(serializers.Serializer[Any]):
    """A page of the audit log, newest first; ``count`` is the number of rows on all pages."""

    audit_logs = AuditLogAnswer(many=True)
    count = serializers.IntegerField()
