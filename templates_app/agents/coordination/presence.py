"""Who is connected, in the rows of agents (decision 11).

The process that holds an agent's socket vouches for it: ``alive_until`` is a little later than its next statement,
which renews all of the process's agents at once. It writes when an agent connects and disconnects, so readers see that
within seconds. ``served_by`` is the number of the process. As long as it lives, it holds an advisory lock with that
number; when it dies, PostgreSQL releases the lock, and any other process withdraws what it vouched for.

Each statement returns rows, as ``Store.rows`` needs it.
"""

from datetime import timedelta

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
# A machine that was stopped runs again: its agent need not report that it starts (contract, §5B.3).
CONNECT_SQL = """
UPDATE provisioning_workspaceagent
   SET first_connected_at = coalesce(first_connected_at, clock_timestamp()), last_connected_at = clock_timestamp(),
       updated_at = clock_timestamp(), alive_until = clock_timestamp() + %s, served_by = %s,
       lifecycle_state = CASE WHEN lifecycle_state IN ('off', 'shutdown_error', 'shutdown_timeout')
                              THEN 'created' ELSE lifecycle_state END
 WHERE id = %s
RETURNING extract(epoch FROM last_connected_at)::float8
"""
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
