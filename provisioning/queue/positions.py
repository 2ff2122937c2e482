"""Positions of waiting jobs in the queue."""

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from django.db import connection

# In the order of claims. One pass over the waiting jobs, which have a partial index.
POSITIONS_SQL = """
SELECT id, position, size
  FROM (SELECT id, row_number() OVER (ORDER BY priority DESC, created_at) AS position, count(*) OVER () AS size
          FROM provisioning_provisionerjob
         WHERE started_at IS NULL AND completed_at IS NULL AND canceled_at IS NULL) waiting
 WHERE id = ANY(%s::uuid[]) OR position = 1
"""


@dataclass(frozen=True, slots=True)
class Queue:
    """The number of waiting jobs, and the positions of some of them, from 1."""

    size: int
    positions: Mapping[uuid.UUID, int]

    def position(self, job_id: uuid.UUID) -> int:
        """Return the job's position; 0 for a job that is not waiting."""
        return self.positions.get(job_id, 0)


def queue_of(job_ids: Collection[uuid.UUID]) -> Queue:
    """Return the positions of these jobs. Daemons serve all organizations and claim the first job whose tags match, so
    a job can be claimed before jobs in front of it."""
    with connection.cursor() as cursor:
        cursor.execute(POSITIONS_SQL, [list(job_ids)])
        rows = cursor.fetchall()
    return Queue(size=rows[0][2] if rows else 0, positions={job_id: position for job_id, position, _ in rows})
