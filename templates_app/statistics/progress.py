"""How far the workers have counted, and which templates must be counted again.

A worker locks the row of the progress while it works, so two workers never count at the same time: one of them skips.
What has happened is found by its time. A transaction can commit rows that are older than what was counted already, so
each window begins a while before the end of the one before; nothing is counted twice.
"""

import uuid
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from coderproj.database.clock import database_time
from templates_app.models import StatisticsProgress

ROW = 1
DAY = timedelta(days=1)
# The days that the figures of the API are about (contract, metrics; ruling 8).
API_DAYS = 30
# Transactions that store reports or end jobs are shorter.
OVERLAP = timedelta(minutes=5)

MARK_SQL = """
UPDATE templates_app_templatestatistics
   SET stale_from = least(stale_from, %(day)s)
 WHERE template_id = ANY(%(templates)s)
"""


@dataclass(frozen=True, slots=True)
class Window:
    """A part of one day in UTC, and OVERLAP before it: ``since`` is included, ``until`` is not. ``begun`` is the end of
    the window before. The last window ends now."""

    since: datetime
    begun: datetime
    until: datetime
    is_last: bool

    @property
    def days(self) -> list[tuple[datetime, datetime]]:
        """The parts of the window in each of its days."""
        found, since = [], self.since
        while since < self.until:
            until = min(midnight(since) + DAY, self.until)
            found.append((since, until))
            since = until
        return found


def midnight(moment: datetime) -> datetime:
    """Return the begin of the day in UTC."""
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def first_day(today: datetime, days: int) -> datetime:
    """Return the first of the last ``days`` days, of which ``today`` is one."""
    return midnight(today) - (days - 1) * DAY


@contextmanager
def locked() -> Iterator[StatisticsProgress | None]:
    """Lock the progress in a transaction; None if another worker has it. What the block changes is saved."""
    if not StatisticsProgress.objects.filter(pk=ROW).exists():
        StatisticsProgress.objects.bulk_create([StatisticsProgress(pk=ROW)], ignore_conflicts=True)
    with transaction.atomic():
        progress = StatisticsProgress.objects.select_for_update(skip_locked=True).filter(pk=ROW).first()
        yield progress
        if progress is not None:
            progress.save()


def next_window(progress: StatisticsProgress, now: datetime | None = None) -> Window:
    """Return what to count next. It spans at most a day, so that a worker that is far behind has short transactions.

    If the clock was set back, the window begins before the new time.
    """
    now = now or database_time()
    begun = min(progress.until or first_day(now, settings.STATISTICS_DAYS), now)
    until = min(midnight(begun) + DAY, now)
    return Window(since=begun - OVERLAP, begun=begun, until=until, is_last=until == now)


def mark_stale(templates: Collection[uuid.UUID], day: datetime) -> None:
    """Let the figures of these templates be counted again from a day on. A template without figures needs no mark."""
    if templates:
        with connection.cursor() as cursor:
            cursor.execute(MARK_SQL, {"day": midnight(day), "templates": list(templates)})


def found_templates(sql: str, given: Mapping[str, Any]) -> set[uuid.UUID]:
    """Run a statement that adds rows and returns the ids of their templates."""
    with connection.cursor() as cursor:
        cursor.execute(sql, given)
        return {template for (template,) in cursor.fetchall() if template is not None}
