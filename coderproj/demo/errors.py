"""Failures of the demonstration."""

from typing import Any


class DemoFailedError(Exception):
    """A step of the demonstration failed."""


def require_success(job: dict[str, Any], what: str) -> None:
    """Raise DemoFailedError unless the job succeeded."""
    if job["status"] != "succeeded":
        raise DemoFailedError(f"{what}: {job['status']}: {job.get('error') or 'no reason given'}")
