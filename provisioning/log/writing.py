"""Write a job's log. No other module writes log lines."""

import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
from django.db import connection, transaction

from provisioning.engine.base import LogLevel, LogLine, LogSource
from provisioning.notifications import LOG_CHANNEL, notify
from provisioning.protocol.leases import LeaseLost

if TYPE_CHECKING:
    from provisioning.models import ProvisionerJob

# Clients read WebSocket messages of at most 32 KiB; a line with all its fields must fit into one.
MAX_LINE_BYTES = 30 * 1024
MAX_STAGE_CHARACTERS = 128

CONTROL_CHARACTERS = {code: None for code in (*range(32), *range(127, 160)) if code != ord("\t")}
CONTROL_CHARACTERS_IN_TEXT = {code: None for code in CONTROL_CHARACTERS if code not in (ord("\n"), ord("\r"))}


class LeaseLostWhileLogging(LeaseLost):
    """The writer's lease is no longer valid; nothing was written."""


class LinesMissing(Exception):
    """The lines would leave a gap after line number ``last``, the last one stored; nothing was written."""

    def __init__(self, last: int) -> None:
        super().__init__(f"The log ends at line {last}.")
        self.last = last


NUMBER_SQL = """
UPDATE provisioning_provisionerjob SET log_count = log_count + %s, updated_at = now()
 WHERE id = %s AND lease = %s
RETURNING log_count
"""
NUMBER_AFTER_SQL = """
UPDATE provisioning_provisionerjob SET log_count = log_count + %s, updated_at = now()
 WHERE id = %s AND lease = %s AND log_count = %s
RETURNING log_count
"""
COUNT_SQL = "SELECT log_count FROM provisioning_provisionerjob WHERE id = %s AND lease = %s"
NUMBER_BY_OWNER_SQL = """
UPDATE provisioning_provisionerjob SET log_count = log_count + %s WHERE id = %s RETURNING log_count
"""
COPY_SQL = "COPY provisioning_provisionerjoblog (job_id, id, created_at, source, level, stage, output) FROM STDIN"


def append(job_id: uuid.UUID, token: uuid.UUID, lines: Sequence[LogLine], *, after: int | None = None) -> int:
    """Append lines to the log of a leased job, numbered without a gap. Returns the number of the last line.

    The first statement locks the job's row, so batches commit in the order of their numbers and no follower can
    miss one. ``after`` is the number of the line before the batch: sending the same batch again, as after a lost
    response, adds nothing. Raises LeaseLostWhileLogging when the lease is no longer valid, and LinesMissing when the
    log ends before ``after``.
    """
    if after is None:
        return _append(job_id, NUMBER_SQL, [job_id, token], lines)
    try:
        return _append(job_id, NUMBER_AFTER_SQL, [job_id, token, after], lines)
    except LeaseLostWhileLogging:
        with connection.cursor() as cursor:
            cursor.execute(COUNT_SQL, [job_id, token])
            row = cursor.fetchone()
        if row is None:
            raise
        if row[0] < after:
            raise LinesMissing(row[0]) from None
        return int(row[0])


def note(job: "ProvisionerJob", level: LogLevel, text: str) -> None:
    """Append a line from the queue itself to the log of a job whose row the caller has locked."""
    line = LogLine(LogSource.DAEMON, level, "", text, datetime.now(UTC).timestamp())
    _append(job.pk, NUMBER_BY_OWNER_SQL, [job.pk], [line])


@transaction.atomic
def _append(job_id: uuid.UUID, number_sql: str, key: Sequence[uuid.UUID | int], lines: Sequence[LogLine]) -> int:
    records = [(line, part) for line in lines for part in split(line)]
    with connection.cursor() as cursor:
        cursor.execute(number_sql, [len(records), *key])
        row = cursor.fetchone()
        if row is None:
            raise LeaseLostWhileLogging
        first: int = row[0] - len(records) + 1
        job = str(job_id)
        with cursor.copy(COPY_SQL) as copy:
            copy.write("".join(copy_row(job, number, line, part) for number, (line, part) in enumerate(records, first)))
    notify((LOG_CHANNEL, str(job_id)))
    return int(row[0])


def copy_row(job: str, number: int, line: LogLine, output: str) -> str:
    """Return a row in COPY's text format. Writing text takes a third of the time of psycopg's value conversion."""
    moment = datetime.fromtimestamp(line.created_at, UTC).isoformat()
    stage = escaped(printable(line.stage)[:MAX_STAGE_CHARACTERS])
    return f"{job}\t{number}\t{moment}\t{line.source}\t{line.level}\t{stage}\t{escaped(output)}\n"


def escaped(text: str) -> str:
    """Escape printable text, which has no line breaks, for a column of COPY's text format."""
    if "\\" in text or "\t" in text:
        return text.replace("\\", "\\\\").replace("\t", "\\t")
    return text


def printable(text: str, *, keep_lines: bool = False) -> str:
    """Remove control characters and replace lone surrogates; line breaks stay when ``keep_lines`` is set."""
    if text.isprintable():  # true for most lines, and cheap to check
        return text
    table = CONTROL_CHARACTERS_IN_TEXT if keep_lines else CONTROL_CHARACTERS
    return text.translate(table).encode("utf-8", "replace").decode("utf-8")


def split(line: LogLine) -> Iterator[str]:
    """Yield the output of a line as one record, or as several when it is too long for one message."""
    rest = printable(line.output)
    limit = MAX_LINE_BYTES
    while len(rest) * 6 > limit and encoded_size(rest) > limit:
        cut = _prefix_length(rest, limit)
        yield rest[:cut]
        rest = rest[cut:]
    yield rest


def encoded_size(text: str) -> int:
    """Return the number of bytes of the text as a JSON string."""
    return len(msgspec.json.encode(text))


def _prefix_length(text: str, limit: int) -> int:
    """Return how many characters from the start fit into ``limit`` bytes of JSON."""
    low, high = 1, min(len(text), limit)
    while low < high:
        middle = (low + high + 1) // 2
        if encoded_size(text[:middle]) <= limit:
            low = middle
        else:
            high = middle - 1
    return low
