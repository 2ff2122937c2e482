"""Figures about all jobs of the last days, for administrators of templates: active users, outcomes of imports, waiting
times and stage times. One grouped statement each, from the rows of jobs and logs."""

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db import connection

from coderproj.identity.actor import Actor
from coderproj.identity.rbac import Action, Resource, allowed_everywhere, organizations_where
from provisioning.queue.kinds import is_run_sql
from provisioning.queue.outcomes import FAILED, IF_SUCCEEDED, RAN, WAITED, percentile, seconds
from templates_app.statistics.insights import OUTCOMES, STAGES, Outcomes, StageTimes, stage_times

DAYS = 30
IS_RUN = is_run_sql("job.type")
TEMPLATES_SHOWN = 20

JOBS = """
WITH job AS (
    SELECT *
      FROM provisioning_provisionerjob
     WHERE created_at >= %(since)s AND (%(everywhere)s OR organization_id = ANY(%(organizations)s::uuid[]))
)
"""
DAY = "(job.created_at AT TIME ZONE 'UTC')::date"
DAILY_SQL = f"""{JOBS}
SELECT {DAY},
       count(DISTINCT job.initiator_id) FILTER (WHERE {IS_RUN}),
       count(*),
       count(*) FILTER (WHERE {FAILED}),
       {percentile(0.5, WAITED)},
       {percentile(0.95, WAITED)}
  FROM job
 GROUP BY 1
"""  # noqa: S608 - made of constants
WAITING_SQL = f"""{JOBS}
SELECT {percentile(0.5, WAITED)}, {percentile(0.95, WAITED)}, {seconds(f"max({WAITED})")},
       count(DISTINCT job.initiator_id)
  FROM job
"""  # noqa: S608 - made of constants
OUTCOMES_SQL = f"{JOBS}{OUTCOMES}"
STAGES_SQL = f"{JOBS}{STAGES}"
# Aggregates by template before joining the names.
IMPORTS_SQL = f"""{JOBS}, imported AS (
    SELECT version.template_id, count(*) AS started,
           count(*){IF_SUCCEEDED} AS succeeded,
           count(*) FILTER (WHERE {FAILED}) AS failed,
           {percentile(0.5, RAN, IF_SUCCEEDED)} AS p50,
           {percentile(0.95, RAN, IF_SUCCEEDED)} AS p95
      FROM job
      JOIN templates_app_templateversion version ON version.job_id = job.id
     WHERE job.type = 'template_version_import'
     GROUP BY 1
)
SELECT template.name, coalesce(nullif(template.display_name, ''), template.name), template.icon, organization.name,
       succeeded, failed, p50, p95
  FROM imported
  JOIN templates_app_template template ON template.id = imported.template_id
  JOIN identity_organization organization ON organization.id = template.organization_id
 WHERE succeeded + failed > 0 AND NOT template.deleted
 ORDER BY failed DESC, started DESC, 1
 LIMIT {TEMPLATES_SHOWN}
"""  # noqa: S608 - made of constants


@dataclass(frozen=True, slots=True)
class Scope:
    """The jobs to count: those of these organizations, or of all."""

    everywhere: bool
    organizations: Collection[uuid.UUID]


@dataclass(frozen=True, slots=True)
class Day:
    """A day in UTC: the numbers of developers who started a build or a dry run, of jobs and of failed jobs, and the
    time in seconds that jobs waited for a daemon (None when none started)."""

    day: date
    users: int = 0
    jobs: int = 0
    failed: int = 0
    waited_p50: float | None = None
    waited_p95: float | None = None


@dataclass(frozen=True, slots=True)
class TemplateImports:
    """The outcomes of a template's imports, and the duration of successful ones in seconds."""

    name: str
    display_name: str
    icon: str
    organization: str
    succeeded: int
    failed: int
    p50: float | None
    p95: float | None

    @property
    def count(self) -> int:
        return self.succeeded + self.failed

    @property
    def success_rate(self) -> float:
        return 100 * self.succeeded / self.count


@dataclass(frozen=True, slots=True)
class DeploymentInsights:
    """Figures of the last days. Waiting times are in seconds; ``users`` is the number of users who started a job."""

    days: list[Day]
    imports: Outcomes
    runs: Outcomes
    templates: list[TemplateImports]
    stages: list[StageTimes]
    waited_p50: float | None
    waited_p95: float | None
    waited_longest: float | None
    users: int

    @property
    def busiest(self) -> int:
        return max(day.users for day in self.days)

    @property
    def jobs(self) -> int:
        return sum(day.jobs for day in self.days)


def scope_of(actor: Actor) -> Scope | None:
    """Return the scope of the actor's figures: all jobs for actors who may read all templates, otherwise the
    organizations whose templates the actor manages; None if there are none."""
    if allowed_everywhere(actor, Action.READ, Resource.TEMPLATE):
        return Scope(True, ())
    organizations = organizations_where(actor, Action.UPDATE, Resource.TEMPLATE)
    return Scope(False, organizations) if organizations else None


def insights_of(scope: Scope) -> DeploymentInsights:
    """Return the figures of the last days. Runs five statements."""
    today = datetime.now(UTC).date()
    days = [today - timedelta(days=DAYS - 1 - index) for index in range(DAYS)]
    first = days[0]
    given: dict[str, Any] = {
        "since": datetime(first.year, first.month, first.day, tzinfo=UTC),
        "everywhere": scope.everywhere,
        "organizations": list(scope.organizations),
    }
    with connection.cursor() as cursor:
        cursor.execute(DAILY_SQL, given)
        daily = {row[0]: Day(*row) for row in cursor.fetchall()}
        cursor.execute(OUTCOMES_SQL, given)
        outcomes = {is_import: Outcomes(*row) for is_import, *row in cursor.fetchall()}
        cursor.execute(WAITING_SQL, given)
        p50, p95, longest, users = cursor.fetchone()
        cursor.execute(IMPORTS_SQL, given)
        templates = [TemplateImports(*row) for row in cursor.fetchall()]
        cursor.execute(STAGES_SQL, given)
        stages = stage_times(cursor.fetchall())
    return DeploymentInsights(
        days=[daily.get(day, Day(day)) for day in days],
        imports=outcomes.get(True, Outcomes()),
        runs=outcomes.get(False, Outcomes()),
        templates=templates,
        stages=stages,
        waited_p50=p50,
        waited_p95=p95,
        waited_longest=longest,
        users=users,
    )
