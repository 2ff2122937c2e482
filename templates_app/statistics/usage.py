"""Figures about the usage of templates: numbers of users and run times.

A *run* is a job that a developer waits for: a workspace build, or a dry run of a version. Workers count those that have
ended (``runs``). A template that no worker has counted yet has few jobs, and one grouped query reads them.
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

# What workers have counted: a list by the number of days since the first day, with users, runs and their times.
STORED_SQL = """
SELECT known.template_id, known.run_p50, known.run_p95, known.runs,
       (SELECT coalesce(json_object_agg((daily.day AT TIME ZONE 'UTC')::date - %(first)s::date,
                                        json_build_array(daily.users, daily.p50, daily.p95, daily.runs)), '{}')
          FROM templates_app_dailyruns daily
         WHERE daily.template_id = known.template_id AND daily.day >= %(since)s)
  FROM templates_app_templatestatistics known
 WHERE known.template_id = ANY(%(templates)s::uuid[]) AND known.runs IS NOT NULL
"""
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
    """Return the usage of a few templates in the last days. At most two queries."""
    days = last_days()
    stored = _stored(templates, days)
    rest = [template for template in templates if template not in stored]
    return {**stored, **(_read(rest, days) if rest else {})}


def _stored(templates: Collection[uuid.UUID], days: Sequence[date]) -> dict[uuid.UUID, Usage]:
    """Return the usage of those templates that workers have counted. One query."""
    found = {}
    with connection.cursor() as cursor:
        cursor.execute(STORED_SQL, _since(days[0], templates))
        for template, p50, p95, count, by_day in cursor.fetchall():
            users, daily = [0] * len(days), [RunTimes()] * len(days)
            for number, (developers, *measured) in by_day.items():
                if int(number) < len(days):
                    users[int(number)], daily[int(number)] = developers, RunTimes(*measured)
            found[template] = Usage(users, RunTimes(p50, p95, count), daily)
    return found


def _read(templates: Collection[uuid.UUID], days: Sequence[date]) -> dict[uuid.UUID, Usage]:
    """Return the usage of templates from their jobs. One query."""
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
    """Return the usage in short, for lists of many templates. At most two queries, whose result is cached for
    CACHE_SECONDS: templates that workers have not counted are read from their jobs."""
    days = last_days()
    names = "".join(sorted(template.hex for template in templates))
    key = f"summaries-{days[0]}-{hashlib.sha256(names.encode()).hexdigest()}"
    found: Mapping[uuid.UUID, Summary] | None = cache.get(key)
    if found is None:
        stored = _stored(templates, days)
        rest = [template for template in templates if template not in stored]
        read: Mapping[uuid.UUID, Summary] = _summarize(rest, days) if rest else {}
        found = {template: stored.get(template) or read[template] for template in templates}
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
