"""Which errors of the database reads repeat, and what becomes of followers and listeners after the others."""

import asyncio
import uuid

import psycopg
import pytest
from psycopg_pool import PoolClosed, PoolTimeout

from provisioning.log.following.hub import Follower, Hub, LogUnreadable
from provisioning.log.following.listener import listen
from provisioning.log.following.store import Store, Tail, conninfo, until_it_works

LASTING = [
    psycopg.errors.InvalidParameterValue("payload string too long"),
    psycopg.DataError("no NUL"),
    psycopg.errors.UndefinedTable(),
    psycopg.errors.UniqueViolation(),
    PoolClosed(),
    UnicodeEncodeError("utf-8", "x", 0, 1, "surrogate"),
]


@pytest.mark.parametrize("error", LASTING, ids=lambda error: type(error).__name__)
def test_errors_that_repeating_cannot_mend(error):
    async def read() -> None:
        raise error

    with pytest.raises(type(error)):
        asyncio.run(asyncio.wait_for(until_it_works(read), 5))


PASSING = [psycopg.OperationalError(), psycopg.errors.AdminShutdown(), PoolTimeout(), OSError()]


@pytest.mark.parametrize("error", PASSING, ids=lambda error: type(error).__name__)
def test_errors_that_pass(error):
    errors = [error]

    async def read() -> int:
        if errors:
            raise errors.pop()
        return 7

    assert asyncio.run(until_it_works(read)) == 7


@pytest.mark.django_db(transaction=True)
def test_statements_that_postgresql_refuses():
    async def run() -> None:
        store = Store(conninfo())
        await store.open()
        try:
            for sql, values in (
                ("SELECT pg_notify(%s, %s)", ["changes", "a" * 8000]),
                ("SELECT %s::text", ["\x00"]),
                ("SELECT nothing", []),
            ):
                with pytest.raises((psycopg.DataError, psycopg.ProgrammingError)):
                    await asyncio.wait_for(store.rows(sql, values), 10)
            assert await store.rows("SELECT 1", []) == [(1,)]
        finally:
            await store.close()

    asyncio.run(run())


@pytest.mark.parametrize("place", ["position", "tail"])
def test_followers_of_a_log_that_cannot_be_read(place):
    """Their streams break off, rather than wait for ever or end as with the job."""

    async def run() -> None:
        hub = Hub("", streams_per_user=1, poll_seconds=0.01)

        async def refuse(*values: object) -> Tail:
            raise psycopg.DataError("refused")

        async def position(job_id: uuid.UUID) -> tuple[int, bool]:
            return 0, False

        async def page(job_id: uuid.UUID, after: int) -> tuple[()]:
            return ()

        hub.store.position, hub.store.page = position, page
        setattr(hub.store, place, refuse)
        with pytest.raises(LogUnreadable):
            async for _ in hub.follow(uuid.uuid4(), 0, Follower()):
                pass
        assert not hub._topics

    asyncio.run(asyncio.wait_for(run(), 5))


@pytest.mark.django_db(transaction=True)
def test_a_notification_that_cannot_be_handled_stops_no_others():
    async def run() -> list[str]:
        heard: list[str] = []
        listening, done = asyncio.Event(), asyncio.Event()

        def handle(payload: str) -> None:
            heard.append(payload)
            if payload == "bad":
                raise KeyError(payload)
            done.set()

        task = asyncio.create_task(listen(conninfo(), {"changes": handle}, connected=listening.set))
        await listening.wait()
        async with await psycopg.AsyncConnection.connect(conninfo(), autocommit=True) as sender:
            await sender.execute("NOTIFY changes, 'bad'")
            await sender.execute("NOTIFY changes, 'good'")
        await asyncio.wait_for(done.wait(), 5)
        task.cancel()
        return heard

    assert asyncio.run(run()) == ["bad", "good"]
