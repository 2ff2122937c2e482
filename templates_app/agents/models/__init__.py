"""What agents leave behind."""

from templates_app.agents.models.relay_peers import RelayPeer
from templates_app.agents.models.statistics import AgentStatistic

__all__ = ["AgentStatistic", "RelayPeer"]
