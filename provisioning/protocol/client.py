"""The operations of the server that a daemon uses.

All types consist of JSON types, and every call can be repeated after ``Unreachable``, so that the same daemon works
with the database or over HTTPS.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from provisioning.engine.base import CostDecision, LogLine, ParameterSchema, ParameterValue
from provisioning.protocol.leases import Lease, LeaseLost, StateKept

__all__ = [
    "Assignment",
    "DaemonFacts",
    "JobClient",
    "Lease",
    "LeaseLost",
    "NotAccepted",
    "Refused",
    "Registration",
    "StateKept",
    "Unreachable",
    "Wakeup",
]


class Unreachable(Exception):
    """The server is unavailable; it is unknown whether the call had an effect."""


class Refused(Exception):
    """The server cannot store the data; repeating the call does not help. The message is for users."""


class NotAccepted(LeaseLost):
    """The server does not accept the daemon's key: it is unknown, revoked or expired."""


@dataclass(frozen=True, slots=True)
class Registration:
    """A daemon's id, and the tags that are matched with those of jobs."""

    daemon_id: uuid.UUID
    tags: dict[str, str]


@dataclass(frozen=True, slots=True)
class DaemonFacts:
    """A daemon's description of itself. A daemon keeps its id across restarts as long as it keeps its name."""

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
    """A claimed job with everything needed to run it. ``payload`` has the type that the job's kind declares;
    ``archive`` is a plain tar, with its SHA-256 in hex; ``log_count`` is the number of log lines of earlier attempts.
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
    """The end of a wait. ``canceling`` are jobs whose cancellation was requested. Other jobs can be waiting, too."""

    canceling: tuple[uuid.UUID, ...] = ()


class JobClient(Protocol):
    """A daemon's connection to the server. Every call raises Unreachable and NotAccepted; calls with a lease raise
    LeaseLost when it is no longer valid. ``poll_seconds`` is the time limit of one wait for jobs.
    """

    @property
    def poll_seconds(self) -> float: ...

    @property
    def server(self) -> str:
        """The server's name in the spool of this machine: its URL, or its database."""
        ...

    def register(self, facts: DaemonFacts) -> Registration:
        """Register the daemon under its name. Raises Refused."""
        ...

    def refresh(self) -> None:
        """Send the daemon's heartbeat. The server also revokes expired leases of other daemons."""
        ...

    def deregister(self) -> None:
        """Deregister the daemon."""
        ...

    def acquire(self) -> Assignment | None:
        """Claim the next matching job; None if there is none."""
        ...

    def heartbeat(self, lease: Lease) -> bool:
        """Extend the lease. Returns True when the job must be canceled."""
        ...

    def append_logs(self, lease: Lease, lines: Sequence[LogLine], *, after: int) -> int:
        """Append lines to the log; return the number of the last line. ``after`` is the number of the line before them,
        so that a repeated call adds no line twice. Raises Refused.
        """
        ...

    def store_readme(self, lease: Lease, readme: str) -> None:
        """Store the template's readme. Raises Refused."""
        ...

    def store_schemas(self, lease: Lease, schemas: Sequence[ParameterSchema]) -> tuple[ParameterValue, ...]:
        """Store the variables of an import; return their computed values. Raises Refused."""
        ...

    def store_state(self, lease: Lease, state: bytes, *, is_last: bool = False) -> None:
        """Store the state of what the job changed; empty if there is no newer one. Raises Refused.

        The server stores the state even if the lease has expired or the job has failed; then this raises StateKept.
        ``is_last`` says that the job's process has ended: the next build need not wait for another state.
        """
        ...

    def commit_cost(self, lease: Lease, cost: int) -> CostDecision:
        """Have the server decide whether a build may cost this much, in credits a day. Raises Refused."""
        ...

    def complete(self, lease: Lease, result: Any) -> None:
        """End the job with a result of the type that its kind declares. Raises Refused; then the job has not ended."""
        ...

    def fail(self, lease: Lease, error: str) -> None:
        """End the job as failed, with a reason for users."""
        ...

    def finish_canceled(self, lease: Lease) -> None:
        """End the job as canceled."""
        ...

    def release(self, lease: Lease, reason: str) -> None:
        """Return the unfinished job to the queue."""
        ...

    def wait_for_jobs(self, timeout: float, *, has_slot: bool) -> Wakeup:
        """Wait until a job might be waiting (only with ``has_slot``, a free worker slot), a job must be canceled,
        ``wake`` is called or the time (seconds) is up.
        """
        ...

    def wake(self) -> None:
        """End a wait. Can be called from any thread and from a signal handler."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...
