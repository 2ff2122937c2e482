"""The registry of provisioner daemons."""

import uuid
from datetime import timedelta

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from provisioning.models.keys import ProvisionerKey

# A daemon is online while its last heartbeat is younger than this.
ONLINE_SECONDS = 30


class ProvisionerDaemonQuerySet(models.QuerySet["ProvisionerDaemon"]):
    def online(self) -> "ProvisionerDaemonQuerySet":
        """Daemons with a recent heartbeat that did not deregister."""
        return self.filter(last_seen_at__gt=Now() - timedelta(seconds=ONLINE_SECONDS), stopped_at=None)

    def missing(self) -> "ProvisionerDaemonQuerySet":
        """Daemons without a recent heartbeat that did not deregister."""
        return self.filter(last_seen_at__lte=Now() - timedelta(seconds=ONLINE_SECONDS), stopped_at=None)


class ProvisionerDaemon(models.Model):
    """A daemon, identified by its name; it keeps its id across restarts. Without database access it has a ``key``."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=64, unique=True)
    key = models.ForeignKey(ProvisionerKey, on_delete=models.SET_NULL, null=True, blank=True, related_name="daemons")
    created_at = models.DateTimeField(auto_now_add=True)
    last_seen_at = models.DateTimeField()
    stopped_at = models.DateTimeField(null=True, blank=True)
    version = models.CharField(max_length=64, blank=True, default="")
    hostname = models.CharField(max_length=255, blank=True, default="")
    provisioners = ArrayField(models.CharField(max_length=16))
    tags = models.JSONField(default=dict)
    concurrency = models.PositiveSmallIntegerField(default=1)
    engine = models.CharField(max_length=128, blank=True, default="")
    sandbox = models.CharField(max_length=64, blank=True, default="")

    objects = ProvisionerDaemonQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
