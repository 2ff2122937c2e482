"""Reports of traffic: one row per agent and interval, the last use of the workspace, and its automatic stop."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models.functions import Now

from coderproj.database.clock import database_time
from templates_app.agents.models import AgentStatistic
from templates_app.agents.tokens import AgentCaller
from templates_app.workspaces import due
from templates_app.workspaces.events import announce
from templates_app.workspaces.models import Workspace, WorkspaceBuild
from templates_app.workspaces.services import builds

# Reports of an agent within this time of a stored one are accepted and not stored (decision 20).
INTERVAL = timedelta(seconds=30)
# The deadline moves once this part of the time to live has been used up since it moved last.
USED = 20
# Rows that a pass deletes in one statement.
BATCH = 10_000
OLD_SQL = """
DELETE FROM agents_agentstatistic
 WHERE id IN (SELECT id FROM agents_agentstatistic WHERE created_at < now() - interval '30 days' LIMIT %s)
"""


@dataclass(frozen=True, slots=True)
class Report:
    """The traffic of an agent since its last report."""

    connections_by_protocol: Mapping[str, int] = field(default_factory=dict)
    connections: int = 0
    rx_packets: int = 0
    rx_bytes: int = 0
    tx_packets: int = 0
    tx_bytes: int = 0

    @property
    def has_traffic(self) -> bool:
        return bool(self.rx_bytes or self.tx_bytes)


def record(caller: AgentCaller, report: Report) -> bool:
    """Store a report with traffic, set the last use of the workspace and put off its automatic stop (contract, activity
    bump). Return True if the report counted: one without traffic does not, nor one within INTERVAL of another. The row
    is about a user: without STATISTICS_PER_USER there is none."""
    if not report.has_traffic or _is_too_soon(caller):
        return False
    with transaction.atomic():
        workspace = builds.lock(caller.workspace_id)
        if _is_too_soon(caller):  # a report of the same moment
            return False
        now = database_time()
        if settings.STATISTICS_PER_USER:
            _store(workspace, caller, report, now)
        Workspace.objects.filter(pk=workspace.pk).update(last_used_at=now)
        _put_off_stop(workspace, caller, now)
        announce(workspace.pk)
    return True


def _store(workspace: Workspace, caller: AgentCaller, report: Report, now: datetime) -> None:
    AgentStatistic.objects.create(
        created_at=now,
        agent_id=caller.id,
        workspace=workspace,
        template_id=workspace.template_id,
        user_id=workspace.owner_id,
        connections_by_protocol=dict(report.connections_by_protocol),
        connections=report.connections,
        rx_packets=report.rx_packets,
        rx_bytes=report.rx_bytes,
        tx_packets=report.tx_packets,
        tx_bytes=report.tx_bytes,
    )


def _is_too_soon(caller: AgentCaller) -> bool:
    """Return True within INTERVAL of the agent's last report; without rows of reports, of the workspace's last use."""
    if not settings.STATISTICS_PER_USER:
        return Workspace.objects.filter(pk=caller.workspace_id, last_used_at__gt=Now() - INTERVAL).exists()
    return AgentStatistic.objects.filter(agent=caller.id, created_at__gt=Now() - INTERVAL).exists()


def _put_off_stop(workspace: Workspace, caller: AgentCaller, now: datetime) -> None:
    """Move the deadline of the caller's build to a whole time to live from now, unless it is later already, or less
    than a twentieth of that time was used up. A workspace without a deadline does not stop by itself."""
    latest = builds.latest_build(workspace)
    if latest is None or latest.job.completed_at is None or not workspace.lifetime_ms:
        return
    # A newer build that ended did not run, or the caller's token would not be valid.
    rows = WorkspaceBuild.objects.filter(pk=caller.build_id, deadline__isnull=False)
    deadline = rows.values_list("deadline", flat=True).first()
    if deadline is None:
        return
    whole = timedelta(milliseconds=workspace.lifetime_ms)
    if whole - (deadline - now) < whole / USED:
        return
    rows.update(deadline=now + whole, updated_at=now)
    if latest.pk == caller.build_id:
        latest.deadline = now + whole
    due.reschedule(workspace, latest)


def delete_old(is_stopping: Callable[[], bool]) -> int:
    """Delete the rows that are older than 30 days, for a worker. Return their number."""
    deleted = 0
    while not is_stopping():
        with connection.cursor() as cursor:
            cursor.execute(OLD_SQL, [BATCH])
            deleted += cursor.rowcount
            if cursor.rowcount < BATCH:
                break
    return deleted
