"""Shortcuts for the tests of the statistics that workers keep."""

from datetime import UTC, datetime, timedelta

from coderproj.database.clock import database_time
from provisioning.models import ProvisionerJob, WorkspaceAgent
from templates_app.agents.models import AgentStatistic
from templates_app.agents.services.refreshing import refresh
from templates_app.models import (
    StatisticsProgress,
)
from templates_app.workspaces.models import Workspace
from tests.api import ApiClient

DAY = timedelta(days=1)


def count() -> int:
    return refresh(lambda: False)


def noon(days_ago: int = 0) -> datetime:
    """Return noon of an earlier day, or a moment before now: passes look at the last minutes of the day only."""
    now = database_time().astimezone(UTC)
    if not days_ago:
        return now - timedelta(seconds=1)
    return now.replace(hour=12, minute=0, second=0, microsecond=0) - days_ago * DAY


def report(workspace: Workspace, created_at: datetime) -> AgentStatistic:
    """Store a report of traffic of the workspace."""
    agent = WorkspaceAgent.objects.filter(resource__job__workspace_build__workspace=workspace).first()
    return AgentStatistic.objects.create(
        created_at=created_at,
        agent=agent or WorkspaceAgent.objects.first(),
        workspace=workspace,
        template=workspace.template,
        user=workspace.owner,
        rx_bytes=1,
    )


def read(user, template) -> dict:
    return ApiClient(user).get(f"templates/{template.pk}").body


def daily(user, template=None) -> list[tuple[str, int]]:
    """Return the days of the API with their numbers of users."""
    path = f"templates/{template.pk}/daus" if template else "insights/daus"
    answer = ApiClient(user).get(path)
    assert answer.status_code == 200
    assert all(entry["date"].endswith("T00:00:00Z") for entry in answer.body["entries"])
    return [(entry["date"][:10], entry["amount"]) for entry in answer.body["entries"]]


def day(days_ago: int) -> str:
    return f"{database_time().astimezone(UTC) - days_ago * DAY:%Y-%m-%d}"


def settle() -> None:
    """Count, as if the last pass had been a while ago."""
    refresh(lambda: False, calculate=True)
    StatisticsProgress.objects.update(until=database_time() + timedelta(hours=1))


def put(job: ProvisionerJob, *, ms: int, days_ago: int = 0) -> None:
    started_at = noon(days_ago) - timedelta(milliseconds=ms)
    ProvisionerJob.objects.filter(pk=job.pk).update(
        started_at=started_at, completed_at=started_at + timedelta(milliseconds=ms)
    )
