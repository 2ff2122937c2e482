"""The audit log."""

import uuid

from django.db import models
from django.db.models import Q


class AuditAction(models.TextChoices):
    CREATE = "create"
    WRITE = "write"
    DELETE = "delete"
    LOGIN = "login"
    LOGOUT = "logout"
    START = "start"
    STOP = "stop"


class AuditLog(models.Model):
    """An audited action: actor, origin, object and changes. ``identity.audit`` writes rows; nothing edits them.

    Ids have no foreign keys, because a row outlives the objects that it refers to. ``diff`` maps a field to
    ``{"old": …, "new": …, "secret": bool}``; a secret field's values are never stored.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    time = models.DateTimeField(auto_now_add=True)
    user_id = models.UUIDField(null=True, blank=True)
    username = models.CharField(max_length=64, blank=True, default="")
    organization_id = models.UUIDField(null=True, blank=True)
    ip = models.GenericIPAddressField(null=True, blank=True)
    user_agent = models.CharField(max_length=256, blank=True, default="")
    resource_type = models.CharField(max_length=32)
    resource_id = models.CharField(max_length=64)
    resource_target = models.CharField(max_length=256)
    resource_icon = models.CharField(max_length=256, blank=True, default="")
    action = models.CharField(max_length=16, choices=AuditAction.choices)
    diff = models.JSONField(default=dict)
    status_code = models.PositiveSmallIntegerField()
    additional_fields = models.JSONField(default=dict)
    request_id = models.UUIDField(null=True, blank=True)

    class Meta:
        ordering = ["-time", "id"]
        indexes = [
            models.Index(fields=["-time"], name="identity_audit_time"),
            models.Index(fields=["resource_id"], name="identity_audit_resource"),
            models.Index(fields=["user_id"], name="identity_audit_user"),
            models.Index(fields=["organization_id"], name="identity_audit_organization"),
            models.Index(
                fields=["-time"], name="identity_audit_failed_login", condition=Q(action="login", status_code=401)
            ),
            models.Index(fields=["user_id", "-time"], name="identity_audit_refused", condition=Q(status_code__gte=400)),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.resource_type} {self.resource_target}"
