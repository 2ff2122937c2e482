"""Figures about the usage of templates: numbers of users and run times. One grouped query each.

A *run* is a job that a developer waits for: a workspace build, or a dry run of a version.
"""

import hashlib
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.core.cache import cache
from django.db import connection

from provisioning.queue.kinds import is_run_sql
from provisioning.queue.outcomes import IF_SUCCEEDED, RAN, SUCCEEDED, percentile

DAYS = 30
IS_RUN = is_run_sql("job.type")
# The seconds for which summaries are cached.
CACHE_SECONDS = 10

# Runs of these templates since a time, joined to their versions. The condition on the type excludes imports before
# their input is read.
RUNS = f"""
  FROM provisioning_provisionerjob job
  JOIN templates_app_templateversion version ON version.id::text = job.input->>'template_version_id'
 WHERE version.template_id = ANY(%(templates)s::uuid[])
   AND {IS_RUN}
   AND job.created_at >= %(since)s
"""
# Makes PostgreSQL use the index on the version in the input: faster than a full pass for few templates.
OF_FEW = """
   AND job.input->>'template_version_id' = ANY(ARRAY(
           SELECT id::text FROM templates_app_templateversion WHERE template_id = ANY(%(templates)s::uuid[])))
"""
# Each template by day, and in total where the day is null.
USE_SQL = f"""
SELECT version.template_id, (job.created_at AT TIME ZONE 'UTC')::date AS day, count(DISTINCT job.initiator_id),
       {percentile(0.5, RAN, IF_SUCCEEDED)},
       {percentile(0.95, RAN, IF_SUCCEEDED)},
       count(*){IF_SUCCEEDED}
{RUNS}{OF_FEW}
 GROUP BY GROUPING SETS ((1, 2), (1))
"""
# One row per template, with its users keyed by the number of days since the first day.
SUMMARY_SQL = f"""
WITH run AS MATERIALIZED (
    SELECT version.template_id, (job.created_at AT TIME ZONE 'UTC')::date - %(first)s::date AS day, job.initiator_id,
           CASE WHEN {SUCCEEDED} THEN {RAN} END AS lasted
    {RUNS}
), daily AS (
    SELECT template_id, json_object_agg(day, users) AS users
      FROM (SELECT template_id, day, count(*) AS users
              FROM (SELECT DISTINCT template_id, day, initiator_id FROM run) developer
             GROUP BY 1, 2) of_a_day
     GROUP BY 1
), whole AS (
    SELECT template_id,
           {percentile(0.5, "lasted")},
           {percentile(0.95, "lasted")},
           count(lasted)
      FROM run
     GROUP BY 1
)
SELECT * FROM daily JOIN whole USING (template_id)
"""  # noqa: S608 - of constants


@dataclass(frozen=True, slots=True)
class RunTimes:
    """Median and 95th percentile of the times of successful runs in seconds, and the number of these runs."""

    p50: float | None = None
    p95: float | None = None
    count: int = 0


@dataclass(frozen=True, slots=True)
class Summary:
    """The usage of a template in short. ``daily_users`` has an entry for each of the last days; the last is today's."""

    daily_users: list[int] = field(default_factory=list)
    run_times: RunTimes = RunTimes()

    @property
    def users_today(self) -> int:
        return self.daily_users[-1] if self.daily_users else 0


@dataclass(frozen=True, slots=True)
class Usage(Summary):
    """The usage of a template. ``daily_run_times`` also has an entry for each of the last days."""

    daily_run_times: list[RunTimes] = field(default_factory=list)


def last_days(count: int = DAYS) -> list[date]:
    """Return the last days in UTC, including today."""
    today = datetime.now(UTC).date()
    return [today - timedelta(days=count - 1 - index) for index in range(count)]


def usage_of(templates: Collection[uuid.UUID]) -> Mapping[uuid.UUID, Usage]:
    """Return the usage of a few templates in the last days. Runs one query."""
    days = last_days()
    users = {template: [0] * len(days) for template in templates}
    daily = {template: [RunTimes()] * len(days) for template in templates}
    whole: dict[uuid.UUID, RunTimes] = {}
    index = {day: number for number, day in enumerate(days)}
    with connection.cursor() as cursor:
        cursor.execute(USE_SQL, _since(days[0], templates))
        for template, day, user_count, *measured in cursor.fetchall():
            times = RunTimes(*measured)
            if day is None:
                whole[template] = times
            elif day in index:
                users[template][index[day]] = user_count
                daily[template][index[day]] = times
    return {
        template: Usage(users[template], whole.get(template, RunTimes()), daily[template]) for template in templates
    }


def summaries_of(templates: Collection[uuid.UUID]) -> Mapping[uuid.UUID, Summary]:
    """Return the usage in short, for lists of many templates. Runs one query over all runs of these days; its result is
    therefore cached for CACHE_SECONDS."""
    days = last_days()
    names = "".join(sorted(template.hex for template in templates))
    key = f"summaries-{days[0]}-{hashlib.sha256(names.encode()).hexdigest()}"
    found: Mapping[uuid.UUID, Summary] | None = cache.get(key)
    if found is None:
        found = _summarize(templates, days)
        cache.set(key, found, CACHE_SECONDS)
    return found


def _summarize(templates: Collection[uuid.UUID], days: Sequence[date]) -> dict[uuid.UUID, Summary]:
    with connection.cursor() as cursor:
        cursor.execute(SUMMARY_SQL, _since(days[0], templates))
        found = {
            template: Summary([users.get(str(number), 0) for number in range(len(days))], RunTimes(*measured))
            for template, users, *measured in cursor.fetchall()
        }
    return {template: found.get(template) or Summary([0] * len(days)) for template in templates}


def _since(day: date, templates: Collection[uuid.UUID]) -> dict[str, Any]:
    since = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return {"first": day, "since": since, "templates": list(templates)}
