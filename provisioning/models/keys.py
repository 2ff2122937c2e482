"""Keys of provisioner daemons that connect over HTTPS."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower, Now

from coderproj.identity.models import Organization


class ProvisionerKeyQuerySet(models.QuerySet["ProvisionerKey"]):
    def live(self) -> "ProvisionerKeyQuerySet":
        """Keys that are neither expired nor revoked."""
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=Now()), revoked_at=None)


class ProvisionerKey(models.Model):
    """The credentials of a daemon without database access.

    The daemon claims only jobs of ``organization``, or of all organizations when that is null, and has exactly
    ``tags``. Only the SHA-256 of the secret is stored. Only ``provisioning.keys`` writes these rows.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=64)
    hashed_secret = models.BinaryField(editable=False)
    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, null=True, blank=True, related_name="provisioner_keys"
    )
    tags = models.JSONField(default=dict)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="provisioner_keys")
    created_at = models.DateTimeField(auto_now_add=True)
    last_used = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects = ProvisionerKeyQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [
            # Two constraints, because PostgreSQL 14 treats nulls as distinct.
            models.UniqueConstraint(
                Lower("name"),
                "organization",
                name="provisioning_key_name",
                condition=Q(revoked_at=None, organization__isnull=False),
            ),
            models.UniqueConstraint(
                Lower("name"), name="provisioning_key_global_name", condition=Q(revoked_at=None, organization=None)
            ),
        ]

    def __str__(self) -> str:
        return self.name
