"""The traffic that agents report."""

from django.conf import settings
from django.db import models

from provisioning.models import WorkspaceAgent
from templates_app.models import Template
from templates_app.workspaces.models import Workspace


class AgentStatistic(models.Model):
    """A report of an agent that had traffic. ``user`` is the owner of the workspace, who counts as active,
    also for traffic of other users."""

    created_at = models.DateTimeField()
    # Two indexes below begin with the columns of these keys.
    agent = models.ForeignKey(WorkspaceAgent, on_delete=models.CASCADE, related_name="statistics", db_index=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="statistics")
    template = models.ForeignKey(Template, on_delete=models.CASCADE, related_name="agent_statistics", db_index=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="agent_statistics")
    connections_by_protocol = models.JSONField(default=dict, blank=True)
    connections = models.BigIntegerField(default=0)
    rx_packets = models.BigIntegerField(default=0)
    rx_bytes = models.BigIntegerField(default=0)
    tx_packets = models.BigIntegerField(default=0)
    tx_bytes = models.BigIntegerField(default=0)

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["agent", "created_at"], name="agents_statistic_agent"),
            models.Index(fields=["template", "created_at"], name="agents_statistic_template"),
            models.Index(fields=["created_at"], name="agents_statistic_time"),
        ]

    def __str__(self) -> str:
        return f"{self.agent} at {self.created_at:%Y-%m-%d %H:%M:%S}"
