"""The counts of templates: daily users, active users, runs and build times, and the times of imports and dry runs.

Each is one grouped statement for all templates that have changed. The apps above count what they know
(``workspaces.services.statistics``, ``agents.services.refreshing``), in the same transactions.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connection

from coderproj.base.json_text import to_json
from provisioning.queue.outcomes import RAN, SUCCEEDED, WAITED
from templates_app.job_kinds import JobType
from templates_app.models import Outcome, TimedKind
from templates_app.statistics import runs
from templates_app.statistics.progress import API_DAYS, Window, first_day, found_templates, mark_stale

NO_BUILDS: Mapping[str, int | None] = {"p50": 0, "p95": 0, "P50": None, "P95": None}
TRANSITIONS = (TimedKind.START, TimedKind.STOP, TimedKind.DELETE)
# A first line of an error that insights group by.
ERROR_CHARACTERS = 200
# Rows that one statement deletes.
BATCH = 10_000
# Tables with rows of a time, and the column of that time.
KEPT_BY_DAY = {
    "templates_app_dailyuser": "day",
    "templates_app_dailycount": "day",
    "templates_app_dailyruns": "day",
    "templates_app_jobtime": "completed_at",
    "templates_app_agenttime": "ready_at",
}

# The columns of ``JobTime`` from a row of the table ``job`` that has ended, after template, version and organization.
TIMES = f"""
job.completed_at,
CASE WHEN {SUCCEEDED} THEN '{Outcome.SUCCEEDED}' WHEN job.error <> '' THEN '{Outcome.FAILED}'
     ELSE '{Outcome.CANCELED}' END,
floor(extract(epoch FROM {WAITED}) * 1000)::bigint,
floor(extract(epoch FROM {RAN}) * 1000)::bigint,
left(split_part(job.error, E'\\n', 1), {ERROR_CHARACTERS})
"""
COLUMNS = "job_id, template_id, version_id, organization_id, kind, completed_at, outcome, waited_ms, ran_ms, error"
ENDED = """job.completed_at >= %(since)s AND job.completed_at < %(until)s
   AND NOT EXISTS (SELECT FROM templates_app_jobtime known WHERE known.job_id = job.id)"""


def times_sql(kind: str, joins: str, condition: str = "true") -> str:
    """Return SQL that adds the ``JobTime`` of each job that ended in a window and has none, and returns the templates.
    ``joins`` leads from ``job`` to ``version``."""
    return f"""
WITH added AS (
    INSERT INTO templates_app_jobtime ({COLUMNS})
    SELECT job.id, version.template_id, version.id, job.organization_id, {kind}, {TIMES}
      FROM provisioning_provisionerjob job {joins}
     WHERE {ENDED} AND {condition}
    ON CONFLICT DO NOTHING
    RETURNING template_id
)
SELECT DISTINCT template_id FROM added
"""  # noqa: S608 - made of constants


IMPORTS_SQL = times_sql(
    f"'{TimedKind.IMPORT}'",
    "JOIN templates_app_templateversion version ON version.job_id = job.id",
    f"job.type = '{JobType.IMPORT}'",
)
# The input can hold any text, and a cast must not fail.
DRY_RUNS_SQL = times_sql(
    f"'{TimedKind.DRY_RUN}'",
    """JOIN templates_app_templateversion version
        ON version.id = CASE WHEN job.input->>'template_version_id' ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
                             THEN (job.input->>'template_version_id')::uuid END""",
    f"job.type = '{JobType.DRY_RUN}'",
)
# A version is imported before a template is made of it.
ATTACH_SQL = """
WITH attached AS (
    UPDATE templates_app_jobtime time SET template_id = version.template_id
      FROM templates_app_templateversion version
     WHERE time.template_id IS NULL AND version.id = time.version_id AND version.template_id IS NOT NULL
    RETURNING version.template_id
)
SELECT DISTINCT template_id FROM attached
"""

ADD_TEMPLATES_SQL = """
INSERT INTO templates_app_templatestatistics
       (template_id, active_users, workspace_owners, build_times, stale_from, insights_are_stale)
SELECT template.id, NULL, 0, '', %(first)s, true
  FROM templates_app_template template
 WHERE NOT EXISTS (SELECT FROM templates_app_templatestatistics known WHERE known.template_id = template.id)
ON CONFLICT DO NOTHING
"""
STALE_SQL = """
SELECT template_id, stale_from FROM templates_app_templatestatistics
 WHERE stale_from IS NOT NULL ORDER BY template_id LIMIT %(limit)s
"""
MARK_ALL_SQL = "UPDATE templates_app_templatestatistics SET stale_from = least(stale_from, %(day)s)"
DAILY_SQL = """
INSERT INTO templates_app_dailycount (template_id, day, users)
SELECT daily.template_id, daily.day, count(*)
  FROM templates_app_dailyuser daily
  JOIN templates_app_templatestatistics stale ON stale.template_id = daily.template_id
 WHERE stale.template_id = ANY(%(templates)s) AND daily.day >= stale.stale_from
 GROUP BY 1, 2
ON CONFLICT (template_id, day) WHERE template_id IS NOT NULL
DO UPDATE SET users = EXCLUDED.users WHERE templates_app_dailycount.users <> EXCLUDED.users
"""
GAPS_SQL = """
INSERT INTO templates_app_dailycount (template_id, day, users)
SELECT template_id, generate_series(min(day), max(day), interval '1 day'), 0
  FROM templates_app_dailycount
 WHERE template_id = ANY(%(templates)s)
 GROUP BY 1
ON CONFLICT DO NOTHING
"""
DAILY_OF_ALL_SQL = """
INSERT INTO templates_app_dailycount (day, users)
SELECT day, count(DISTINCT user_id) FROM templates_app_dailyuser WHERE day >= %(day)s GROUP BY 1
ON CONFLICT (day) WHERE template_id IS NULL
DO UPDATE SET users = EXCLUDED.users WHERE templates_app_dailycount.users <> EXCLUDED.users
"""
GAPS_OF_ALL_SQL = """
INSERT INTO templates_app_dailycount (day, users)
SELECT generate_series(min(day), max(day), interval '1 day'), 0 FROM templates_app_dailycount
 WHERE template_id IS NULL
ON CONFLICT DO NOTHING
"""
ACTIVE_SQL = """
UPDATE templates_app_templatestatistics stale SET active_users = coalesce(counted.users, 0)
  FROM unnest(%(templates)s::uuid[]) AS given(id)
  LEFT JOIN (SELECT template_id, count(DISTINCT user_id) AS users
               FROM templates_app_dailyuser
              WHERE template_id = ANY(%(templates)s) AND day >= %(first)s
              GROUP BY 1) counted ON counted.template_id = given.id
 WHERE stale.template_id = given.id
"""
NOT_COUNTED_SQL = """
UPDATE templates_app_templatestatistics SET active_users = NULL WHERE template_id = ANY(%(templates)s)
"""
BUILD_TIMES_SQL = f"""
SELECT template_id, kind, percentile_disc(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY ran_ms)
  FROM templates_app_jobtime
 WHERE template_id = ANY(%(templates)s) AND completed_at >= %(first)s AND outcome = '{Outcome.SUCCEEDED}'
   AND kind IN ({", ".join(f"'{kind}'" for kind in TRANSITIONS)})
 GROUP BY 1, 2
"""  # noqa: S608 - made of constants
STORE_SQL = """
UPDATE templates_app_templatestatistics counted
   SET build_times = found.build_times, counted_at = now(), stale_from = NULL, insights_are_stale = true,
       insights_from = least(counted.insights_from, counted.stale_from)
  FROM unnest(%s::uuid[], %s::text[]) AS found(id, build_times)
 WHERE counted.template_id = found.id
"""


# ---------------------------------------------------------------------- what has happened
def add_job_times(window: Window) -> set[uuid.UUID]:
    """Add the times of imports and dry runs that ended in the window. Return the templates whose rows are new."""
    given = {"since": window.since, "until": window.until}
    attached = found_templates(ATTACH_SQL, {})
    mark_stale(attached, first_day(window.until, settings.STATISTICS_DAYS))  # their jobs can have ended long ago
    return found_templates(IMPORTS_SQL, given) | found_templates(DRY_RUNS_SQL, given) | attached


# ---------------------------------------------------------------------- counts
def add_templates(today: datetime) -> None:
    """Add rows for templates that have none. They are stale."""
    _execute(ADD_TEMPLATES_SQL, {"first": first_day(today, settings.STATISTICS_DAYS)})


def mark_all(today: datetime) -> None:
    """Let all templates be counted: a day has passed, so other days count."""
    _execute(MARK_ALL_SQL, {"day": today})


def stale_templates(limit: int) -> dict[uuid.UUID, datetime]:
    """Return some templates that must be counted, each with the first day to count."""
    with connection.cursor() as cursor:
        cursor.execute(STALE_SQL, {"limit": limit})
        return dict(cursor.fetchall())


def count(stale: Mapping[uuid.UUID, datetime], today: datetime) -> None:
    """Count these templates: their daily users, active users, runs and build times. The days are those before the end
    of ``today``, a midnight."""
    templates, first = list(stale), first_day(today, API_DAYS)
    if settings.STATISTICS_PER_USER:
        _execute(DAILY_SQL, {"templates": templates})
        _execute(GAPS_SQL, {"templates": templates})
        _execute(DAILY_OF_ALL_SQL, {"day": min(stale.values())})
        _execute(GAPS_OF_ALL_SQL, {})
        _execute(ACTIVE_SQL, {"templates": templates, "first": first})
    else:
        _execute(NOT_COUNTED_SQL, {"templates": templates})
    runs.count(templates, first)
    _store_build_times(templates, first)


def _store_build_times(templates: Sequence[uuid.UUID], first: datetime) -> None:
    """Store the build times, and that the templates are counted."""
    found: dict[uuid.UUID, dict[str, Mapping[str, int | None]]] = {template: {} for template in templates}
    with connection.cursor() as cursor:
        cursor.execute(BUILD_TIMES_SQL, {"templates": list(templates), "first": first})
        for template, kind, (p50, p95) in cursor.fetchall():
            found[template][kind] = build_times(p50, p95)
    texts = [to_json({kind.value: of.get(kind, NO_BUILDS) for kind in TRANSITIONS}) for of in found.values()]
    _execute(STORE_SQL, [list(found), [text.decode().strip() for text in texts]])


def build_times(p50: int, p95: int) -> Mapping[str, int | None]:
    """Return percentiles in both spellings (ruling 8). Those that are not positive are unknown (contract, metrics)."""
    return {"p50": max(p50, 0), "p95": max(p95, 0), "P50": p50 if p50 > 0 else None, "P95": p95 if p95 > 0 else None}


# ---------------------------------------------------------------------- retention
def delete_old(today: datetime, is_stopping: Callable[[], bool]) -> int:
    """Delete what is older than STATISTICS_DAYS, in batches, each in a transaction. Return the number of rows."""
    first = first_day(today, settings.STATISTICS_DAYS)
    return sum(
        delete_in_batches(table, f"{column} < %(first)s", {"first": first}, is_stopping)
        for table, column in KEPT_BY_DAY.items()
    )


def forget_users(is_stopping: Callable[[], bool]) -> int:
    """Delete the rows about single users. Return their number."""
    return delete_in_batches("templates_app_dailyuser", "true", {}, is_stopping)


def delete_in_batches(table: str, condition: str, given: Mapping[str, Any], is_stopping: Callable[[], bool]) -> int:
    """Delete the rows of a table that match, a batch in each transaction. Return their number."""
    sql = f"DELETE FROM {table} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {table} WHERE {condition} LIMIT {BATCH}))"  # noqa: S608 - constants
    deleted = 0
    while not is_stopping():
        count = _execute(sql, given)
        deleted += count
        if count < BATCH:
            break
    return deleted


def _execute(sql: str, given: Any) -> int:
    with connection.cursor() as cursor:
        cursor.execute(sql, given)
        return int(cursor.rowcount)
