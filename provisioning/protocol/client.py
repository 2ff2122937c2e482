"""All that a daemon needs of the server.

Every shape consists of JSON types, and every call may be repeated after ``Unreachable``, so that the same
daemon can work on the database or over HTTPS.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from provisioning.engine.base import LogLine, ParameterSchema, ParameterValue
from provisioning.protocol.leases import Lease, LeaseLost

__all__ = [
    "Assignment",
    "DaemonFacts",
    "JobClient",
    "Lease",
    "LeaseLost",
    "NotAccepted",
    "Refused",
    "Registration",
    "Unreachable",
    "Wakeup",
]


class Unreachable(Exception):
    """The server cannot be reached right now; whether the call had an effect is unknown."""


class Refused(Exception):
    """The server cannot store what it was given; trying again is of no use. The text is for users."""


class NotAccepted(LeaseLost):
    """The server does not accept the daemon (any more): its key was revoked or has expired."""


@dataclass(frozen=True, slots=True)
class Registration:
    """A daemon's id, and the tags by which it is given jobs."""

    daemon_id: uuid.UUID
    tags: dict[str, str]


@dataclass(frozen=True, slots=True)
class DaemonFacts:
    """What a daemon tells about itself. ``name`` is durable: a daemon keeps its id over restarts."""

    name: str
    tags: dict[str, str]
    provisioners: tuple[str, ...]
    concurrency: int
    version: str
    hostname: str
    engine: str
    sandbox: str


@dataclass(frozen=True, slots=True)
class Assignment:
    """A job with all that it takes to run it. ``payload`` is of the type that the job's kind names; ``archive`` is a
    plain tar, with its SHA-256 in hex; ``log_count`` is the number of lines that earlier attempts wrote.
    """

    lease: Lease
    job_type: str
    provisioner: str
    attempt: int
    payload: Any
    archive: bytes = field(repr=False)
    archive_sha256: str = ""
    archive_bytes: int = 0
    log_count: int = 0
    template_version_id: str = ""

    @property
    def job_id(self) -> uuid.UUID:
        return self.lease.job_id


@dataclass(frozen=True, slots=True)
class Wakeup:
    """Why a wait ended: jobs whose cancellation was asked for. There may be work in any case."""

    canceling: tuple[uuid.UUID, ...] = ()


class JobClient(Protocol):
    """Every call raises Unreachable, and NotAccepted; those with a lease raise LeaseLost once the job is
    another's or has ended. ``poll_seconds`` is how long to wait for work at a time.
    """

    @property
    def poll_seconds(self) -> float: ...

    def register(self, facts: DaemonFacts) -> Registration:
        """Make the daemon known under its name. Raises Refused."""
        ...

    def refresh(self) -> None:
        """Tell that the daemon lives. Also the moment to look for jobs whose daemons do not."""
        ...

    def deregister(self) -> None:
        """Say good-bye."""
        ...

    def acquire(self) -> Assignment | None:
        """Take the next job that fits, if there is one."""
        ...

    def heartbeat(self, lease: Lease) -> bool:
        """Prolong the lease. True when the job is to be canceled."""
        ...

    def append_logs(self, lease: Lease, lines: Sequence[LogLine], *, after: int) -> int:
        """Add lines to the log; returns the number of the last. ``after`` is the number of the last line
        before: with it a repeated call adds nothing twice. Raises Refused.
        """
        ...

    def store_readme(self, lease: Lease, readme: str) -> None:
        """Raises Refused."""
        ...

    def store_schemas(self, lease: Lease, schemas: Sequence[ParameterSchema]) -> tuple[ParameterValue, ...]:
        """Store the variables of an import; returns their computed values. Raises Refused."""
        ...

    def complete(self, lease: Lease, result: Any) -> None:
        """End the job with the result that its kind names. Raises Refused, and the job has not ended then."""
        ...

    def fail(self, lease: Lease, error: str) -> None:
        """End the job with a reason for users."""
        ...

    def finish_canceled(self, lease: Lease) -> None:
        """End the job as canceled."""
        ...

    def release(self, lease: Lease, reason: str) -> None:
        """Give the job back unfinished."""
        ...

    def wait_for_work(self, timeout: float, *, has_slot: bool) -> Wakeup:
        """Wait until there may be work (which is of interest with a free slot only), a job is to be canceled,
        ``wake`` was called or the time (seconds) is up.
        """
        ...

    def wake(self) -> None:
        """End a wait. May be called from any thread and from a signal handler."""
        ...

    def close(self) -> None:
        """Give back connections."""
        ...
