"""Figures about the use of templates: who uses them, and how long that takes. One grouped query each.

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
# As long a list shows what it found before.
FRESH_SECONDS = 10

# Runs of these templates since a moment, by the version that each of them is of. Jobs of other kinds, imports above
# all, are left out before their input is read.
RUNS = f"""
  FROM provisioning_provisionerjob job
  JOIN templates_app_templateversion version ON version.id::text = job.input->>'template_version_id'
 WHERE version.template_id = ANY(%(templates)s::uuid[])
   AND {IS_RUN}
   AND job.created_at >= %(since)s
"""
# Leads to the index on the version in the input, which is quicker than one pass for few templates.
OF_FEW = """
   AND job.input->>'template_version_id' = ANY(ARRAY(
           SELECT id::text FROM templates_app_templateversion WHERE template_id = ANY(%(templates)s::uuid[])))
"""
# Each template by days, and as a whole where the day is null.
USE_SQL = f"""
SELECT version.template_id, (job.created_at AT TIME ZONE 'UTC')::date AS day, count(DISTINCT job.initiator_id),
       {percentile(0.5, RAN, IF_SUCCEEDED)},
       {percentile(0.95, RAN, IF_SUCCEEDED)},
       count(*){IF_SUCCEEDED}
{RUNS}{OF_FEW}
 GROUP BY GROUPING SETS ((1, 2), (1))
"""
# One row for each template, its users by the number of days since the first one.
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
    """Median and 95th percentile of successful runs in seconds, and how many there were."""

    p50: float | None = None
    p95: float | None = None
    count: int = 0


@dataclass(frozen=True, slots=True)
class Summary:
    """How a template is used, in short. ``daily_users`` has an entry for each of the last days, the last one for
    today."""

    daily_users: list[int] = field(default_factory=list)
    run_times: RunTimes = RunTimes()

    @property
    def users_today(self) -> int:
        return self.daily_users[-1] if self.daily_users else 0


@dataclass(frozen=True, slots=True)
class Use(Summary):
    """How a template is used. ``daily_run_times`` has an entry for each of the last days as well."""

    daily_run_times: list[RunTimes] = field(default_factory=list)


def last_days(count: int = DAYS) -> list[date]:
    """The last days, today included, in UTC."""
    today = datetime.now(UTC).date()
    return [today - timedelta(days=count - 1 - index) for index in range(count)]


def use_of(templates: Collection[uuid.UUID]) -> Mapping[uuid.UUID, Use]:
    """How these few templates were used in the last days: one query."""
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
    return {template: Use(users[template], whole.get(template, RunTimes()), daily[template]) for template in templates}


def summaries_of(templates: Collection[uuid.UUID]) -> Mapping[uuid.UUID, Summary]:
    """``use_of`` in short, for lists of many templates: one query, which goes through all runs of the days, and whose
    answer is therefore given again for FRESH_SECONDS."""
    days = last_days()
    names = "".join(sorted(template.hex for template in templates))
    key = f"summaries-{days[0]}-{hashlib.sha256(names.encode()).hexdigest()}"
    found: Mapping[uuid.UUID, Summary] | None = cache.get(key)
    if found is None:
        found = _summarize(templates, days)
        cache.set(key, found, FRESH_SECONDS)
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
