"""Calculate insights: of templates that have changed, of their organizations and of the deployment.

Their percentiles are exact, so they are calculated from all jobs of the range. This happens in the background, at most
for a twentieth of the time: a deployment with a million builds is calculated less often than a small one.
"""

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from django.conf import settings
from django.db import connection

from coderproj.database.clock import database_time
from coderproj.identity.models import Organization
from templates_app.models import Insights, Outcome, ParameterUse, TemplateStatistics, TimedKind
from templates_app.statistics import figures
from templates_app.statistics.figures import RANGES, Figures, Jobs
from templates_app.statistics.progress import DAY, first_day, locked, midnight

PAUSE = timedelta(seconds=20)
# The share of the time for calculations is one of this.
SHARE = 20
# Seconds after which a pass begins no further template.
MOST_SECONDS = 10.0
VERSIONS_SHOWN = 20
ERRORS_SHOWN = 5
# Stages are read from the logs of the newest jobs.
JOBS_READ = 40

SUCCEEDED = f"outcome = '{Outcome.SUCCEEDED}'"
RUNS = f"kind <> '{TimedKind.IMPORT}'"
ALL, ALL_RUNS = "all", "runs"
LONG_RUNS = f"kind IN ('{TimedKind.START}', '{TimedKind.DRY_RUN}')"


def jobs_sql(timed: str = "true") -> str:
    """Return the columns of ``Jobs`` for rows of ``JobTime``. ``timed`` selects those whose run times count."""
    percentiles = "percentile_disc(ARRAY[0.5, 0.95]) WITHIN GROUP"
    outcomes = ", ".join(f"count(*) FILTER (WHERE outcome = '{outcome.value}')" for outcome in Outcome)
    return f"""{outcomes},
       {percentiles} (ORDER BY ran_ms) FILTER (WHERE {timed} AND {SUCCEEDED}),
       {percentiles} (ORDER BY waited_ms) FILTER (WHERE waited_ms IS NOT NULL)"""


IN_RANGE = "completed_at >= %(first)s AND completed_at < %(end)s"
# By kind, by whether they are runs, and all. Groups take a third of the time of a condition for each.
TOTALS_SQL = f"""
SELECT CASE WHEN grouping(kind) = 0 THEN kind WHEN grouping(is_run) = 1 THEN '{ALL}' WHEN is_run THEN '{ALL_RUNS}' END,
       {jobs_sql()}
  FROM (SELECT *, {RUNS} AS is_run FROM templates_app_jobtime WHERE {{scope}} AND {IN_RANGE}) timed
 GROUP BY GROUPING SETS ((kind), (is_run), ())
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
# Organizations, and null for the deployment, whose insights are older than those of one of their templates.
OLDER_SQL = """
WITH newest AS (
    SELECT template.organization_id, max(one.calculated_at) AS calculated_at
      FROM templates_app_insights one JOIN templates_app_template template ON template.id = one.template_id
     WHERE one.days = %(days)s
     GROUP BY GROUPING SETS ((template.organization_id), ())
)
SELECT newest.organization_id
  FROM newest
  LEFT JOIN templates_app_insights known
         ON known.days = %(days)s AND known.template_id IS NULL
        AND known.organization_id IS NOT DISTINCT FROM newest.organization_id
 WHERE newest.calculated_at > coalesce(known.calculated_at, '-infinity')
 ORDER BY 1 NULLS LAST
"""
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


def refresh(is_stopping: Callable[[], bool], *, is_due: bool = False) -> int:
    """Calculate the insights that are stale, if the last calculation is long enough ago or ``is_due``. Return the
    number of scopes.

    Insights of organizations and of the deployment are stale while those of a template are newer, so a pass that ends
    early leaves the rest to the next one. A pass begins no template after MOST_SECONDS, unless it ``is_due``: the
    worker has to count as well.
    """
    began = time.monotonic()
    with locked() as progress:
        if progress is None:
            return 0
        pause = max(PAUSE, SHARE * timedelta(milliseconds=progress.insights_ms))
        now = database_time()
        if not is_due and progress.insights_at is not None and timedelta() <= now - progress.insights_at < pause:
            return 0
    rows = TemplateStatistics.objects.filter(insights_are_stale=True, stale_from=None)
    stale = [Scope("template", template) for template in rows.values_list("template_id", flat=True)]

    def must_end() -> bool:
        return is_stopping() or (not is_due and time.monotonic() - began > MOST_SECONDS)

    done = _calculate_all(stale, must_end)
    if done < len(stale):
        return done
    organizations, deployment = _older_than_templates()
    # The insights of the only organization are those of the deployment, which is the last one that ``has_work`` looks
    # at.
    is_only_one = Organization.objects.count() == 1
    copies = organizations if is_only_one and deployment else []
    rest = [*(one for one in organizations if one not in copies), *deployment]
    calculated = _calculate_all(rest, is_stopping, copies=copies)
    done += calculated
    if done and calculated == len(rest):
        with locked() as progress:
            if progress is not None:
                progress.insights_at = database_time()
                progress.insights_ms = int((time.monotonic() - began) * 1000)
    return done


def _older_than_templates() -> tuple[list[Scope], list[Scope]]:
    """Return the organizations, and the deployment if it is one of them, whose insights are older than those of one of
    their templates, or missing."""
    with connection.cursor() as cursor:
        cursor.execute(OLDER_SQL, {"days": RANGES[0]})
        found = [organization for (organization,) in cursor.fetchall()]
    organizations = [Scope("organization", one) for one in found if one is not None]
    return organizations, [Scope("all")] if None in found else []


def _calculate_all(scopes: Sequence[Scope], must_end: Callable[[], bool], copies: Sequence[Scope] = ()) -> int:
    """Calculate the scopes one by one, each in a transaction, until one ``must_end`` or another worker counts. Those in
    ``copies`` get the insights of the deployment. Return the number of calculations."""
    done = 0
    for scope in scopes:
        if must_end():
            break
        with locked() as progress:
            if progress is None:
                break
            rows = calculate(scope, midnight(database_time()))
            for target in (scope, *(copies if scope.kind == "all" else ())):
                _store(target, rows)
            done += 1
    return done


def calculate(scope: Scope, today: datetime) -> list[Insights]:
    """Return new rows with the insights of a scope, one for each range."""
    if scope.kind == "template":
        TemplateStatistics.objects.filter(template=scope.id).update(insights_are_stale=False)
    with connection.cursor() as cursor:
        # For sorting the times of a large deployment; compiling the expressions takes longer than it saves.
        cursor.execute("SELECT set_config('work_mem', '64MB', true), set_config('jit', 'off', true)")
        days = _days(cursor, scope, today)
        stages = _stages(cursor, scope, today)
    parameters = _parameters(scope.id) if scope.kind == "template" else []
    now = database_time()
    rows = []
    for count in RANGES:
        found = _figures(scope, days[-count:], today)
        found.stages, found.parameters = stages, parameters
        rows.append(_row(found, count, now))
    return rows


def _store(scope: Scope, rows: Sequence[Insights]) -> None:
    """Replace the rows of the scope."""
    Insights.objects.filter(**scope.keys).delete()
    for row in rows:
        row.pk, row.template_id, row.organization_id = None, *scope.keys.values()
    Insights.objects.bulk_create(rows)


def _row(found: Figures, days: int, now: datetime) -> Insights:
    start = found.kinds[TimedKind.START]
    builds = found.builds
    return Insights(
        days=days,
        calculated_at=now,
        figures=figures.stored(found),
        builds=builds.count,
        succeeded=builds.succeeded,
        failed=builds.failed,
        imports_failed=found.kinds[TimedKind.IMPORT].failed,
        start_p50=None if start.p50 is None else round(start.p50 * 1000),
        start_p95=None if start.p95 is None else round(start.p95 * 1000),
    )


# ---------------------------------------------------------------------- the parts
def _given(scope: Scope, first: datetime, today: datetime) -> dict[str, Any]:
    return {"id": scope.id, "first": first, "end": today + DAY}


def _days(cursor: Any, scope: Scope, today: datetime) -> list[figures.Day]:
    """Return all days of the longest range."""
    count = max(RANGES)
    given = _given(scope, first_day(today, count), today)
    cursor.execute(DAYS_SQL.format(scope=CONDITIONS[scope.kind]), given)
    jobs = {day: _jobs(columns) for day, *columns in cursor.fetchall()}
    cursor.execute(DAILY_USERS_SQL[scope.kind], given)
    users = {day.date(): number for day, number in cursor.fetchall()}
    days = [(today - (count - 1 - index) * DAY).date() for index in range(count)]
    return [figures.Day(day, users.get(day, 0), jobs.get(day, Jobs())) for day in days]


def _figures(scope: Scope, days: list[figures.Day], today: datetime) -> Figures:
    given = _given(scope, first_day(today, len(days)), today)
    condition = CONDITIONS[scope.kind]
    with connection.cursor() as cursor:

        def rows(sql: str) -> list[Any]:
            cursor.execute(sql.format(scope=condition), given)
            found: list[Any] = cursor.fetchall()
            return found

        groups = {name: _jobs(columns) for name, *columns in rows(TOTALS_SQL)}
        ((ready, ready_times),) = rows(READY_SQL)
        cursor.execute(USERS_SQL[scope.kind], given)
        users = cursor.fetchone()[0] if settings.STATISTICS_PER_USER else None
        found = Figures(
            days=days,
            users=users,
            kinds={kind.value: groups.get(kind, Jobs()) for kind in TimedKind},
            runs=groups.get(ALL_RUNS, Jobs()),
            jobs=groups[ALL],
            ready=figures.Ready(ready, *_seconds(ready_times)),
        )
        if scope.kind == "template":
            found.versions = [figures.OfVersion(name, _jobs(columns)) for name, _, _, *columns in rows(VERSIONS_SQL)]
            found.errors = [figures.Error(text, count, last_at) for text, count, last_at in rows(ERRORS_SQL)]
    return found


def _jobs(columns: Sequence[Any]) -> Jobs:
    succeeded, failed, canceled, ran, waited = columns
    return Jobs(succeeded, failed, canceled, *_seconds(ran), *_seconds(waited))


def _seconds(percentiles: Sequence[int] | None) -> tuple[float | None, float | None]:
    if percentiles is None:
        return None, None
    p50, p95 = percentiles
    return p50 / 1000, p95 / 1000


def _stages(cursor: Any, scope: Scope, today: datetime) -> list[figures.Stage]:
    """Return the times of stages in the newest jobs that succeeded, of the longest range."""
    given = _given(scope, first_day(today, max(RANGES)), today)
    cursor.execute(STAGES_SQL.format(scope=CONDITIONS[scope.kind]), given)
    rows = cursor.fetchall()
    slowest = max((p50 for _, p50, _, _ in rows), default=0)
    return [
        figures.Stage(name, p50, p95, count, 100 * p50 / slowest if slowest else 0) for name, p50, p95, count in rows
    ]


def _parameters(template: uuid.UUID | None) -> list[figures.Parameter]:
    found = []
    uses = ParameterUse.objects.filter(template=template).order_by("name", "-workspaces", "value")
    for name, group in groupby(uses, lambda use: use.name):
        listed = list(group)
        count = sum(use.workspaces for use in listed)
        values = [
            figures.Value(use.value, use.workspaces, 100 * use.workspaces / count)
            for use in listed
            if use.value is not None
        ]
        found.append(figures.Parameter(name, count, sum(use.values for use in listed), values))
    return found
