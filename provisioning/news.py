"""Telling listeners (PostgreSQL's NOTIFY) what has been committed.

A transaction that notifies holds a lock of the whole server until its commit is on the disk, so that such commits wait
for each other instead of sharing a write. Listeners are therefore told in a transaction of its own, which follows the
commit and waits for no disk. What a crash in between keeps from them they find when they look by themselves, as after
a connection that was lost: news only wake.
"""

import logging

from django.db import connection, transaction

from coderproj.database.prepared import PreparedCommand

logger = logging.getLogger(__name__)

# The setting counts until the end of the statement's own transaction.
NOTIFY = PreparedCommand("""
SELECT set_config('synchronous_commit', 'off', true), pg_notify(channel, payload)
  FROM unnest(%(channels)s::text[], %(payloads)s::text[]) AS news(channel, payload)
""")


def tell(*news: tuple[str, str]) -> None:
    """Tell each channel its payload once the current transaction, if there is one, has been committed.

    Failing is no reason for the caller to believe that its own work failed: it is logged.
    """

    def notify() -> None:
        try:
            NOTIFY.row(channels=[channel for channel, _ in news], payloads=[payload for _, payload in news])
        except Exception:
            logger.exception("Listeners were not told of %s", news)

    if connection.in_atomic_block:
        transaction.on_commit(notify)
    else:  # ``on_commit`` would open a connection for the thread first
        notify()
