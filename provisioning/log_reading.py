"""Reading a job's log as JSON. PostgreSQL builds each line's object: its shape is described here alone."""

import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db import connection

from provisioning.log_window import LogWindow
from provisioning.models import ProvisionerJob, ProvisionerJobLog

# One ProvisionerJobLog, compact, fields in this order (behaviour contract, ProvisionerJobLog).
LINE_JSON = (
    """'{"id":' || id || ',"created_at":"' || """
    """to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || """
    """'","log_source":' || to_json(source) || ',"log_level":' || to_json(level) || """
    """',"stage":' || to_json(stage) || ',"output":' || to_json(output) || '}'"""
)
PAGE_LINES = 500
PAGE_SQL = f"""
SELECT string_agg(line, ',' ORDER BY id), count(*), max(id)
  FROM (SELECT id, {LINE_JSON} AS line FROM provisioning_provisionerjoblog
         WHERE job_id = %(job)s AND id > %(after)s /* bounds */ ORDER BY id LIMIT {PAGE_LINES}) page
"""  # noqa: S608 - made of constants
BOUNDS = {
    "before_id": " AND id < %(before_id)s",
    "after_time": " AND created_at > %(after_time)s",
    "before_time": " AND created_at < %(before_time)s",
}


@dataclass(frozen=True, slots=True)
class LogPage:
    """``text``: the objects joined by commas. ``last``: the greatest id among them, or where reading started."""

    text: str
    last: int
    full: bool


def log_chunks(job_id: uuid.UUID, window: LogWindow) -> Iterator[bytes]:
    """The window of a job's log as a JSON array, in pieces of at most PAGE_LINES lines.

    Each piece is a query of its own: no transaction stays open while a slow client reads, and 100,000 lines need no
    more memory than 500. Lines are only ever added behind the last one, so the pieces fit together.
    """
    page = read_page(job_id, window, -1 if window.after_id is None else window.after_id)
    yield b"[" + page.text.encode()
    while page.full:
        page = read_page(job_id, window, page.last)
        if page.text:
            yield b"," + page.text.encode()
    yield b"]\n"


def read_page(job_id: uuid.UUID, window: LogWindow, after: int) -> LogPage:
    """The first PAGE_LINES lines of the window whose id is greater than ``after``."""
    values: dict[str, Any] = {"job": job_id, "after": after}
    bounds = ""
    for name, condition in BOUNDS.items():
        value = getattr(window, name)
        if value is not None:
            values[name] = value
            bounds += condition
    with connection.cursor() as cursor:
        cursor.execute(PAGE_SQL.replace("/* bounds */", bounds), values)
        text, count, last = cursor.fetchone()
    return LogPage(text or "", last or after, count == PAGE_LINES)


def follow_lines(job_id: uuid.UUID, *, poll_seconds: float = 0.1) -> Iterator[ProvisionerJobLog]:
    """The lines of a job's log as they are written, until the job has ended and all were seen (or it is gone)."""
    last = 0
    while True:
        ended = not ProvisionerJob.objects.filter(pk=job_id, completed_at=None).exists()
        for line in ProvisionerJobLog.objects.filter(job_id=job_id, id__gt=last).order_by("id"):
            last = line.id
            yield line
        if ended:
            return
        time.sleep(poll_seconds)
