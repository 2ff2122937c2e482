"""Figures about one template's jobs in the last days: outcomes, waiting and run times, stage times and errors. One
statement each."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection

from provisioning.queue.kinds import is_run_sql
from provisioning.queue.outcomes import ENDED, FAILED, IF_SUCCEEDED, RAN, SUCCEEDED, WAITED, percentile

DAYS = 30
IS_RUN = is_run_sql("job.type")
# Stages are read from the logs of the newest jobs; the most common errors are shown.
JOBS_READ = 40
ERRORS_SHOWN = 5
VERSIONS_SHOWN = 10

# Imports are found by their version, runs by the version in their input. The last condition repeats the join's in a
# form for which PostgreSQL uses the index.
JOBS = f"""
WITH job AS (
    SELECT job.*, version.id AS version_id, version.name AS version_name
      FROM templates_app_templateversion version
      JOIN provisioning_provisionerjob job ON job.id = version.job_id
     WHERE version.template_id = %(template)s AND job.created_at >= %(since)s
     UNION ALL
    SELECT job.*, version.id, version.name
      FROM templates_app_templateversion version
      JOIN provisioning_provisionerjob job ON job.input->>'template_version_id' = version.id::text
     WHERE version.template_id = %(template)s AND job.created_at >= %(since)s
       AND {IS_RUN}
       AND job.input->>'template_version_id' = ANY(ARRAY(
               SELECT id::text FROM templates_app_templateversion WHERE template_id = %(template)s))
)
"""  # noqa: S608 - made of constants
OUTCOMES = f"""
SELECT job.type = 'template_version_import' AS is_import,
       count(*) FILTER (WHERE {SUCCEEDED}),
       count(*) FILTER (WHERE {FAILED}),
       count(*) FILTER (WHERE {ENDED} AND job.canceled_at IS NOT NULL),
       count(*) FILTER (WHERE NOT ({ENDED})),
       {percentile(0.5, WAITED)},
       {percentile(0.95, WAITED)},
       {percentile(0.5, RAN, IF_SUCCEEDED)},
       {percentile(0.95, RAN, IF_SUCCEEDED)}
  FROM job
 GROUP BY 1
"""  # noqa: S608 - made of constants
OUTCOMES_SQL = f"{JOBS}{OUTCOMES}"
VERSIONS_SQL = f"""{JOBS}
SELECT job.version_name, count(*), count(*) FILTER (WHERE {SUCCEEDED}), count(*) FILTER (WHERE {FAILED}),
       {percentile(0.5, RAN, IF_SUCCEEDED)},
       {percentile(0.95, RAN, IF_SUCCEEDED)}
  FROM job
 WHERE job.type <> 'template_version_import'
 GROUP BY job.version_id, job.version_name
 ORDER BY 2 DESC, 1
 LIMIT {VERSIONS_SHOWN}
"""  # noqa: S608 - made of constants
ERRORS_SQL = f"""{JOBS}
SELECT left(split_part(job.error, E'\\n', 1), 200), count(*), max(job.completed_at)
  FROM job
 WHERE {FAILED}
 GROUP BY 1
 ORDER BY 2 DESC, 3 DESC
 LIMIT {ERRORS_SHOWN}
"""  # noqa: S608 - made of constants
# A stage lasts from its first log line to the first line of the next stage, or to the job's end.
STAGES = f""", read AS (
    SELECT job.id, job.completed_at FROM job WHERE {SUCCEEDED} ORDER BY job.completed_at DESC LIMIT {JOBS_READ}
), opening AS (
    SELECT read.id AS job_id, log.stage, min(log.id) AS first, min(log.created_at) AS started, read.completed_at
      FROM read JOIN provisioning_provisionerjoblog log ON log.job_id = read.id
     WHERE log.stage <> ''
     GROUP BY read.id, log.stage, read.completed_at
), lasting AS (
    SELECT stage, extract(epoch FROM lead(started, 1, completed_at) OVER (PARTITION BY job_id ORDER BY first) - started)
           AS seconds
      FROM opening
)
SELECT stage,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds),
       percentile_cont(0.95) WITHIN GROUP (ORDER BY seconds),
       count(*)
  FROM lasting
 GROUP BY stage
 ORDER BY 2 DESC
"""  # noqa: S608 - made of constants
STAGES_SQL = f"{JOBS}{STAGES}"


@dataclass(frozen=True, slots=True)
class Outcomes:
    """The outcomes of jobs of a kind, and the median and 95th percentile, in seconds, of their waiting times and of the
    run times of successful jobs."""

    succeeded: int = 0
    failed: int = 0
    canceled: int = 0
    active: int = 0
    waited_p50: float | None = None
    waited_p95: float | None = None
    ran_p50: float | None = None
    ran_p95: float | None = None

    @property
    def success_rate(self) -> float | None:
        """The percentage of successful jobs among those that succeeded or failed; None when there are none."""
        return 100 * self.succeeded / self.finished if self.finished else None

    @property
    def finished(self) -> int:
        """The number of jobs that succeeded or failed."""
        return self.succeeded + self.failed

    @property
    def count(self) -> int:
        return self.succeeded + self.failed + self.canceled + self.active


@dataclass(frozen=True, slots=True)
class VersionRuns:
    """Runs of one version. Times are those of successful runs, in seconds."""

    version: str
    count: int
    succeeded: int
    failed: int
    p50: float | None
    p95: float | None

    @property
    def success_rate(self) -> float | None:
        ended = self.succeeded + self.failed
        return 100 * self.succeeded / ended if ended else None


@dataclass(frozen=True, slots=True)
class CommonError:
    """The first line of an error, the number of jobs that failed with it and the time of the last one."""

    text: str
    count: int
    last_at: datetime


@dataclass(frozen=True, slots=True)
class StageTimes:
    """The duration of a stage in successful jobs, in seconds. ``share`` is the percentage of the slowest stage's."""

    name: str
    p50: float
    p95: float
    count: int
    share: float


@dataclass(frozen=True, slots=True)
class Insights:
    """Figures of a template's last days."""

    runs: Outcomes
    imports: Outcomes
    versions: list[VersionRuns]
    errors: list[CommonError]
    stages: list[StageTimes]


def insights_of(template: uuid.UUID) -> Insights:
    """Return the figures of a template. Runs four statements."""
    given: dict[str, Any] = {"template": template, "since": datetime.now(UTC) - timedelta(days=DAYS)}
    with connection.cursor() as cursor:
        cursor.execute(OUTCOMES_SQL, given)
        outcomes = {is_import: Outcomes(*row) for is_import, *row in cursor.fetchall()}
        cursor.execute(VERSIONS_SQL, given)
        versions = [VersionRuns(*row) for row in cursor.fetchall()]
        cursor.execute(ERRORS_SQL, given)
        errors = [CommonError(*row) for row in cursor.fetchall()]
        cursor.execute(STAGES_SQL, given)
        stages = stage_times(cursor.fetchall())
    return Insights(
        runs=outcomes.get(False, Outcomes()),
        imports=outcomes.get(True, Outcomes()),
        versions=versions,
        errors=errors,
        stages=stages,
    )


def stage_times(rows: list[tuple[str, Any, Any, int]]) -> list[StageTimes]:
    """Convert the rows of ``STAGES``, adding each stage's share of the slowest one."""
    slowest = max((float(row[1]) for row in rows), default=0)
    return [
        StageTimes(name, p50, p95, count, 100 * float(p50) / slowest if slowest else 0)
        for name, p50, p95, count in rows
    ]
