"""Who is connected, in the rows of agents (decision 11).

The process that holds an agent's socket vouches for it: ``alive_until`` is a little later than its next statement,
which renews all of the process's agents at once. It writes when an agent connects and disconnects, so readers see that
within seconds. ``served_by`` is the number of the process. As long as it lives, it holds an advisory lock with that
number; when it dies, PostgreSQL releases the lock, and any other process withdraws what it vouched for.

Each statement returns rows, as ``Store.rows`` needs it.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import TypeVar

Value = TypeVar("Value")

# Agents or keys of a statement.
PER_STATEMENT = 1000

# Seconds between two renewals.
RENEWAL_SECONDS = 30.0
# How long a renewal lasts: readers add the time that any agent may be silent.
VOUCHED = timedelta(seconds=RENEWAL_SECONDS + 2)
# The first key of the advisory locks.
LOCKS = 16_302_301

# The numbers of the web processes that live.
LIVING_SQL = f"""
       SELECT objid::bigint FROM pg_locks
        WHERE locktype = 'advisory' AND classid = {LOCKS} AND objsubid = 2 AND granted
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""  # noqa: S608 - made of constants
LOCK_SQL = f"SELECT pg_advisory_lock_shared({LOCKS}, %s)"
# A machine that was stopped runs again: its agent need not report that it starts (contract, §5B.3). An agent that can
# move and comes from another living process stays connected: only the process that vouches for it changes. The time in
# the row that is returned orders the sockets of an agent.
CONNECT_SQL = f"""
UPDATE provisioning_workspaceagent agent
   SET first_connected_at = coalesce(first_connected_at, before.now),
       last_connected_at = CASE WHEN before.has_moved THEN last_connected_at ELSE before.now END,
       updated_at = before.now, alive_until = before.now + %(vouched)s, served_by = %(process)s,
       lifecycle_state = CASE WHEN before.was_stopped THEN 'created' ELSE lifecycle_state END
  FROM (SELECT id, was_stopped, clock_timestamp() AS now, CASE
               WHEN NOT %(can_move)s OR was_stopped OR served_by IS NULL OR served_by = %(process)s
                    OR last_connected_at IS NULL OR (alive_until > clock_timestamp()) IS NOT TRUE THEN false
               ELSE served_by IN ({LIVING_SQL}) END AS has_moved
          FROM (SELECT *, lifecycle_state IN ('off', 'shutdown_error', 'shutdown_timeout') AS was_stopped
                  FROM provisioning_workspaceagent WHERE id = %(agent)s FOR UPDATE) found) before
 WHERE agent.id = before.id
RETURNING extract(epoch FROM before.now)::float8, before.has_moved
"""  # noqa: S608 - made of constants
# An agent with a newer socket elsewhere is served by another process, and is left alone.
DISCONNECT_SQL = """
UPDATE provisioning_workspaceagent
   SET last_connected_at = clock_timestamp() - interval '1 ms', disconnected_at = clock_timestamp(),
       updated_at = clock_timestamp(), alive_until = NULL, served_by = NULL
 WHERE id = ANY(%s) AND served_by = %s
RETURNING id
"""
RENEW_SQL = """
UPDATE provisioning_workspaceagent
   SET last_connected_at = clock_timestamp(), updated_at = clock_timestamp(),
       alive_until = clock_timestamp() + %(vouched)s, served_by = %(process)s
 WHERE id = ANY(%(agents)s) AND (served_by IS NULL OR served_by = %(process)s)
RETURNING id
"""
# The agents of processes that died. Their last renewal may be younger than the time that any agent may be silent.
WITHDRAW_SQL = f"""
UPDATE provisioning_workspaceagent agent SET served_by = NULL, alive_until = NULL, updated_at = clock_timestamp()
  FROM provisioning_workspaceresource resource
  JOIN workspaces_workspacebuild build ON build.job_id = resource.job_id
 WHERE resource.id = agent.resource_id AND agent.served_by IS NOT NULL
   AND agent.served_by NOT IN ({LIVING_SQL})
RETURNING build.workspace_id
"""  # noqa: S608 - made of constants
NOTIFY_SQL = """
SELECT set_config('synchronous_commit', 'off', true), pg_notify(channel, payload)
  FROM unnest(%s::text[], %s::text[]) AS notification(channel, payload)
"""


def batches(values: list[Value]) -> Iterator[list[Value]]:
    """Yield the values in lists that are short enough for a statement."""
    for first in range(0, len(values), PER_STATEMENT):
        yield values[first : first + PER_STATEMENT]
