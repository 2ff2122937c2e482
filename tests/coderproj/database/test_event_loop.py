"""Statements on the event loop, with connections of its own."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import pytest
from django.db import connection

from coderproj.database.event_loop import AllBusy, LoopDatabase
from coderproj.database.prepared import Prepared, as_text

pytestmark = pytest.mark.django_db(transaction=True)
BACKEND = Prepared("SELECT pg_backend_pid()", [])
SLEEP = Prepared("SELECT pg_sleep(%s)", [1.0])
UPPER = Prepared("SELECT upper(%s), length(%s)", ["", ""])


def run(test: Callable[[LoopDatabase], Awaitable[Any]], limit: int = 2) -> Any:
    """Run a coroutine with an open database."""

    async def with_database() -> Any:
        database = LoopDatabase(limit)
        await database.open()
        try:
            return await test(database)
        finally:
            await database.close()

    # In a thread of its own, because Django does not expect an event loop in that of a test.
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(asyncio.run(with_database())))
    thread.start()
    thread.join()
    connection.close()
    assert results, "the coroutine failed"
    return results[0]


def test_rows_are_the_same_as_in_a_thread():
    async def test(database: LoopDatabase) -> Any:
        texts = ["straße", "x" * 500_000]
        return [await database.first_row(UPPER, [as_text(text), as_text(text)]) for text in texts for _ in range(2)]

    first, again, long, longer = run(test)
    assert first == again == (b"STRASSE", 6) or first == again == ("STRAßE".encode(), 6)
    assert long == longer == (b"X" * 500_000, 500_000)


def test_statements_run_side_by_side_up_to_the_limit():
    async def test(database: LoopDatabase) -> Any:
        waiting = [asyncio.create_task(database.first_row(SLEEP, [b"0.5"])) for _ in range(2)]
        await asyncio.sleep(0.1)
        with pytest.raises(AllBusy):
            await database.first_row(BACKEND, [])
        await asyncio.gather(*waiting)
        return await database.first_row(BACKEND, [])

    assert run(test)[0] > 0


def test_connections_closed_by_the_server_are_replaced():
    async def test(database: LoopDatabase) -> Any:
        first = await database.first_row(BACKEND, [])
        await asyncio.to_thread(terminate, first[0])
        return first, await database.first_row(BACKEND, [])

    first, second = run(test)
    assert first != second


def test_a_lost_connection_is_an_operational_error():
    async def test(database: LoopDatabase) -> Any:
        (backend,) = await database.first_row(BACKEND, [])
        waiting = asyncio.create_task(database.first_row(SLEEP, [b"60"]))
        await asyncio.sleep(0.1)
        await asyncio.to_thread(terminate, backend)
        with pytest.raises(psycopg.OperationalError):
            await waiting
        return backend, await database.first_row(BACKEND, [])

    before, (after,) = run(test, limit=1)
    assert before != after


def test_a_cancelled_statement_leaves_no_result_behind():
    async def test(database: LoopDatabase) -> Any:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await database.first_row(UPPER_SLOWLY, [b"secret", b"secret"])
        return await database.first_row(UPPER, [b"next", b"next"])

    assert run(test, limit=1) == (b"NEXT", 4)


def test_errors_of_a_statement_leave_the_connection_usable():
    async def test(database: LoopDatabase) -> Any:
        with pytest.raises(psycopg.errors.DivisionByZero):
            await database.first_row(Prepared("SELECT 1 / %s", [1]), [b"0"])
        return await database.first_row(UPPER, [b"a", b"a"])

    assert run(test, limit=1) == (b"A", 1)


def test_connections_are_set_up_as_django_sets_them_up():
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('TimeZone'), current_user::text, current_database()::text")
        expected = tuple(text.encode() for text in cursor.fetchone())
    settings = Prepared("SELECT current_setting('TimeZone'), current_user::text, current_database()::text", [])
    assert run(lambda database: database.first_row(settings, [])) == expected


UPPER_SLOWLY = Prepared("SELECT upper(%s), length(%s), pg_sleep(5)::text", ["", ""])


def terminate(backend: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [backend])
    connection.close()
