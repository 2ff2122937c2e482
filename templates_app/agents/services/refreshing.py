"""Keep the statistics: a worker's pass over everything that has happened since the one before.

Reports of agents become daily users, ended jobs become times, and the templates that they are about are counted. Each
step is a transaction of bounded length, so a worker that stops loses nothing, and a first pass over years of rows has
flat memory.
"""

import uuid
from collections.abc import Callable
from datetime import timedelta

from django.conf import settings

from coderproj.database.clock import database_time
from templates_app.statistics import calculating, counting
from templates_app.statistics.progress import (
    Window,
    first_day,
    found_templates,
    locked,
    mark_stale,
    midnight,
    next_window,
)
from templates_app.workspaces.services import statistics as workspaces

# A report can become visible this much later than the time that it has.
COMMIT = timedelta(seconds=30)
# Templates that are counted in one transaction.
BATCH = 200

DAILY_USERS_SQL = """
WITH added AS (
    INSERT INTO templates_app_dailyuser (template_id, day, user_id)
    SELECT DISTINCT template_id, %(day)s::timestamptz, user_id
      FROM agents_agentstatistic
     WHERE created_at >= %(since)s AND created_at < %(until)s
    ON CONFLICT DO NOTHING
    RETURNING template_id
)
SELECT DISTINCT template_id FROM added
"""
# An agent's time is part of no count, only of the insights, which are calculated from all of them.
READY_SQL = """
SELECT DISTINCT template_id FROM templates_app_agenttime WHERE ready_at >= %(begun)s AND ready_at < %(until)s
"""


def run_task(is_stopping: Callable[[], bool]) -> int:
    """Refresh as the periodic task. Return the number of changes."""
    return refresh(is_stopping)


def refresh(is_stopping: Callable[[], bool], *, calculate: bool = False) -> int:
    """Count what has happened, and calculate insights if that is due, or with ``calculate`` in any case. Return the
    number of changes; 0 if another worker counts at the moment."""
    done = 0 if settings.STATISTICS_PER_USER else _forget_users(is_stopping)
    is_last = False
    while not is_last and not is_stopping():
        with locked() as progress:
            if progress is None:
                return done
            window = next_window(progress)
            done += _take_in(window)
            progress.until, is_last = window.until, window.is_last
    done += _count(is_stopping)
    return done + calculating.refresh(is_stopping, is_due=calculate)


def _take_in(window: Window) -> int:
    """Add the rows of a window, and mark the templates that they are about. Return the number of changed templates."""
    found = counting.add_job_times(window) | workspaces.add_build_times(window) | _ready(window)
    if settings.STATISTICS_PER_USER:
        found |= _add_daily_users(window)
    mark_stale(found, window.since)
    # Windows before the last one are those of earlier days: then all templates are counted.
    return len(found) + (workspaces.count_owners_in(window) if window.is_last else 0)


def _add_daily_users(window: Window) -> set[uuid.UUID]:
    found: set[uuid.UUID] = set()
    for since, until in window.days:
        found |= found_templates(DAILY_USERS_SQL, {"day": midnight(since), "since": since, "until": until})
    return found


def _ready(window: Window) -> set[uuid.UUID]:
    return found_templates(READY_SQL, {"begun": window.begun - COMMIT, "until": window.until})


def _count(is_stopping: Callable[[], bool]) -> int:
    """Count the templates that have changed, on a new day all of them, and delete old rows. Return their number."""
    done = 0
    today = midnight(database_time())
    while not is_stopping():
        with locked() as progress:
            if progress is None:
                break
            is_new_day = progress.counted_on != today
            if is_new_day:
                counting.mark_all(today)
                progress.counted_on = today
            counting.add_templates(today)
            stale = counting.stale_templates(BATCH)
            if stale:
                counting.count(stale, today)
                workspaces.count_owners(stale)
                workspaces.count_parameters(list(stale))
        done += len(stale)
        if is_new_day:
            done += counting.delete_old(today, is_stopping)
        if len(stale) < BATCH:
            break
    return done


def _forget_users(is_stopping: Callable[[], bool]) -> int:
    """Delete the rows about single users, which are not to be kept. Return their number."""
    reports = counting.delete_in_batches("agents_agentstatistic", "true", {}, is_stopping)
    return reports + counting.forget_users(is_stopping)


def start_again() -> bool:
    """Let the next pass look at all stored jobs and reports again, and count all templates. Return False while a worker
    counts: nothing has changed then."""
    with locked() as progress:
        if progress is None:
            return False
        progress.until = progress.counted_on = None
        counting.mark_all(first_day(database_time(), settings.STATISTICS_DAYS))
    return True
