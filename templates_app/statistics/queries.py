"""The statements of insights, and what they are about.

``{scope}`` is a condition, ``%(first)s`` the first day of a range, ``%(end)s`` the end of its last day.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from templates_app.models import Outcome, TimedKind
from templates_app.statistics.figures import RANGES
from templates_app.statistics.progress import DAY, first_day

VERSIONS_SHOWN = 20
ERRORS_SHOWN = 5
# Stages are read from the logs of the newest jobs.
JOBS_READ = 40

PERCENTILES = "percentile_disc(ARRAY[0.5, 0.95]) WITHIN GROUP"
SUCCEEDED = f"outcome = '{Outcome.SUCCEEDED}'"
RUNS = f"kind <> '{TimedKind.IMPORT}'"
LONG_RUNS = f"kind IN ('{TimedKind.START}', '{TimedKind.DRY_RUN}')"


def jobs_sql(timed: str = "true") -> str:
    """Return the columns of ``Jobs`` for rows of ``JobTime``. ``timed`` selects those whose run times count."""
    outcomes = ", ".join(f"count(*) FILTER (WHERE outcome = '{outcome.value}')" for outcome in Outcome)
    return f"""{outcomes},
       {PERCENTILES} (ORDER BY ran_ms) FILTER (WHERE {timed} AND {SUCCEEDED}),
       {PERCENTILES} (ORDER BY waited_ms) FILTER (WHERE waited_ms IS NOT NULL)"""


IN_RANGE = "completed_at >= %(first)s AND completed_at < %(end)s"
KINDS_SQL = f"""
SELECT kind, {jobs_sql()} FROM templates_app_jobtime WHERE {{scope}} AND {IN_RANGE} GROUP BY 1
"""  # noqa: S608 - made of constants
# What the kinds do not tell: percentiles do not add up. By conditions: groups would sort all rows a second time.
TOGETHER_SQL = f"""
SELECT {PERCENTILES} (ORDER BY ran_ms) FILTER (WHERE {RUNS} AND {SUCCEEDED}),
       {PERCENTILES} (ORDER BY waited_ms) FILTER (WHERE {RUNS} AND waited_ms IS NOT NULL),
       {PERCENTILES} (ORDER BY waited_ms) FILTER (WHERE waited_ms IS NOT NULL)
  FROM templates_app_jobtime WHERE {{scope}} AND {IN_RANGE}
"""  # noqa: S608 - made of constants
DAYS_SQL = f"""
SELECT (completed_at AT TIME ZONE 'UTC')::date, {jobs_sql(LONG_RUNS)}
  FROM templates_app_jobtime WHERE {{scope}} AND {IN_RANGE} AND {RUNS}
 GROUP BY 1
"""  # noqa: S608 - made of constants
VERSIONS_SQL = f"""
SELECT version.name, counted.* FROM (
    SELECT version_id, count(*) AS total, {jobs_sql(LONG_RUNS)}
      FROM templates_app_jobtime WHERE {{scope}} AND {IN_RANGE} AND {RUNS}
     GROUP BY 1 ORDER BY total DESC LIMIT {VERSIONS_SHOWN}
) counted JOIN templates_app_templateversion version ON version.id = counted.version_id
 ORDER BY counted.total DESC, version.name
"""  # noqa: S608 - made of constants
ERRORS_SQL = f"""
SELECT error, count(*), max(completed_at)
  FROM templates_app_jobtime WHERE {{scope}} AND {IN_RANGE} AND outcome = '{Outcome.FAILED}'
 GROUP BY 1 ORDER BY 2 DESC, 3 DESC LIMIT {ERRORS_SHOWN}
"""  # noqa: S608 - made of constants
READY_SQL = """
SELECT count(*), percentile_disc(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY ready_ms)
  FROM templates_app_agenttime WHERE {scope} AND ready_at >= %(first)s AND ready_at < %(end)s
"""
# A stage lasts from its first log line to the first line of the next stage, or to the job's end.
STAGES_SQL = f"""
WITH read AS (
    SELECT job_id, completed_at FROM templates_app_jobtime
     WHERE {{scope}} AND {IN_RANGE} AND {SUCCEEDED} ORDER BY completed_at DESC LIMIT {JOBS_READ}
), opening AS (
    SELECT read.job_id, log.stage, min(log.id) AS first, min(log.created_at) AS started, read.completed_at
      FROM read JOIN provisioning_provisionerjoblog log ON log.job_id = read.job_id
     WHERE log.stage <> ''
     GROUP BY read.job_id, log.stage, read.completed_at
), lasting AS (
    SELECT stage, extract(epoch FROM lead(started, 1, completed_at) OVER (PARTITION BY job_id ORDER BY first) - started)
           ::double precision AS seconds
      FROM opening
)
SELECT stage, percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds),
       percentile_cont(0.95) WITHIN GROUP (ORDER BY seconds), count(*)
  FROM lasting GROUP BY stage ORDER BY 2 DESC
"""  # noqa: S608 - made of constants
# By the scope: users of days, and the number of different users of all days.
DAILY_USERS_SQL = {
    "template": "SELECT day, users FROM templates_app_dailycount WHERE template_id = %(id)s AND day >= %(first)s",
    "organization": """SELECT day, count(DISTINCT user_id) FROM templates_app_dailyuser daily
        JOIN templates_app_template template ON template.id = daily.template_id
       WHERE template.organization_id = %(id)s AND day >= %(first)s GROUP BY 1""",
    "all": "SELECT day, users FROM templates_app_dailycount WHERE template_id IS NULL AND day >= %(first)s",
}
USERS_SQL = {
    "template": """SELECT count(DISTINCT user_id) FROM templates_app_dailyuser
       WHERE template_id = %(id)s AND day >= %(first)s""",
    "organization": """SELECT count(DISTINCT user_id) FROM templates_app_dailyuser daily
        JOIN templates_app_template template ON template.id = daily.template_id
       WHERE template.organization_id = %(id)s AND day >= %(first)s""",
    "all": "SELECT count(DISTINCT user_id) FROM templates_app_dailyuser WHERE day >= %(first)s",
}
CONDITIONS = {"template": "template_id = %(id)s", "organization": "organization_id = %(id)s", "all": "true"}


@dataclass(frozen=True, slots=True)
class Scope:
    """What insights are about: ``kind`` is ``template``, ``organization`` or ``all``."""

    kind: str
    id: uuid.UUID | None = None

    @property
    def keys(self) -> dict[str, Any]:
        """The columns of ``Insights`` that name the scope."""
        return {
            "template_id": self.id if self.kind == "template" else None,
            "organization_id": self.id if self.kind == "organization" else None,
        }


def of_days(cursor: Any, sql: str, scope: Scope, first: datetime, today: datetime) -> list[Sequence[Any]]:
    """Return the rows of a statement for the days from ``first`` to ``today``."""
    given = {"id": scope.id, "first": first, "end": today + DAY}
    cursor.execute(sql.format(scope=CONDITIONS[scope.kind]), given)
    found: list[Sequence[Any]] = cursor.fetchall()
    return found


def of_ranges(cursor: Any, sql: str, scope: Scope, today: datetime) -> dict[int, list[Sequence[Any]]]:
    """Return the rows of a statement for each range, which all ranges run as one."""
    one = sql.format(scope=CONDITIONS[scope.kind])
    parts = (
        f"SELECT {days}, of_{days}.* FROM ({one.replace('%(first)s', f'%(first_{days})s')}) of_{days}"  # noqa: S608 - made of constants
        for days in RANGES
    )
    given = {"id": scope.id, "end": today + DAY} | {f"first_{days}": first_day(today, days) for days in RANGES}
    cursor.execute(" UNION ALL ".join(parts), given)
    found: dict[int, list[Sequence[Any]]] = {days: [] for days in RANGES}
    for days, *columns in cursor.fetchall():
        found[days].append(columns)
    return found
