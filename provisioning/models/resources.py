"""The contents of a plan: resources, their metadata, agents and apps."""

import uuid

from django.db import models

from provisioning.engine.base import SharingLevel, Transition
from provisioning.models.jobs import ProvisionerJob

TRANSITIONS = [(one.value, one.name.capitalize()) for one in Transition]
SHARING_LEVELS = [(one.value, one.name.capitalize()) for one in SharingLevel]


class WorkspaceResource(models.Model):
    """A managed resource of a job's plan."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    job = models.ForeignKey(ProvisionerJob, on_delete=models.CASCADE, related_name="resources")
    workspace_transition = models.CharField(max_length=8, choices=TRANSITIONS)
    type = models.CharField(max_length=192)
    name = models.CharField(max_length=64)
    hide = models.BooleanField(default=False)
    icon = models.CharField(max_length=256, blank=True, default="")
    instance_type = models.CharField(max_length=256, blank=True, default="")
    daily_cost = models.IntegerField(default=0)

    class Meta:
        ordering = ["job", "name", "type", "workspace_transition", "id"]

    def __str__(self) -> str:
        return f"{self.type}.{self.name}"


class WorkspaceResourceMetadata(models.Model):
    """A key and value shown beside a resource. A sensitive value is never stored."""

    resource = models.ForeignKey(WorkspaceResource, on_delete=models.CASCADE, related_name="metadata")
    key = models.CharField(max_length=1024)
    value = models.TextField(blank=True, default="")
    sensitive = models.BooleanField(default=False)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["resource", "key"], name="provisioning_metadata_key_unique"),
        ]

    def __str__(self) -> str:
        return self.key


class AppHealth(models.TextChoices):
    DISABLED = "disabled"
    INITIALIZING = "initializing"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


class AgentLifecycle(models.TextChoices):
    CREATED = "created"
    STARTING = "starting"
    START_TIMEOUT = "start_timeout"
    START_ERROR = "start_error"
    READY = "ready"


class WorkspaceAgent(models.Model):
    """An agent on a resource. Agents of imports and dry runs are descriptions only: they never connect."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    resource = models.ForeignKey(WorkspaceResource, on_delete=models.CASCADE, related_name="agents")
    name = models.CharField(max_length=64)
    auth_token = models.UUIDField(default=uuid.uuid4, editable=False, db_index=True)
    auth_instance_id = models.CharField(max_length=256, blank=True, default="")
    architecture = models.CharField(max_length=64)
    operating_system = models.CharField(max_length=64)
    environment_variables = models.JSONField(default=dict, blank=True)
    startup_script = models.TextField(blank=True, default="")
    startup_script_timeout_seconds = models.IntegerField(default=0)
    directory = models.CharField(max_length=4096, blank=True, default="")
    version = models.CharField(max_length=64, blank=True, default="")
    connection_timeout_seconds = models.IntegerField(default=0)
    troubleshooting_url = models.CharField(max_length=1024, blank=True, default="")
    motd_file = models.CharField(max_length=4096, blank=True, default="")
    login_before_ready = models.BooleanField(default=True)
    lifecycle_state = models.CharField(max_length=16, choices=AgentLifecycle.choices, default=AgentLifecycle.CREATED)
    first_connected_at = models.DateTimeField(null=True, blank=True)
    last_connected_at = models.DateTimeField(null=True, blank=True)
    disconnected_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["resource", "name", "id"]
        constraints = [
            models.UniqueConstraint(fields=["resource", "name"], name="provisioning_agent_name_unique"),
        ]

    def __str__(self) -> str:
        return self.name


class WorkspaceApp(models.Model):
    """An app of an agent."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    agent = models.ForeignKey(WorkspaceAgent, on_delete=models.CASCADE, related_name="apps")
    slug = models.CharField(max_length=64)
    display_name = models.CharField(max_length=64, blank=True, default="")
    icon = models.CharField(max_length=256, blank=True, default="")
    command = models.TextField(blank=True, default="")
    url = models.TextField(blank=True, default="")
    external = models.BooleanField(default=False)
    subdomain = models.BooleanField(default=False)
    sharing_level = models.CharField(max_length=16, choices=SHARING_LEVELS, default=SharingLevel.OWNER.value)
    healthcheck_url = models.TextField(blank=True, default="")
    healthcheck_interval = models.IntegerField(default=0)
    healthcheck_threshold = models.IntegerField(default=0)
    health = models.CharField(max_length=16, choices=AppHealth.choices, default=AppHealth.DISABLED)

    class Meta:
        ordering = ["agent", "slug"]
        constraints = [
            models.UniqueConstraint(fields=["agent", "slug"], name="provisioning_app_slug_unique"),
        ]

    def __str__(self) -> str:
        return self.slug
