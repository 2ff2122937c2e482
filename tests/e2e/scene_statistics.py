"""The traffic of the scene's workspaces, and what a worker counts of it."""

from datetime import UTC, datetime, timedelta

from provisioning.models import WorkspaceAgent
from templates_app.agents.models import AgentStatistic
from templates_app.agents.services import refreshing
from templates_app.models import AgentTime
from templates_app.workspaces.models import Workspace


def add_statistics(days: int = 25) -> None:
    """Add reports of each of the last days, more of them on weekdays, and count."""
    agents = WorkspaceAgent.objects.filter(resource__job__workspace_build__isnull=False)
    agent = agents.select_related("resource__job__workspace_build__template_version").first()
    if agent is not None:
        now = datetime.now(UTC)
        workspaces = list(Workspace.objects.order_by("name"))
        AgentStatistic.objects.bulk_create(
            AgentStatistic(
                created_at=now - timedelta(days=back, minutes=number + 1),
                agent=agent,
                workspace=workspace,
                template=workspace.template,
                user=workspace.owner,
                rx_bytes=1,
            )
            for back in range(days)
            for number, workspace in enumerate(workspaces[: 1 if (now - timedelta(days=back)).weekday() > 4 else None])
            if (back + number) % 5
        )
        job = agent.resource.job
        AgentTime.objects.create(
            agent=agent,
            template_id=job.workspace_build.template_version.template_id,
            organization_id=job.organization_id,
            ready_at=job.completed_at + timedelta(seconds=7),
            ready_ms=7_000,
        )
    refreshing.refresh(lambda: False, calculate=True)
