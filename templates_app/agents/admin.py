"""Reports of agents in the admin: for owners only, because the API shows no single report."""

from django.contrib import admin
from django.db.models import QuerySet

from coderproj.console.admin import ReadOnlyAdmin
from coderproj.identity.actor import Actor
from coderproj.identity.roles import SiteRole
from templates_app.agents.models import AgentStatistic

FIELDS = (
    "created_at",
    "agent",
    "workspace",
    "template",
    "user",
    "connections_by_protocol",
    "connections",
    "rx_packets",
    "rx_bytes",
    "tx_packets",
    "tx_bytes",
)


@admin.register(AgentStatistic)
class AgentStatisticAdmin(ReadOnlyAdmin[AgentStatistic]):
    list_display = ["created_at", "workspace", "agent", "connections", "rx_bytes", "tx_bytes"]
    list_select_related = ["workspace", "agent"]
    search_fields = ["workspace__name", "user__username"]
    fields = FIELDS
    owner_fields = frozenset(FIELDS)

    def visible(self, actor: Actor) -> QuerySet[AgentStatistic]:
        return AgentStatistic.objects.all() if SiteRole.OWNER in actor.site_roles else AgentStatistic.objects.none()
