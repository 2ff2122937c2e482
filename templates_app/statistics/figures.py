"""The form of insights, as the rows of ``Insights`` store them. Times are in seconds, None when there is none."""

from datetime import date, datetime
from typing import Any

import msgspec

# The ranges of insights in days.
RANGES = (7, 30, 90)
DEFAULT_RANGE = 30


class Jobs(msgspec.Struct):
    """Jobs by outcome, with the median and 95th percentile of the time that they waited for a daemon, and of the run
    times of those that succeeded. The percentiles are times that were measured."""

    succeeded: int = 0
    failed: int = 0
    canceled: int = 0
    p50: float | None = None
    p95: float | None = None
    waited_p50: float | None = None
    waited_p95: float | None = None

    @property
    def count(self) -> int:
        return self.succeeded + self.failed + self.canceled

    @property
    def finished(self) -> int:
        """The number of jobs that succeeded or failed."""
        return self.succeeded + self.failed

    @property
    def success_rate(self) -> float | None:
        """The percentage of successful jobs among those that succeeded or failed; None when there are none."""
        return 100 * self.succeeded / self.finished if self.finished else None


class Day(msgspec.Struct):
    """A day in UTC. ``users`` is the number of users whose workspaces had traffic; the jobs are builds and dry runs,
    the run times those of starts and dry runs."""

    day: date
    users: int = 0
    jobs: Jobs = msgspec.field(default_factory=Jobs)


class OfVersion(msgspec.Struct):
    """The builds and dry runs of a version; the run times are those of starts and dry runs."""

    name: str
    jobs: Jobs


class Error(msgspec.Struct):
    """The first line of an error, the number of jobs that failed with it and the time of the last one."""

    text: str
    count: int
    last_at: datetime


class Stage(msgspec.Struct):
    """The duration of a stage in the newest successful jobs. ``share`` is the percentage of the slowest stage's."""

    name: str
    p50: float
    p95: float
    count: int
    share: float


class Value(msgspec.Struct):
    """A value of a parameter, and the number of workspaces with it. ``share`` is their percentage."""

    value: str
    workspaces: int
    share: float


class Parameter(msgspec.Struct):
    """The values of a parameter. One without options has no ``values``, only the number of ``different`` ones."""

    name: str
    workspaces: int
    different: int
    values: list[Value] = []


class Ready(msgspec.Struct):
    """The times from the end of a build until its agents were ready."""

    count: int = 0
    p50: float | None = None
    p95: float | None = None


class Figures(msgspec.Struct):
    """The insights of a template, an organization or the deployment. ``users`` is the number of users whose workspaces
    had traffic, None if it is not counted. ``kinds`` has the jobs of each ``TimedKind``, ``runs`` all builds and dry
    runs, ``jobs`` all jobs, without run times. Only those of a template have versions, errors and parameters."""

    days: list[Day]
    users: int | None
    kinds: dict[str, Jobs]
    runs: Jobs
    jobs: Jobs
    ready: Ready
    stages: list[Stage] = []
    versions: list[OfVersion] = []
    errors: list[Error] = []
    parameters: list[Parameter] = []

    @property
    def busiest(self) -> int:
        """The most users of a day."""
        return max((day.users for day in self.days), default=0)

    @property
    def builds(self) -> Jobs:
        """The outcomes of starts, stops and deletions, without times."""
        found = Jobs()
        for kind in ("start", "stop", "delete"):
            jobs = self.kinds[kind]
            found.succeeded += jobs.succeeded
            found.failed += jobs.failed
            found.canceled += jobs.canceled
        return found


def stored(figures: Figures) -> Any:
    """Return the figures as JSON for a column."""
    return msgspec.to_builtins(figures)


def read(stored_figures: Any) -> Figures:
    """Return the figures that ``stored`` made. Raises msgspec.ValidationError for those of another version."""
    return msgspec.convert(stored_figures, Figures)
