"""The health of workspaces in lists: one badge for all agents of a workspace and their apps."""

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from django.db.models import Count, Q
from django.utils.safestring import SafeString

from coderproj.console.templatetags.console import status
from provisioning.models import AgentStatus, AppHealth, WorkspaceAgent, agent_status_expression
from provisioning.models.resources import AgentLifecycle
from templates_app.workspaces.models import BuildStatus, Workspace


@dataclass(frozen=True, slots=True)
class AgentHealth:
    """Numbers of a workspace's agents, and of its unhealthy apps."""

    FIELDS: ClassVar = ("agents", "disconnected", "timeout", "connecting", "failed", "starting", "unhealthy")

    agents: int
    disconnected: int
    timeout: int
    connecting: int
    failed: int
    starting: int
    unhealthy: int

    @property
    def badge(self) -> SafeString | str:
        """The worst that is the matter, as a badge. Empty if nothing is."""
        for number, key, words in (
            (self.disconnected, "disconnected", "disconnected"),
            (self.timeout, "timeout", "timed out"),
            (self.failed, "start_error", "failed to start up"),
            (self.connecting, "connecting", "connecting"),
            (self.starting, "starting", "starting up"),
        ):
            if number:
                return status(key, f"{self._agents(number)} {words}", chip=True)
        if self.unhealthy:
            return status("unhealthy", f"{self.unhealthy} app{'' if self.unhealthy == 1 else 's'} unhealthy", chip=True)
        return ""

    def _agents(self, number: int) -> str:
        return "Agent" if self.agents == 1 else f"{number} of {self.agents} agents"


def agent_health(workspaces: Iterable[Workspace]) -> Mapping[uuid.UUID, AgentHealth]:
    """Return the health of those that run and have agents, by the id of their build's job. Needs the build and its
    job. One query, none without a running workspace."""
    builds = [row.latest_build for row in workspaces if row.latest_build is not None]
    jobs = [build.job_id for build in builds if build.status == BuildStatus.RUNNING]
    if not jobs:
        return {}

    def counted(**condition: object) -> Count:
        return Count("pk", distinct=True, filter=Q(**condition))  # a row for each app

    agents = WorkspaceAgent.objects.filter(resource__job__in=jobs, resource__hide=False)
    rows = agents.alias(status_=agent_status_expression()).order_by().values("resource__job")
    online = {"status_": AgentStatus.CONNECTED}
    found = rows.annotate(
        agents=Count("pk", distinct=True),
        disconnected=counted(status_=AgentStatus.DISCONNECTED),
        timeout=counted(status_=AgentStatus.TIMEOUT),
        connecting=counted(status_=AgentStatus.CONNECTING),
        failed=counted(lifecycle_state=AgentLifecycle.START_ERROR, **online),
        starting=counted(lifecycle_state__in=(AgentLifecycle.STARTING, AgentLifecycle.START_TIMEOUT), **online),
        unhealthy=Count("apps", distinct=True, filter=Q(apps__health=AppHealth.UNHEALTHY)),
    )
    numbers = found.values_list("resource__job", *AgentHealth.FIELDS)
    return {job_id: AgentHealth(*counts) for job_id, *counts in numbers}
