"""The contents of a plan: resources, their metadata, agents and apps.

Texts are as long as Terraform allows (``engine.base`` bounds them), too long for an index: unique constraints hash
them.
"""

import hashlib
import uuid
from datetime import UTC, datetime, timedelta

from django.db import models
from django.db.models import Case, F, FloatField, Func, Q, Value, When
from django.db.models.functions import MD5, Coalesce, Greatest
from django.db.models.lookups import GreaterThan

from provisioning.engine.base import SharingLevel, Transition
from provisioning.models.jobs import ProvisionerJob

TRANSITIONS = [(one.value, one.name.capitalize()) for one in Transition]
SHARING_LEVELS = [(one.value, one.name.capitalize()) for one in SharingLevel]

# The instance in a unique constraint.
INSTANCE = Coalesce(MD5("instance_key"), Value(""))


def instance_label(name: str, instance_key: str | None) -> str:
    """Return the name of an instance for people: ``dev``, ``dev[0]`` or ``dev[eu]``."""
    return name if instance_key is None else f"{name}[{instance_key}]"


class WorkspaceResource(models.Model):
    """A managed resource of a job's plan."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    job = models.ForeignKey(ProvisionerJob, on_delete=models.CASCADE, related_name="resources")
    workspace_transition = models.CharField(max_length=8, choices=TRANSITIONS)
    type = models.TextField()
    name = models.TextField()
    hide = models.BooleanField(default=False)
    icon = models.TextField(blank=True, default="")
    instance_type = models.TextField(blank=True, default="")
    daily_cost = models.BigIntegerField(default=0)
    # None: the resource has no count and no for_each.
    instance_key = models.TextField(null=True, blank=True)  # noqa: DJ001
    # The place in the plan, among all resources of the job.
    position = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["job", "name", "type", "workspace_transition", "position", "id"]

    def __str__(self) -> str:
        return f"{self.type}.{self.label}"

    @property
    def label(self) -> str:
        return instance_label(self.name, self.instance_key)


class WorkspaceResourceMetadata(models.Model):
    """A key and value shown beside a resource. A sensitive value is never stored."""

    resource = models.ForeignKey(WorkspaceResource, on_delete=models.CASCADE, related_name="metadata")
    key = models.TextField()
    value = models.TextField(blank=True, default="")
    sensitive = models.BooleanField(default=False)
    # None: the resource has no count and no for_each.
    instance_key = models.TextField(null=True, blank=True)  # noqa: DJ001

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(F("resource"), MD5("key"), INSTANCE, name="provisioning_metadata_key_unique"),
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
    SHUTTING_DOWN = "shutting_down"
    SHUTDOWN_TIMEOUT = "shutdown_timeout"
    SHUTDOWN_ERROR = "shutdown_error"
    OFF = "off"


def hash_of_token(token: uuid.UUID) -> bytes:
    """Return what is stored of an agent's token. A token has 122 random bits, so a plain hash suffices."""
    return hashlib.sha256(token.bytes).digest()


class WorkspaceAgent(models.Model):
    """An agent on a resource. Agents of imports and dry runs are descriptions only: they never connect.

    ``hashed_token`` is that of ``hash_of_token``, None for an agent without a token. Each build has agents of its own;
    their tokens can be those of the build before. Until ``alive_until``, the web process with the number ``served_by``
    vouches for the agent's connection, without a write for each heartbeat.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    resource = models.ForeignKey(WorkspaceResource, on_delete=models.CASCADE, related_name="agents")
    name = models.TextField()
    hashed_token = models.BinaryField(null=True, blank=True, editable=False)
    auth_instance_id = models.TextField(blank=True, default="")
    architecture = models.TextField()
    operating_system = models.TextField()
    environment_variables = models.JSONField(default=dict, blank=True)
    startup_script = models.TextField(blank=True, default="")
    startup_script_timeout_seconds = models.BigIntegerField(default=0)
    shutdown_script = models.TextField(blank=True, default="")
    shutdown_script_timeout_seconds = models.BigIntegerField(default=0)
    directory = models.TextField(blank=True, default="")
    version = models.CharField(max_length=64, blank=True, default="")
    connection_timeout_seconds = models.BigIntegerField(default=0)
    troubleshooting_url = models.TextField(blank=True, default="")
    motd_file = models.TextField(blank=True, default="")
    login_before_ready = models.BooleanField(default=True)
    lifecycle_state = models.CharField(max_length=16, choices=AgentLifecycle.choices, default=AgentLifecycle.CREATED)
    first_connected_at = models.DateTimeField(null=True, blank=True)
    last_connected_at = models.DateTimeField(null=True, blank=True)
    disconnected_at = models.DateTimeField(null=True, blank=True)
    alive_until = models.DateTimeField(null=True, blank=True, editable=False)
    served_by = models.IntegerField(null=True, blank=True, editable=False)
    # None: the resource has no count and no for_each.
    instance_key = models.TextField(null=True, blank=True)  # noqa: DJ001
    # The place in the plan, among the agents of the resource.
    position = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["resource", "name", "position", "id"]
        constraints = [
            models.UniqueConstraint(F("resource"), MD5("name"), INSTANCE, name="provisioning_agent_name_unique"),
        ]
        indexes = [
            models.Index(
                fields=["hashed_token"], name="provisioning_agent_token", condition=Q(hashed_token__isnull=False)
            ),
            models.Index(fields=["served_by"], name="provisioning_agent_served", condition=Q(served_by__isnull=False)),
        ]

    def __str__(self) -> str:
        return self.label

    @property
    def label(self) -> str:
        return instance_label(self.name, self.instance_key)


class AgentStatus(models.TextChoices):
    """The connection of a workspace's agent (contract, agent status)."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    TIMEOUT = "timeout"


# An agent that was silent for longer is disconnected, unless a web process vouches for it.
INACTIVE = timedelta(seconds=6)


def agent_status(agent: WorkspaceAgent, now: datetime | None = None) -> AgentStatus:
    """Return the status of a workspace's agent by the first matching rule. ``agent_status_expression`` does the same in
    SQL."""
    now = now or datetime.now(UTC)
    if agent.first_connected_at is None:
        waited = (now - agent.created_at).total_seconds()
        is_late = 0 < agent.connection_timeout_seconds < waited
        return AgentStatus.TIMEOUT if is_late else AgentStatus.CONNECTING
    seen = agent.last_connected_at or agent.first_connected_at
    if agent.disconnected_at is not None and agent.disconnected_at > seen:
        return AgentStatus.DISCONNECTED
    alive_until = max(seen, agent.alive_until or seen)
    return AgentStatus.DISCONNECTED if now - alive_until > INACTIVE else AgentStatus.CONNECTED


class SecondsSince(Func):
    """The seconds from a time to the start of the statement."""

    template = "extract(epoch FROM statement_timestamp() - %(expressions)s)"
    output_field = FloatField()


def _is_silent(prefix: str, seen: Coalesce) -> Q:
    """Match agents that were not seen for too long. PostgreSQL's ``greatest`` ignores NULL."""
    return Q(GreaterThan(SecondsSince(Greatest(F(f"{prefix}alive_until"), seen)), INACTIVE.total_seconds()))


def gone_at(agent: WorkspaceAgent, now: datetime | None = None) -> datetime | None:
    """Return when an agent disconnected, None if it never did. For an agent that only fell silent, this is when it was
    last seen (contract, agent). ``gone_at_expression`` does the same in SQL."""
    is_gone = agent_status(agent, now) == AgentStatus.DISCONNECTED
    seen = agent.last_connected_at or agent.first_connected_at
    is_recorded = agent.disconnected_at is not None and seen is not None and agent.disconnected_at > seen
    return seen if is_gone and not is_recorded else agent.disconnected_at


def gone_at_expression(prefix: str = "") -> Case:
    """Return ``gone_at`` as SQL, for the agent that the lookup ``prefix`` leads to."""
    seen = Coalesce(F(f"{prefix}last_connected_at"), F(f"{prefix}first_connected_at"))
    recorded = F(f"{prefix}disconnected_at")
    return Case(
        When(Q(GreaterThan(recorded, seen)), then=recorded),
        When(_is_silent(prefix, seen), then=seen),
        default=recorded,
        output_field=models.DateTimeField(null=True),
    )


def agent_status_expression(prefix: str = "") -> Case:
    """Return ``agent_status`` as SQL, for the agent that the lookup ``prefix`` leads to."""
    timeout = F(f"{prefix}connection_timeout_seconds")
    seen = Coalesce(F(f"{prefix}last_connected_at"), F(f"{prefix}first_connected_at"))
    never = Q(**{f"{prefix}first_connected_at": None})
    is_late = Q(GreaterThan(timeout, 0)) & Q(GreaterThan(SecondsSince(F(f"{prefix}created_at")), timeout))
    return Case(
        When(never & is_late, then=Value(AgentStatus.TIMEOUT.value)),
        When(never, then=Value(AgentStatus.CONNECTING.value)),
        When(Q(GreaterThan(F(f"{prefix}disconnected_at"), seen)), then=Value(AgentStatus.DISCONNECTED.value)),
        When(_is_silent(prefix, seen), then=Value(AgentStatus.DISCONNECTED.value)),
        default=Value(AgentStatus.CONNECTED.value),
        output_field=models.CharField(),
    )


def seconds_of_status_expression(prefix: str = "") -> Case:
    """Return the seconds after which ``agent_status`` changes without a write, as SQL: NULL if it does not."""
    timeout = F(f"{prefix}connection_timeout_seconds")
    seen = Coalesce(F(f"{prefix}last_connected_at"), F(f"{prefix}first_connected_at"))
    never = Q(**{f"{prefix}first_connected_at": None})
    waited = SecondsSince(F(f"{prefix}created_at"))
    silent = SecondsSince(Greatest(F(f"{prefix}alive_until"), seen))
    return Case(
        When(never & Q(GreaterThan(timeout, 0)) & ~Q(GreaterThan(waited, timeout)), then=timeout - waited),
        When(never | Q(GreaterThan(F(f"{prefix}disconnected_at"), seen)) | _is_silent(prefix, seen), then=None),
        default=Value(INACTIVE.total_seconds()) - silent,
        output_field=FloatField(null=True),
    )


class WorkspaceApp(models.Model):
    """An app of an agent."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    agent = models.ForeignKey(WorkspaceAgent, on_delete=models.CASCADE, related_name="apps")
    slug = models.TextField()
    display_name = models.TextField(blank=True, default="")
    icon = models.TextField(blank=True, default="")
    command = models.TextField(blank=True, default="")
    url = models.TextField(blank=True, default="")
    external = models.BooleanField(default=False)
    subdomain = models.BooleanField(default=False)
    sharing_level = models.CharField(max_length=16, choices=SHARING_LEVELS, default=SharingLevel.OWNER.value)
    healthcheck_url = models.TextField(blank=True, default="")
    healthcheck_interval = models.BigIntegerField(default=0)
    healthcheck_threshold = models.BigIntegerField(default=0)
    health = models.CharField(max_length=16, choices=AppHealth.choices, default=AppHealth.DISABLED)
    # None: the resource has no count and no for_each.
    instance_key = models.TextField(null=True, blank=True)  # noqa: DJ001

    class Meta:
        ordering = ["agent", "slug"]
        constraints = [
            models.UniqueConstraint(F("agent"), MD5("slug"), name="provisioning_app_slug_unique"),
        ]

    def __str__(self) -> str:
        return self.slug
