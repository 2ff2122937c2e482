"""The server's operations for daemons, used by daemons with database access and by the HTTPS endpoints."""

import logging
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from django.core.exceptions import ObjectDoesNotExist
from django.db import DataError, IntegrityError, connection, transaction
from django.db.models.functions import Now

from coderproj.base.errors import DomainError
from provisioning import parameters
from provisioning.engine.base import (
    MAX_STATE,
    CostDecision,
    LogLine,
    ParameterSchema,
    ParameterValue,
)
from provisioning.log import writing
from provisioning.models import File, ProvisionerDaemon, ProvisionerJob, ProvisionerKey
from provisioning.protocol.client import Assignment, DaemonFacts, Refused
from provisioning.protocol.leases import Lease, LeaseLost, Worker
from provisioning.queue import claims, jobs
from provisioning.queue.claims import CannotRun, LeasedJob

logger = logging.getLogger(__name__)


class JobService:
    """The operations of a daemon: one with the key ``key_id``, for the key's organization, or one with database access.

    Calls with a lease raise LeaseLost when the lease is no longer valid, or the job is of another organization than the
    key. Database errors are not caught.
    """

    def __init__(self, *, key_id: uuid.UUID | None = None, organization_id: uuid.UUID | None = None) -> None:
        self._key_id = key_id
        self._organization_id = organization_id

    # ------------------------------------------------------------------ the daemon
    @transaction.atomic
    def register(self, facts: DaemonFacts) -> uuid.UUID:
        """Register a daemon; return its id. Raises Refused for the name of a daemon that is online with another key."""
        known = ProvisionerDaemon.objects.select_for_update().filter(name=facts.name).first()
        if known and self._key_id is not None and known.key_id != self._key_id and _may_be_online(known):
            raise Refused(f"a daemon named {facts.name!r} is online with another key: choose another --name")
        daemon, _ = ProvisionerDaemon.objects.update_or_create(
            name=facts.name,
            defaults={
                "key_id": self._key_id,
                "tags": dict(facts.tags),
                "provisioners": list(facts.provisioners),
                "concurrency": facts.concurrency,
                "version": writing.printable(facts.version),
                "hostname": writing.printable(facts.hostname),
                "engine": writing.printable(facts.engine),
                "sandbox": writing.printable(facts.sandbox),
                "last_seen_at": Now(),
                "stopped_at": None,
            },
        )
        return daemon.pk

    def refresh(self, daemon_id: uuid.UUID) -> bool:
        """Record the daemon's heartbeat and revoke all expired leases. Returns False for an unknown daemon."""
        seen = self._daemon(daemon_id).update(last_seen_at=Now())
        jobs.expire()
        return bool(seen)

    def deregister(self, daemon_id: uuid.UUID) -> None:
        self._daemon(daemon_id).update(stopped_at=Now(), last_seen_at=Now())

    def find_worker(self, daemon_id: uuid.UUID, tags: Mapping[str, str]) -> Worker | None:
        """Return the registered daemon as a worker; None if it is unknown."""
        daemon = self._daemon(daemon_id).first()
        return Worker(daemon.pk, daemon.provisioners, tags, self._organization_id) if daemon else None

    def _daemon(self, daemon_id: uuid.UUID) -> Any:
        return ProvisionerDaemon.objects.filter(pk=daemon_id, key_id=self._key_id)

    # ------------------------------------------------------------------ a job
    def acquire(
        self,
        worker: Worker,
        *,
        lease_seconds: float,
        token: uuid.UUID | None = None,
        with_archive: bool = True,
    ) -> Assignment | None:
        """Claim and return the next matching job. ``token`` becomes its lease; repeating the call returns the same job.

        If a claimed job cannot be loaded because the database is unavailable, its lease expires.
        """
        while job := self._lease(worker, token, lease_seconds, with_archive=with_archive):
            try:
                return job.assignment()
            except CannotRun as error:
                jobs.fail(job.lease, str(error))
            except (KeyError, TypeError, ValueError, AttributeError, DomainError, ObjectDoesNotExist):
                # Fail the job, or every daemon would claim it again.
                logger.exception("Job %s: its input is invalid", job.lease.job_id)
                jobs.fail(job.lease, "internal error: the job's input is invalid")
        return None

    def _lease(
        self, worker: Worker, token: uuid.UUID | None, lease_seconds: float, *, with_archive: bool
    ) -> LeasedJob | None:
        """Return the job claimed with this token before, else claim the next matching one."""
        if token is None:
            return claims.claim(worker, lease_seconds=lease_seconds, with_archive=with_archive)
        with transaction.atomic():
            lease = self._claimed_before(worker, token, lease_seconds)
            if lease:
                return claims.load(lease, with_archive=with_archive)
            return claims.claim(worker, lease_seconds=lease_seconds, token=token, with_archive=with_archive)

    def _claimed_before(self, worker: Worker, token: uuid.UUID, lease_seconds: float) -> Lease | None:
        """Return and extend the lease with this token. The lock prevents concurrent calls from claiming two jobs."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [str(token)])
        rows = ProvisionerJob.objects.filter(lease=token, completed_at=None, worker_id=worker.daemon_id)
        job_id = rows.values_list("pk", flat=True).first()
        if job_id is None:
            return None
        lease = Lease(job_id, token)
        jobs.heartbeat(lease, lease_seconds=lease_seconds)
        return lease

    def archive(self, lease: Lease) -> File:
        """Return the file with the job's source. Raises LeaseLost."""
        job = self._jobs().filter(pk=lease.job_id, lease=lease.token).select_related("file").defer("file__data").first()
        if job is None or job.file is None:
            raise LeaseLost
        file: File = job.file
        return file

    def heartbeat(self, lease: Lease, *, lease_seconds: float) -> bool:
        """Extend the lease. Returns True when the job must be canceled."""
        self._guard(lease)
        return jobs.heartbeat(lease, lease_seconds=lease_seconds)

    def append_logs(self, lease: Lease, lines: Sequence[LogLine], *, after: int) -> int:
        """Append lines; return the number of the last one. Repeating a batch adds nothing. Raises Refused for a gap."""
        self._guard(lease)
        try:
            with storable():
                return writing.append(lease.job_id, lease.token, lines, after=after)
        except writing.LinesMissing as error:
            raise Refused(f"log lines are missing: the log ends at {error.last}, not at {after}") from None

    def store_readme(self, lease: Lease, readme: str) -> None:
        """Store the template's readme. Raises Refused."""
        self._guard(lease)
        with storable():
            jobs.store_readme(lease, readme)

    def store_schemas(self, lease: Lease, schemas: Sequence[ParameterSchema]) -> tuple[ParameterValue, ...]:
        """Store the template's variables; return their computed values. Raises Refused."""
        self._guard(lease)
        with storable():
            job = jobs.store_schemas(lease, schemas)
            computed = parameters.compute(job.pk, template_id=parameters.template_id_of(job.input))
            return parameters.for_engine(computed)

    def store_state(self, lease: Lease, state: bytes, *, is_last: bool = False) -> None:
        """Store the state of what the job changed, also after its lease has expired. Raises Refused and StateKept."""
        self._guard(lease)
        if len(state) > MAX_STATE:
            raise Refused(f"the state has {len(state):,} bytes: at most {MAX_STATE:,} are stored")
        with storable():
            jobs.store_state(lease, state, is_last=is_last)

    def commit_cost(self, lease: Lease, cost: int) -> CostDecision:
        """Decide whether a build may cost this much, in credits a day."""
        self._guard(lease)
        return jobs.commit_cost(lease, cost)

    def complete(self, lease: Lease, result: Any) -> None:
        """End the job with its result. Raises Refused; then the job has not ended."""
        self._guard(lease)
        with storable():
            jobs.complete(lease, result)

    def fail(self, lease: Lease, error: str) -> None:
        self._guard(lease)
        jobs.fail(lease, error)

    def finish_canceled(self, lease: Lease) -> None:
        self._guard(lease)
        jobs.finish_canceled(lease)

    def release(self, lease: Lease, reason: str) -> None:
        self._guard(lease)
        jobs.release(lease, writing.printable(reason))

    def _jobs(self) -> Any:
        if self._organization_id is None:
            return ProvisionerJob.objects.all()
        return ProvisionerJob.objects.filter(organization_id=self._organization_id)

    def _guard(self, lease: Lease) -> None:
        """Check the job's organization: a leaked lease must not give access to jobs of other organizations."""
        if self._organization_id is not None and not self._jobs().filter(pk=lease.job_id).exists():
            raise LeaseLost


def _may_be_online(daemon: ProvisionerDaemon) -> bool:
    """Return True if the daemon is online and its key, if it has one, is valid."""
    if daemon.key_id and not ProvisionerKey.objects.live().filter(pk=daemon.key_id).exists():
        return False
    return ProvisionerDaemon.objects.online().filter(pk=daemon.pk).exists()


@contextmanager
def storable() -> Iterator[None]:
    """Convert data errors of the database, numbers beyond its types, and results of another kind of job, to Refused."""
    try:
        yield
    except (DataError, IntegrityError, psycopg.DataError, psycopg.IntegrityError) as error:
        logger.warning("The database rejected the results of a job: %s", error)
        reason = str(error).strip().splitlines()[0]
        raise Refused(f"the job's results cannot be stored: {reason}") from error
    except OverflowError as error:
        raise Refused("the job's results cannot be stored: a number is too large") from error
    except jobs.WrongResult:
        raise Refused("the result does not have the type of the job's kind") from None
