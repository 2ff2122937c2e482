"""The process's LISTEN connection."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

import psycopg
from psycopg import sql

from coderproj.base.backoff import Backoff

logger = logging.getLogger(__name__)

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 2.0


async def listen(
    conninfo: str,
    channels: Mapping[str, Callable[[str], None]],
    *,
    connected: Callable[[], None],
    first: tuple[str, tuple[Any, ...]] | None = None,
) -> None:
    """Call the channel's function with the payload of each notification. Never returns.

    Calls ``connected`` after every LISTEN: notifications sent in between are lost, so every listener must re-read the
    tables. ``first`` is a statement with its parameters that runs before LISTEN. The connection must reach PostgreSQL
    itself or a pooler in session mode.
    """
    backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
    while True:
        try:
            async with await psycopg.AsyncConnection.connect(
                conninfo, autocommit=True, application_name="coderproj-listener", keepalives_idle=30
            ) as connection:
                if first is not None:
                    await connection.execute(*first)
                for channel in channels:
                    await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                backoff.reset()
                connected()
                async for notification in connection.notifies():
                    try:
                        channels[notification.channel](notification.payload)
                    except Exception:  # others must still be heard
                        logger.exception("A notification on %s cannot be handled", notification.channel)
        except (psycopg.Error, OSError) as error:
            logger.warning("lost the LISTEN connection, reconnecting: %s", error)
        await backoff.wait()
