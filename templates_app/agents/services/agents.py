"""What agents report about themselves, and the agents that users may see."""

import uuid
from collections.abc import Mapping

from django.db import connection, transaction
from django.db.models import Q, QuerySet

from coderproj.base.errors import DomainError, NotFound
from coderproj.identity.actor import Actor
from coderproj.identity.rbac import Action
from provisioning.models import AppHealth, ProvisionerJob, WorkspaceAgent, WorkspaceApp
from provisioning.models.resources import AgentLifecycle
from templates_app.agents.tokens import CURRENT_SQL, AgentCaller
from templates_app.workspaces.events import announce
from templates_app.workspaces.models.workspaces import workspace_condition

# The lookup from an agent to its workspace.
WORKSPACE = "resource__job__workspace_build__workspace__"

VERSION_SQL = """
UPDATE provisioning_workspaceagent SET version = %s, updated_at = now() WHERE id = %s AND version <> %s
"""
# A ready agent steps back only when it starts again or stops, and one that stops only when it starts again. Any other
# step is a report that was late (contract, W50).
LIFECYCLE_SQL = """
UPDATE provisioning_workspaceagent SET lifecycle_state = %(state)s, updated_at = now()
 WHERE id = %(agent)s AND lifecycle_state <> %(state)s
   AND CASE WHEN %(state)s = 'starting' THEN true
            WHEN lifecycle_state IN ('off', 'shutdown_error') THEN false
            WHEN lifecycle_state = 'shutdown_timeout' THEN %(state)s IN ('off', 'shutdown_error')
            WHEN %(state)s IN ('shutting_down', 'shutdown_timeout', 'shutdown_error', 'off') THEN true
            ELSE lifecycle_state NOT IN ('ready', 'shutting_down') END
"""
# Only the first time counts: an agent that starts again has another one.
READY_SQL = """
INSERT INTO templates_app_agenttime (agent_id, template_id, organization_id, ready_at, ready_ms)
SELECT agent.id, version.template_id, workspace.organization_id, statement_timestamp(),
       greatest(floor(extract(epoch FROM statement_timestamp() - job.completed_at) * 1000), 0)::bigint
  FROM provisioning_workspaceagent agent
  JOIN provisioning_workspaceresource resource ON resource.id = agent.resource_id
  JOIN provisioning_provisionerjob job ON job.id = resource.job_id
  JOIN workspaces_workspacebuild build ON build.job_id = job.id
  JOIN workspaces_workspace workspace ON workspace.id = build.workspace_id
  JOIN templates_app_templateversion version ON version.id = build.template_version_id
 WHERE agent.id = %s AND job.completed_at IS NOT NULL AND version.template_id IS NOT NULL
ON CONFLICT DO NOTHING
"""
HEALTH_SQL = """
UPDATE provisioning_workspaceapp app SET health = reported.health
  FROM unnest(%s::uuid[], %s::text[]) AS reported(id, health)
 WHERE app.id = reported.id AND app.agent_id = %s AND app.health <> reported.health
"""


class UnknownApp(NotFound):
    """An app is not one of the agent's, or has no health check."""


class IsOutdated(DomainError):
    """The agent belongs to an earlier build, so it does not connect any more (contract, W52)."""

    message = "The agent belongs to an earlier build of the workspace, or the workspace does not run."


class IsDescription(DomainError):
    """The agent belongs to an import or a dry run (400 by contract)."""

    message = "The agent belongs to an import or a dry run: it never connects."


# ---------------------------------------------------------------------- for users
def visible(actor: Actor) -> QuerySet[WorkspaceAgent]:
    """Return the agents of the workspaces that the actor may read, of all their builds."""
    is_of_workspace = Q(resource__job__workspace_build__isnull=False)
    return WorkspaceAgent.objects.filter(is_of_workspace, workspace_condition(actor, Action.READ, WORKSPACE))


def find(actor: Actor, agent_id: uuid.UUID) -> WorkspaceAgent:
    """Return an agent of a workspace that the actor may read, with its workspace and build. Raises NotFound and
    IsDescription."""
    rows = visible(actor).filter(pk=agent_id)
    found = rows.select_related("resource__job__workspace_build__workspace").first()
    if found is None:
        raise missing(actor, agent_id)
    return found


def missing(actor: Actor, agent_id: uuid.UUID) -> DomainError:
    """Return the error for an agent that is not one of a readable workspace: IsDescription if the actor may read its
    import or dry run, else NotFound."""
    rows = WorkspaceAgent.objects.filter(pk=agent_id, resource__job__workspace_build=None)
    is_readable = rows.filter(resource__job__in=ProvisionerJob.objects.visible(actor)).exists()
    return IsDescription() if is_readable else NotFound()


def require_current(agent: WorkspaceAgent) -> None:
    """Raise IsOutdated unless the agent's build is the workspace's latest, a start, and the owner is active."""
    with connection.cursor() as cursor:
        cursor.execute(CURRENT_SQL, [[agent.pk]])
        if cursor.fetchone() is None:
            raise IsOutdated


# ---------------------------------------------------------------------- from agents
def store_version(caller: AgentCaller, version: str) -> None:
    """Store the version of an agent's program."""
    _execute(VERSION_SQL, [version, caller.id, version])


def store_lifecycle(caller: AgentCaller, state: AgentLifecycle) -> None:
    """Store the state of an agent's startup script, and notify watchers of the workspace if it changed. The time
    until an agent is ready for the first time counts in the insights."""
    with transaction.atomic():
        if _execute(LIFECYCLE_SQL, {"state": state.value, "agent": caller.id}):
            if state is AgentLifecycle.READY:
                _execute(READY_SQL, [caller.id])
            announce(caller.workspace_id)


def store_healths(caller: AgentCaller, healths: Mapping[uuid.UUID, AppHealth]) -> None:
    """Store the health of apps of an agent, all or none, and notify watchers of the workspace if one changed.

    Raises UnknownApp for an app of another agent, and for one without a health check.
    """
    rows = WorkspaceApp.objects.filter(agent=caller.id, pk__in=healths).exclude(healthcheck_url="")
    known = set(rows.values_list("pk", flat=True))
    unknown = next((app_id for app_id in healths if app_id not in known), None)
    if unknown is not None:
        raise UnknownApp(f"The agent has no app {unknown} with a health check.")
    words = [health.value for health in healths.values()]
    if _execute(HEALTH_SQL, [list(healths), words, caller.id]):
        announce(caller.workspace_id)


def _execute(sql: str, parameters: object) -> int:
    """Return the number of changed rows."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)  # type: ignore[arg-type]
        return int(cursor.rowcount)
