"""The process's LISTEN connection."""

import logging
from collections.abc import Callable, Mapping

import psycopg
from psycopg import sql

from coderproj.base.backoff import Backoff

logger = logging.getLogger(__name__)

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 2.0


async def listen(
    conninfo: str, channels: Mapping[str, Callable[[str], None]], *, connected: Callable[[], None]
) -> None:
    """Call the channel's function with the payload of each notification. Never returns.

    Calls ``connected`` after every LISTEN: notifications sent in between are lost, so every listener must re-read
    the tables. The connection must reach PostgreSQL itself or a pooler in session mode.
    """
    backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
    while True:
        try:
            async with await psycopg.AsyncConnection.connect(
                conninfo, autocommit=True, application_name="coderproj-listener", keepalives_idle=30
            ) as connection:
                for channel in channels:
                    await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                backoff.reset()
                connected()
                async for notification in connection.notifies():
                    channels[notification.channel](notification.payload)
        except (psycopg.Error, OSError) as error:
            logger.warning("lost the LISTEN connection, reconnecting: %s", error)
        await backoff.wait()
