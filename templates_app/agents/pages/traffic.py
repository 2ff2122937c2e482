"""The latest traffic of agents, for the page of a workspace."""

import uuid
from collections.abc import Mapping, Sequence

from django.db.models import OuterRef, Subquery

from provisioning.models import WorkspaceAgent
from templates_app.agents.models import AgentStatistic
from templates_app.workspaces.pages.agents import Traffic


def latest_traffic(agent_ids: Sequence[uuid.UUID]) -> Mapping[uuid.UUID, Traffic]:
    """Return the latest report of each agent that has any. One query, which reads one row of each agent."""
    latest = AgentStatistic.objects.filter(agent=OuterRef("pk")).order_by("-created_at").values("pk")[:1]
    newest = WorkspaceAgent.objects.filter(pk__in=agent_ids).order_by().values_list(Subquery(latest))
    rows = AgentStatistic.objects.filter(pk__in=newest)
    return {row.agent_id: Traffic(row.created_at, row.connections, row.rx_bytes, row.tx_bytes) for row in rows}


TRAFFIC = [latest_traffic]
