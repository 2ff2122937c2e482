"""Prepared statements on the event loop: while PostgreSQL runs one, the loop serves other requests."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

from django.db import DEFAULT_DB_ALIAS, connections
from psycopg import AsyncConnection, AsyncCursor, sql
from psycopg_pool import AsyncConnectionPool

from coderproj.database.base import DatabaseWrapper, is_closed_by_server
from coderproj.database.prepared import Prepared, Row

# By method of psycopg's ``PGconn``: the one that sends the same command without waiting for its result.
SEND = {
    "exec_": "send_query",
    "exec_params": "send_query_params",
    "exec_prepared": "send_query_prepared",
    "prepare": "send_prepare",
}
# Seconds to wait for a connection; then a thread serves the request, which waits longer.
CONNECT_SECONDS = 1.0
CLOSE_SECONDS = 1.0
# Seconds for a statement.
STATEMENT_SECONDS = 30.0


class AllBusy(Exception):
    """All connections of the event loop are in use. A thread can run the statement."""


class LoopDatabase:
    """Up to ``limit`` connections to the default database. Open, use and close it on one event loop."""

    def __init__(self, limit: int) -> None:
        wrapper = cast("DatabaseWrapper", connections[DEFAULT_DB_ALIAS])
        role = wrapper.settings_dict["OPTIONS"].get("assume_role")
        time_zone = wrapper.timezone_name

        async def configure(connection: AsyncConnection[Any]) -> None:
            """Set up a new connection as Django does."""
            await connection.execute("SELECT set_config('TimeZone', %s, false)", [time_zone])
            if role:
                await connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))

        self._pool = AsyncConnectionPool(
            min_size=1,
            max_size=limit,
            open=False,
            timeout=CONNECT_SECONDS,
            name="event-loop",
            configure=configure,
            kwargs={**wrapper.get_connection_params(), "autocommit": True, "cursor_factory": AsyncCursor},
        )
        self._limit = limit
        self._used = 0

    async def open(self) -> None:
        await self._pool.open()

    async def close(self) -> None:
        await self._pool.close(timeout=CLOSE_SECONDS)

    async def first_row(self, statement: Prepared, parameters: Sequence[bytes | None]) -> Row | None:
        """Return the first row, None without rows. Raises AllBusy, TimeoutError, and psycopg's errors."""
        if self._used == self._limit:
            raise AllBusy
        self._used += 1
        try:
            raw = await self._borrow()
            try:
                async with asyncio.timeout(STATEMENT_SECONDS):
                    return await _first_row(raw, statement, parameters)
            except (asyncio.CancelledError, TimeoutError):
                await raw.close()  # its result would be taken for that of the next statement
                raise
            finally:
                await self._pool.putconn(raw)
        finally:
            self._used -= 1

    async def _borrow(self) -> AsyncConnection[Any]:
        while is_closed_by_server(raw := await self._pool.getconn()):
            await raw.close()
            await self._pool.putconn(raw)  # the pool replaces a closed connection
        return raw


async def _first_row(raw: AsyncConnection[Any], statement: Prepared, parameters: Sequence[bytes | None]) -> Row | None:
    steps = statement.steps(raw, parameters)
    name, arguments = next(steps)
    while True:
        getattr(raw.pgconn, SEND[name])(*arguments)
        result = await _result(raw)
        try:
            name, arguments = steps.send(result)
        except StopIteration as stop:
            return statement.row_of(raw, stop.value)


async def _result(raw: AsyncConnection[Any]) -> Any:
    """Wait for the result of the command that has been sent, and for the command's end."""
    pgconn, loop, descriptor = raw.pgconn, asyncio.get_running_loop(), raw.fileno()
    while pgconn.flush():
        await _until(loop.add_writer, loop.remove_writer, descriptor)
    result = None
    while True:
        while pgconn.is_busy():
            await _until(loop.add_reader, loop.remove_reader, descriptor)
            pgconn.consume_input()
        following = pgconn.get_result()
        if following is None:
            return result
        result = following


async def _until(watch: Any, unwatch: Any, descriptor: int) -> None:
    """Wait until a socket can be read or written, as the event loop's methods determine."""
    ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    watch(descriptor, _settle, ready)
    try:
        await ready
    finally:
        unwatch(descriptor)


def _settle(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
