"""Why and when a supervisor ends a job."""

from dataclasses import dataclass
from enum import IntEnum


class Reason(IntEnum):
    """Why a job is ended before its runner reports a result. A higher reason overrides a lower one."""

    CANCELED = 1
    OUT_OF_TIME = 2
    RELEASED = 3
    LOST = 4


@dataclass(frozen=True, slots=True)
class Bounds:
    """In seconds: the time limit of a job, its grace period after an interrupt, and the duration of a lease. ``build``
    and ``apply_grace`` are those of jobs that change things outside."""

    job: float
    cancel_grace: float
    lease: float
    build: float = 3600.0
    apply_grace: float = 120.0
