"""SQL expressions for the outcomes and durations of jobs, on a table named ``job``."""

ENDED = "job.completed_at IS NOT NULL"
SUCCEEDED = f"{ENDED} AND job.canceled_at IS NULL AND job.error = ''"
FAILED = f"{ENDED} AND job.canceled_at IS NULL AND job.error <> ''"
IF_SUCCEEDED = f" FILTER (WHERE {SUCCEEDED})"
RAN = "job.completed_at - job.started_at"
WAITED = "job.started_at - job.created_at"


def seconds(interval: str) -> str:
    """Return SQL for an interval's length in seconds. Apply it to aggregates of intervals: converting each value takes
    longer than the rest of the query."""
    return f"extract(epoch FROM {interval})::double precision"


def percentile(share: float, length: str, condition: str = "") -> str:
    """Return SQL for a percentile, in seconds, of the jobs that match the FILTER ``condition``."""
    return seconds(f"percentile_cont({share}) WITHIN GROUP (ORDER BY {length}){condition}")
