"""Agents and their tokens: who sends a request to ``/workspaceagents/me``, and whether the token is still valid.

A token is valid while its build is the workspace's latest start, or newer builds have not ended (decision 3). Its owner
must be active, its workspace must exist. A newer build that was canceled before it ran changed nothing, so it does not
count.
"""

import hmac
import uuid
from dataclasses import dataclass

from django.db import connection

from coderproj.base.errors import SignInRequired
from coderproj.base.identifiers import parse_uuid
from provisioning.models import hash_of_token

# Agents of starts whose owner is active, with their workspace. Newer builds: those that ran, or still can.
LIVING = """
  FROM provisioning_workspaceagent agent
  JOIN provisioning_workspaceresource resource ON resource.id = agent.resource_id
  JOIN workspaces_workspacebuild build ON build.job_id = resource.job_id
  JOIN workspaces_workspace workspace ON workspace.id = build.workspace_id
  JOIN identity_user owner ON owner.id = workspace.owner_id
 WHERE build.transition = 'start' AND NOT workspace.deleted AND owner.status = 'active' AND NOT owner.deleted
"""
NEWER = """EXISTS (
       SELECT FROM workspaces_workspacebuild newer
         JOIN provisioning_provisionerjob job ON job.id = newer.job_id
        WHERE newer.workspace_id = workspace.id AND newer.build_number > build.build_number
"""
HAS_NEWER = f"{NEWER} AND (job.completed_at IS NULL OR job.started_at IS NOT NULL))"
IS_REPLACED = f"{NEWER} AND job.completed_at IS NOT NULL AND job.started_at IS NOT NULL)"
CALLER_SQL = f"""
SELECT agent.hashed_token, agent.id, build.id, workspace.id, workspace.template_id, workspace.owner_id,
       workspace.organization_id, {HAS_NEWER}
{LIVING}
   AND agent.hashed_token = %s
   AND NOT {IS_REPLACED}
 ORDER BY agent.created_at DESC, agent.id
 LIMIT 1
"""
# Those of these agents whose build is the latest that ran or will run, and whose owner is active.
CURRENT_SQL = f"SELECT agent.id {LIVING} AND agent.id = ANY(%s) AND NOT {HAS_NEWER}"


class TokenNotAccepted(SignInRequired):
    """The token of an agent is missing, malformed, unknown or not valid any more."""

    message = "The agent's token is not valid."


@dataclass(frozen=True, slots=True)
class AgentCaller:
    """The agent that sent a valid token. ``is_outdated``: a newer build of the workspace waits or runs."""

    hashed_token: bytes
    id: uuid.UUID
    build_id: uuid.UUID
    workspace_id: uuid.UUID
    template_id: uuid.UUID
    owner_id: uuid.UUID
    organization_id: uuid.UUID
    is_outdated: bool


def authenticate(token: str) -> AgentCaller:
    """Return the agent with this token, with one statement. Raises TokenNotAccepted."""
    if not token:
        raise TokenNotAccepted(
            detail="The token is missing. Send it as the header Coder-Session-Token or the cookie coder_session_token."
        )
    parsed = parse_uuid(token)
    if parsed is None:
        raise TokenNotAccepted(detail="The token of an agent is a UUID.")
    hashed = hash_of_token(parsed)
    with connection.cursor() as cursor:
        cursor.execute(CALLER_SQL, [hashed])
        row = cursor.fetchone()
    # The index finds the hash; an unknown one takes as long to compare.
    matches = hmac.compare_digest(bytes(row[0]) if row else bytes(32), hashed)
    if row is None or not matches:
        raise TokenNotAccepted(
            detail="No agent of a running workspace has this token: the workspace was stopped, built again or deleted,"
            " or its owner is not active."
        )
    return AgentCaller(hashed, *row[1:])
