"""How jobs have ended and how long they took, in SQL about a table called ``job``."""

ENDED = "job.completed_at IS NOT NULL"
SUCCEEDED = f"{ENDED} AND job.canceled_at IS NULL AND job.error = ''"
FAILED = f"{ENDED} AND job.canceled_at IS NULL AND job.error <> ''"
IF_SUCCEEDED = f" FILTER (WHERE {SUCCEEDED})"
RAN = "job.completed_at - job.started_at"
WAITED = "job.started_at - job.created_at"


def seconds(interval: str) -> str:
    """SQL for an interval's length in seconds. Aggregates are of intervals and turned into seconds at the end: turning
    each value would take longer than all the rest."""
    return f"extract(epoch FROM {interval})::double precision"


def percentile(share: float, length: str, condition: str = "") -> str:
    """SQL for a percentile, in seconds, of the jobs for which the FILTER ``condition`` holds."""
    return seconds(f"percentile_cont({share}) WITHIN GROUP (ORDER BY {length}){condition}")
