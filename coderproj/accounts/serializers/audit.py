"""The audit log."""

from typing import Any

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
    """``user`` is who did it, as they are today; the context's ``users`` has those by id whom the reader may see. Of
    anybody else there is the name alone. ``description`` is a sentence with ``{user}`` and ``{target}`` for clients to
    fill in."""

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
    """A user; of one whom the reader may not see, the id and the name, with the lists and the address empty."""

    created_at = MomentField(required=False)


class AuditLogAnswer(AuditLogSerializer):
    """The same for the schema."""

    user = AuditActor(allow_null=True)  # type: ignore[assignment]


class AuditLogsAnswer(serializers.Serializer[Any]):
    """A page of the log, newest first; ``count`` is the number on all pages."""

    audit_logs = AuditLogAnswer(many=True)
    count = serializers.IntegerField()
