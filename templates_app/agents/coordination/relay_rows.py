"""The statements on the table of keys that may use the relay (``models.RelayPeer``). No Django here.

Web processes write the rows. The relay gives those of processes that died their grace (``presence`` says how they are
known). Both remove those whose time is over.
"""

from datetime import timedelta

from templates_app.agents.coordination.presence import LIVING_SQL

# Payloads are the ids of agents in whose rooms keys have changed. They only wake the relay, which reads the table.
RELAY_CHANNEL = "relay_peers"
# How long a key counts after its socket has ended. With the relay's own pause: less than a minute (decision 23).
GRACE = timedelta(seconds=30)

_NOTIFY = f"SELECT pg_notify('{RELAY_CHANNEL}', agent_id::text) FROM (SELECT DISTINCT agent_id FROM changed) one"  # noqa: S608 - a constant
# Rows of the same sockets with other keys are removed: a node has one key at a time.
ANNOUNCE_SQL = f"""
WITH given AS (
    SELECT * FROM unnest(%(agents)s::uuid[], %(owners)s::uuid[], %(keys)s::bytea[], %(sockets)s::text[])
                  AS given(agent_id, owner_id, key, socket)
), other AS (
    DELETE FROM agents_relaypeer peer USING given WHERE peer.socket = given.socket AND peer.key <> given.key
), changed AS (
    INSERT INTO agents_relaypeer (agent_id, owner_id, key, socket, served_by)
    SELECT agent_id, owner_id, key, socket, %(process)s FROM given
        ON CONFLICT (agent_id, owner_id, key)
        DO UPDATE SET socket = excluded.socket, served_by = excluded.served_by, expires_at = NULL
    RETURNING agent_id
) {_NOTIFY}
"""  # noqa: S608 - made of constants
FORGET_SQL = f"""
WITH ended AS (
    UPDATE agents_relaypeer SET expires_at = clock_timestamp() + %(grace)s
     WHERE socket = ANY(%(ended)s) AND expires_at IS NULL
), changed AS (
    DELETE FROM agents_relaypeer WHERE socket = ANY(%(lost)s) RETURNING agent_id
) {_NOTIFY}
"""  # noqa: S608 - made of constants
# Rows of sockets that this process does not have: their end could not be written.
STALE_SQL = """
UPDATE agents_relaypeer SET expires_at = clock_timestamp() + %(grace)s
 WHERE served_by = %(process)s AND expires_at IS NULL AND socket = ANY(%(sockets)s)
RETURNING id
"""
# The sockets of a process that have a row.
HELD_SQL = "SELECT socket FROM agents_relaypeer WHERE served_by = %s AND expires_at IS NULL"
# Those of the given sockets whose key another living process has announced, for the same agent and owner.
SERVED_SQL = f"""
SELECT given.socket
  FROM unnest(%(agents)s::uuid[], %(owners)s::uuid[], %(keys)s::bytea[], %(sockets)s::text[])
       AS given(agent_id, owner_id, key, socket)
  JOIN agents_relaypeer peer USING (agent_id, owner_id, key)
 WHERE peer.expires_at IS NULL AND peer.served_by <> %(process)s AND peer.served_by IN ({LIVING_SQL})
"""  # noqa: S608 - made of constants
# Rows whose time is over: there may be no relay that removes them.
CLEAN_SQL = "DELETE FROM agents_relaypeer WHERE expires_at < clock_timestamp() - interval '1 minute' RETURNING id"

# What the relay does with each complete read.
EXPIRE_SQL = f"""
WITH ended AS (DELETE FROM agents_relaypeer WHERE expires_at <= clock_timestamp())
UPDATE agents_relaypeer SET expires_at = clock_timestamp() + %s
 WHERE expires_at IS NULL AND served_by NOT IN ({LIVING_SQL})
"""  # noqa: S608 - made of constants
_READ = """
SELECT id, agent_id, owner_id, key FROM agents_relaypeer
 WHERE (expires_at IS NULL OR expires_at > clock_timestamp())
"""
READ_ALL_SQL = f"{_READ} ORDER BY agent_id"
READ_ROOMS_SQL = f"{_READ} AND agent_id = ANY(%s)"
