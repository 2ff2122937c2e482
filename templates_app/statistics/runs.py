"""Count the builds and dry runs of templates for the pages that show their use (``usage``).

Each statement counts all templates that have changed. Days that have not changed keep their rows.
"""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import connection

from templates_app.models import Outcome, TimedKind

IS_RUN = f"time.kind <> '{TimedKind.IMPORT}'"
IF_SUCCEEDED = f"FILTER (WHERE time.outcome = '{Outcome.SUCCEEDED}')"
# Milliseconds as seconds.
MEASURED = f"""
count(*) {IF_SUCCEEDED},
percentile_cont(0.5) WITHIN GROUP (ORDER BY time.ran_ms) {IF_SUCCEEDED} / 1000,
percentile_cont(0.95) WITHIN GROUP (ORDER BY time.ran_ms) {IF_SUCCEEDED} / 1000
"""
FORGET_SQL = """
DELETE FROM templates_app_dailyruns daily USING templates_app_templatestatistics stale
 WHERE stale.template_id = ANY(%(templates)s) AND daily.template_id = stale.template_id
   AND daily.day >= greatest(stale.stale_from, %(first)s)
"""
DAILY_SQL = f"""
INSERT INTO templates_app_dailyruns (template_id, day, users, runs, p50, p95)
SELECT time.template_id, date_trunc('day', time.completed_at, 'UTC'), count(DISTINCT job.initiator_id), {MEASURED}
  FROM templates_app_templatestatistics stale
  JOIN templates_app_jobtime time ON time.template_id = stale.template_id
  JOIN provisioning_provisionerjob job ON job.id = time.job_id
 WHERE stale.template_id = ANY(%(templates)s) AND {IS_RUN}
   AND time.completed_at >= greatest(stale.stale_from, %(first)s)
 GROUP BY 1, 2
"""  # noqa: S608 - made of constants
WHOLE_SQL = f"""
UPDATE templates_app_templatestatistics counted
   SET runs = coalesce(found.runs, 0), run_p50 = found.p50, run_p95 = found.p95
  FROM unnest(%(templates)s::uuid[]) AS given(id)
  LEFT JOIN (SELECT time.template_id, {MEASURED}
               FROM templates_app_jobtime time
              WHERE time.template_id = ANY(%(templates)s) AND time.completed_at >= %(first)s AND {IS_RUN}
              GROUP BY 1) AS found(template_id, runs, p50, p95) ON found.template_id = given.id
 WHERE counted.template_id = given.id
"""  # noqa: S608 - made of constants


def count(templates: Sequence[uuid.UUID], first: datetime) -> None:
    """Count the runs of these templates: of the days that are stale, and of all since ``first``, a midnight."""
    given: dict[str, Any] = {"templates": list(templates), "first": first}
    with connection.cursor() as cursor:
        for sql in (FORGET_SQL, DAILY_SQL, WHOLE_SQL):
            cursor.execute(sql, given)
