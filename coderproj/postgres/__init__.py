"""The embedded database: a real PostgreSQL server that coderproj starts, watches and stops itself.

    with EmbeddedPostgres(Path(".data/postgres")) as server:
        run_something(env={**os.environ, "DATABASE_URL": server.url})

`python -m coderproj.postgres` does the same around any command. Setting `DATABASE_URL` replaces all of this
by a server of your own. Nothing here imports Django, so that settings can be read after the server is up.
"""

from coderproj.postgres.errors import EmbeddedPostgresError
from coderproj.postgres.server import EmbeddedPostgres

__all__ = ["EmbeddedPostgres", "EmbeddedPostgresError"]
