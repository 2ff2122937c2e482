"""The backend. Django's own can ask each pooled connection whether it is alive, which costs every request a round trip.

A server that went away, or that ended a connection, leaves something to read on the socket: looking costs nothing.
"""

import select
from typing import Any

from django.db.backends.base.base import NO_DB_ALIAS
from django.db.backends.postgresql import base
from django.utils.asyncio import async_unsafe
from psycopg_pool import ConnectionPool

from coderproj.database.creation import DatabaseCreation


class Pool(ConnectionPool[Any]):
    """Gives out the connection that came back last: what its server process needs is still in the processor's caches,
    and those that nobody needs stay idle until the pool closes them, the longest idle first."""

    def _get_ready_connection(self, timeout: float | None) -> Any:
        self._pool.rotate(1)  # the first one is taken; the pool's lock is held
        return super()._get_ready_connection(timeout)


class DatabaseWrapper(base.DatabaseWrapper):
    """Takes connections from the pool until one is alive."""

    creation_class = DatabaseCreation
    _connection_pools: dict[str, Any]
    _configure_connection: Any

    @property
    def pool(self) -> Any:
        """The pool of connections, made as Django makes its own; None where there is none."""
        options = self.settings_dict["OPTIONS"].get("pool")
        if options and self.alias != NO_DB_ALIAS and self.alias not in self._connection_pools:
            arguments = self.get_connection_params() | {"autocommit": True}
            pool = Pool(kwargs=arguments, open=False, configure=self._configure_connection, **options)
            self._connection_pools.setdefault(self.alias, pool)
        return super().pool

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        while True:
            connection = super().get_new_connection(conn_params)
            if self.pool is None or not has_ended(connection):
                return connection
            connection.close()
            self.pool.putconn(connection)  # which replaces a closed one

    @async_unsafe
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
