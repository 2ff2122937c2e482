"""A temporary database for one simulation, on the same server as the real one."""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

PREFIX = "coderproj_simulation_"
# A simulation removes the databases of killed ones that are older than this.
LEFTOVER_SECONDS = 24 * 3600
LEFTOVERS_SQL = """
SELECT datname FROM pg_database
 WHERE datname ~ '^coderproj_simulation_[0-9]+_[0-9a-f]+$' AND split_part(datname, '_', 3)::bigint < %s
   AND NOT EXISTS (SELECT FROM pg_stat_activity WHERE pg_stat_activity.datname = pg_database.datname)
"""


@contextmanager
def scratch_database(url: str) -> Iterator[str]:
    """Yield the URL of a new, empty database on the server of ``url``; it is dropped when the block ends.

    Raises psycopg.Error when the server cannot be reached or does not let the role create databases.
    """
    name = f"{PREFIX}{int(time.time())}_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(url, autocommit=True, application_name="coderproj-simulation") as server:
        for (leftover,) in server.execute(LEFTOVERS_SQL, [int(time.time()) - LEFTOVER_SECONDS]).fetchall():
            _drop(server, leftover)
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield urlsplit(url)._replace(path=f"/{name}").geturl()
        finally:
            _drop(server, name)


def free_connections(url: str) -> int:
    """Return how many more connections the server accepts from a role without privileges."""
    with psycopg.connect(url, autocommit=True) as server:
        row = server.execute(
            "SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int"
            " - (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')"
        ).fetchone()
    assert row
    return int(row[0])


def _drop(server: psycopg.Connection[tuple[object, ...]], name: str) -> None:
    server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
