"""PostgreSQL notifications: the channels, and sending what has been committed.

A transaction that notifies holds a server-wide lock until its commit is on disk, so such commits wait for each other
instead of sharing a write. Notifications are therefore sent in a transaction of their own, which follows the commit
and does not wait for the disk. A crash in between loses them. Listeners re-read their tables anyway, as they do after
a lost connection: a notification only wakes them.
"""

import logging

from django.db import connection, transaction

from coderproj.database.prepared import PreparedCommand

logger = logging.getLogger(__name__)

# Payloads are ``<event>:<job id>`` with one of the two events below.
JOB_CHANNEL = "provisioner_job"
QUEUED = "queued"
CANCELING = "canceling"
# Payloads are ``<job id>`` when there are new lines, and ``<job id>:end`` when the job has ended.
LOG_CHANNEL = "provisioner_log"
END_MARK = ":end"

# set_config lasts until the end of the statement's own transaction.
NOTIFY = PreparedCommand("""
SELECT set_config('synchronous_commit', 'off', true), pg_notify(channel, payload)
  FROM unnest(%(channels)s::text[], %(payloads)s::text[]) AS notification(channel, payload)
""")


def notify(*notifications: tuple[str, str]) -> None:
    """Send ``(channel, payload)`` pairs after the current transaction, if there is one, has been committed.

    A failure is only logged: the caller's own work has been committed.
    """

    def send() -> None:
        try:
            NOTIFY.row(
                channels=[channel for channel, _ in notifications], payloads=[payload for _, payload in notifications]
            )
        except Exception:
            logger.exception("Could not notify the listeners of %s", notifications)

    if connection.in_atomic_block:
        transaction.on_commit(send)
    else:  # ``on_commit`` would open a connection for the thread first
        send()
