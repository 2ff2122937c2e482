"""Read a job's log as JSON. PostgreSQL builds each line's object; only this module defines its shape."""

import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.db import connection
from django.db.models import F, Func, TextField, Value

from coderproj.reads.json_sql import MOMENT_END, moment_sql, text_sql
from provisioning.engine.base import LogLevel, LogSource
from provisioning.log.window import LogWindow
from provisioning.models import ProvisionerJob, ProvisionerJobLog

# One ProvisionerJobLog as compact JSON, with the fields in the order of its serializer.
LINE_JSON = (
    f"""concat('{{"id":', id, ',"created_at":"', {moment_sql("created_at")}, """
    f"""'{MOMENT_END}","log_source":', {text_sql("source", LogSource)}, """
    f"""',"log_level":', {text_sql("level", LogLevel)}, ',"stage":', {text_sql("stage")}, """
    f"""',"output":', {text_sql("output")}, '}}')"""
)
PAGE_LINES = 500
# One text: the number of lines, the id of the last one, and the objects joined by commas.
PAGE_SQL = f"""
SELECT concat(count(*), ' ', max(id), ' ', string_agg({LINE_JSON}, ','))
  FROM (SELECT id, created_at, source, level, stage, output FROM provisioning_provisionerjoblog
         WHERE job_id = /* job */ ORDER BY id LIMIT {PAGE_LINES}) page
"""  # noqa: S608 - made of constants
BOUNDS = {
    "after_id": " AND id > ",
    "before_id": " AND id < ",
    "after_time": " AND created_at > ",
    "before_time": " AND created_at < ",
}


def page_sql(job: str, bounds: Mapping[str, str]) -> str:
    """Return PAGE_SQL for these SQL expressions; ``bounds`` has a value for each condition of BOUNDS to apply."""
    conditions = "".join(condition + bounds[name] for name, condition in BOUNDS.items() if name in bounds)
    return PAGE_SQL.replace("/* job */", job + conditions)


class PageOfLog(Func):
    """The first page of a job's log within ``bounds`` (names of BOUNDS; None means no bound). ``LogPage.of`` parses it.

    Only the given bounds are in the statement: a bound that excludes nothing would make PostgreSQL plan it each time.
    """

    output_field = TextField()

    def __init__(self, job: F, **bounds: Any) -> None:
        self.bounds = [name for name in BOUNDS if bounds.get(name) is not None]
        super().__init__(job, *(Value(bounds[name]) for name in self.bounds))

    def as_sql(self, compiler: Any, connection: Any, **extra: Any) -> tuple[str, list[Any]]:  # type: ignore[override]
        compiled = [compiler.compile(expression) for expression in self.source_expressions]
        job, *bounds = (sql for sql, _ in compiled)
        parameters = [parameter for _, values in compiled for parameter in values]
        return f"({page_sql(job, dict(zip(self.bounds, bounds, strict=True)))})", parameters


@dataclass(frozen=True, slots=True)
class LogPage:
    """``text``: the objects joined by commas. ``last``: the greatest id among them."""

    text: bytes
    last: int
    full: bool

    @classmethod
    def of(cls, page: bytes) -> "LogPage":
        """Parse the result of PAGE_SQL."""
        count, last, text = page.split(b" ", 2)
        return cls(text, int(last or 0), int(count) == PAGE_LINES)


def log_chunks(job_id: uuid.UUID, window: LogWindow, first: LogPage | None = None) -> Iterator[bytes]:
    """Yield the window of a job's log as a JSON array, in pieces of at most PAGE_LINES lines.

    ``first`` is the first page, if the caller has read it already. Each piece is a separate query: no transaction
    stays open while a slow client reads, and 100,000 lines need no more memory than 500. Lines are only ever appended,
    so the pieces have no gaps or overlaps.
    """
    page = first or read_page(job_id, window)
    yield b"[" + page.text
    while page.full:
        page = read_page(job_id, replace(window, after_id=page.last))
        if page.text:
            yield b"," + page.text
    yield b"]\n"


def read_page(job_id: uuid.UUID, window: LogWindow) -> LogPage:
    """Read the first PAGE_LINES lines of the window."""
    bounds = {name: getattr(window, name) for name in BOUNDS if getattr(window, name) is not None}
    with connection.cursor() as cursor:
        cursor.execute(page_sql("%s", dict.fromkeys(bounds, "%s")), [job_id, *bounds.values()])
        (text,) = cursor.fetchone()
    return LogPage.of(text.encode())


def follow_lines(job_id: uuid.UUID, *, poll_seconds: float = 0.1) -> Iterator[ProvisionerJobLog]:
    """Yield the lines of a job's log as they are written, until the job has ended or is deleted."""
    last = 0
    while True:
        ended = not ProvisionerJob.objects.filter(pk=job_id, completed_at=None).exists()
        for line in ProvisionerJobLog.objects.filter(job_id=job_id, id__gt=last).order_by("id"):
            last = line.id
            yield line
        if ended:
            return
        time.sleep(poll_seconds)
