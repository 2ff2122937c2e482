"""The database backend: Django's PostgreSQL backend, with a check of pooled connections that costs no round trip.

Django's own check (``CONN_HEALTH_CHECKS``) sends a query for each request. If the server has closed a connection, its
socket is readable, so checking the socket is sufficient.
"""

import select
from typing import Any

from django.db.backends.postgresql import base
from django.utils.asyncio import async_unsafe

from coderproj.database.creation import DatabaseCreation


class DatabaseWrapper(base.DatabaseWrapper):
    """Discards pooled connections that the server has closed."""

    creation_class = DatabaseCreation

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        while True:
            connection = super().get_new_connection(conn_params)
            if self.pool is None or not is_closed_by_server(connection):
                return connection
            connection.close()
            self.pool.putconn(connection)  # the pool replaces a closed connection

    @async_unsafe
    def borrow(self) -> Any:
        """Take a live connection from the pool, without Django's setup, for one statement.

        The caller gives it back with ``pool.putconn``.
        """
        pool = self.pool
        if pool.closed:
            pool.open()
        while is_closed_by_server(connection := pool.getconn()):
            connection.close()
            pool.putconn(connection)
        return connection


def is_closed_by_server(connection: Any) -> bool:
    """Return True if the server has closed an idle connection: nothing else makes its socket readable."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))
