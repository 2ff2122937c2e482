"""The backend. Django's own can ask each pooled connection whether it is alive, which costs every request a round trip.

A server that went away, or that ended a connection, leaves something to read on the socket: looking costs nothing.
"""

import select
from typing import Any

from django.db.backends.postgresql import base

from coderproj.database.creation import DatabaseCreation


class DatabaseWrapper(base.DatabaseWrapper):
    """Takes connections from the pool until one is alive."""

    creation_class = DatabaseCreation

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        while True:
            connection = super().get_new_connection(conn_params)
            if self.pool is None or not has_ended(connection):
                return connection
            connection.close()
            self.pool.putconn(connection)  # which replaces a closed one


def has_ended(connection: Any) -> bool:
    """Whether the server has closed an idle connection: nothing else makes its socket readable."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))
