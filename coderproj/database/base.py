"""The backend. Django's own can ask each pooled connection whether it is alive, which costs every request a round trip.

A server that went away, or that ended a connection, leaves something to read on the socket: looking costs nothing.
"""

import select
from collections import deque
from typing import Any

from django.db.backends.postgresql import base

from coderproj.database.creation import DatabaseCreation


class LastInFirstOut(deque[Any]):
    """The idle connections of a pool. The one that came back last goes out first: what its server process needs is
    still in the processor's caches, and those that are not needed stay idle until the pool closes them."""

    def popleft(self) -> Any:
        return self.pop()


class DatabaseWrapper(base.DatabaseWrapper):
    """Takes connections from the pool until one is alive."""

    creation_class = DatabaseCreation
    _connection_pools: dict[str, Any]

    @property
    def pool(self) -> Any:
        """Django's pool of connections; None where there is none."""
        is_new = self.alias not in self._connection_pools
        pool: Any = super().pool
        if is_new and pool is not None:
            with pool._lock:  # noqa: SLF001 - the pool has no setting for the order
                pool._pool = LastInFirstOut(pool._pool)  # noqa: SLF001
        return pool

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        while True:
            connection = super().get_new_connection(conn_params)
            if self.pool is None or not has_ended(connection):
                return connection
            connection.close()
            self.pool.putconn(connection)  # which replaces a closed one

    def borrow(self) -> Any:
        """A live connection of the pool as it is, for one statement: ``pool.putconn`` gives it back."""
        pool = self.pool
        if pool.closed:
            pool.open()
        while has_ended(connection := pool.getconn()):
            connection.close()
            pool.putconn(connection)
        return connection


def has_ended(connection: Any) -> bool:
    """Whether the server has closed an idle connection: nothing else makes its socket readable."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))
