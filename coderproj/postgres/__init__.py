"""The embedded database: a PostgreSQL server that coderproj starts, watches and stops.

    with EmbeddedPostgres(Path(".data/postgres")) as server:
        run_something(env={**os.environ, "DATABASE_URL": server.url})

`python -m coderproj.postgres` runs any command in this way. With `DATABASE_URL` the operator's own server is used
instead. Nothing here imports Django: the server can start before the settings are read.
"""

from coderproj.postgres.errors import EmbeddedPostgresError
from coderproj.postgres.server import EmbeddedPostgres

__all__ = ["EmbeddedPostgres", "EmbeddedPostgresError"]
