"""Database reads of the followers, on the event loop, through a small connection pool of their own."""

import logging
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
from cachetools import LRUCache
from django.db import connection
from psycopg import pq
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from coderproj.base.backoff import Backoff
from provisioning.log.following.batches import Batch, pack
from provisioning.log.reading import LINE_JSON

logger = logging.getLogger(__name__)
# Errors of the statement or its values, which every repetition would raise again, and the end of the pool.
LASTING = (psycopg.DataError, psycopg.IntegrityError, psycopg.ProgrammingError, PoolClosed)
Result = TypeVar("Result")

CONNECTIONS = 4
# Lines per query.
PAGE_LINES = 500
# Bytes of full pages cached for followers that replay the same lines.
CACHE_BYTES = 16 * 1024 * 1024

POSITION_SQL = "SELECT log_count, completed_at IS NOT NULL FROM provisioning_provisionerjob WHERE id = %s"
# State and lines in one statement, thus from one snapshot: when it shows the job's end, it shows every line.
TAIL_SQL = f"""
SELECT job.completed_at IS NOT NULL, line.id, line.text
  FROM provisioning_provisionerjob job
  LEFT JOIN LATERAL (
       SELECT id, {LINE_JSON} AS text FROM provisioning_provisionerjoblog log
        WHERE log.job_id = job.id AND log.id > %s ORDER BY log.id LIMIT {PAGE_LINES}) line ON true
 WHERE job.id = %s ORDER BY line.id
"""  # noqa: S608 - made of constants
PAGE_SQL = f"""
SELECT id, {LINE_JSON} FROM provisioning_provisionerjoblog WHERE job_id = %s AND id > %s ORDER BY id LIMIT {PAGE_LINES}
"""  # noqa: S608 - made of constants


@dataclass(frozen=True, slots=True)
class Tail:
    """New lines of a job. ``full``: there may be more; ``ended``: the job has ended (committed) or was deleted."""

    batches: Sequence[Batch]
    full: bool
    ended: bool


class Store:
    """Reads for followers. Every read is repeated, with growing pauses, until the database answers. Raises LASTING
    errors."""

    def __init__(self, conninfo: str) -> None:
        self._pool = AsyncConnectionPool(
            conninfo,
            min_size=1,
            max_size=CONNECTIONS,
            open=False,
            timeout=10,
            name="log-followers",
            kwargs={"autocommit": True, "application_name": "coderproj-followers"},
        )
        self._pages: LRUCache[tuple[uuid.UUID, int], tuple[Batch, ...]] = LRUCache(CACHE_BYTES, getsizeof=size_of)
        self.queries = 0

    async def open(self) -> None:
        await self._pool.open()

    async def close(self) -> None:
        await self._pool.close(timeout=1)

    async def position(self, job_id: uuid.UUID) -> tuple[int, bool]:
        """Return the number of a job's last line, and whether the job has ended or does not exist."""
        rows = await self.rows(POSITION_SQL, [job_id])
        return rows[0] if rows else (0, True)

    async def tail(self, job_id: uuid.UUID, after: int) -> Tail:
        """Return the next lines after ``after``."""
        rows = await self.rows(TAIL_SQL, [after, job_id])
        lines = [(number, text) for _, number, text in rows if number is not None]
        full = len(lines) == PAGE_LINES
        return Tail(tuple(pack(lines)), full, not full and (not rows or rows[0][0]))

    async def page(self, job_id: uuid.UUID, after: int) -> tuple[Batch, ...]:
        """Return some of the lines after ``after``; none when ``after`` is the last committed line.

        Pages start at multiples of PAGE_LINES. A full page never changes, so it is cached for all followers.
        """
        start = max(after, 0) // PAGE_LINES * PAGE_LINES
        batches = self._pages.get((job_id, start))
        if batches is None:
            rows = await self.rows(PAGE_SQL, [job_id, start])
            batches = tuple(pack(rows))
            if len(rows) == PAGE_LINES:
                with suppress(ValueError):  # larger than the whole cache
                    self._pages[job_id, start] = batches
        rest = (batch.after(after) for batch in batches)
        return tuple(batch for batch in rest if batch is not None)

    async def rows(self, sql: str, values: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a query. Raises LASTING errors."""

        async def read() -> list[tuple[Any, ...]]:
            self.queries += 1
            try:
                async with self._pool.connection() as reader:
                    cursor = await reader.execute(sql, values)
                    return await cursor.fetchall()
            except psycopg.OperationalError:
                await self._pool.check()  # when one connection broke, the idle ones may be broken too
                raise

        return await until_it_works(read)


def size_of(page: tuple[Batch, ...]) -> int:
    """Return the size of a page in bytes."""
    return sum(batch.size for batch in page)


def conninfo() -> str:
    """Return the settings of Django's database as a libpq conninfo string."""
    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    parameters = connection.get_connection_params()
    return make_conninfo(**{name: value for name, value in parameters.items() if name in known and value})


async def until_it_works(read: Callable[[], Awaitable[Result]]) -> Result:
    """Return the result of ``read``, repeated while the database reports errors or is unavailable. Raises LASTING
    errors."""
    backoff = Backoff(0.05, 2.0)
    while True:
        try:
            return await read()
        except LASTING:
            raise
        except (psycopg.Error, PoolTimeout, OSError) as error:
            logger.warning("a statement failed, trying again: %s", error)
        await backoff.wait()
