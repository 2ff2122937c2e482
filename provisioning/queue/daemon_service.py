"""What the server does for daemons, whichever way they come: from the database's side or over HTTPS."""

import logging
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from django.db import DataError, IntegrityError, connection, transaction
from django.db.models.functions import Now

from provisioning import parameters
from provisioning.engine.base import (
    LogLine,
    ParameterSchema,
    ParameterValue,
)
from provisioning.log import writing
from provisioning.models import ProvisionerDaemon, ProvisionerJob, ProvisionerKey
from provisioning.protocol.client import Assignment, DaemonFacts, Refused
from provisioning.protocol.leases import Lease, LeaseLost, Worker
from provisioning.queue import claims, jobs
from provisioning.queue.claims import CannotRun, LeasedJob

logger = logging.getLogger(__name__)


class JobService:
    """For a daemon with the key ``key_id`` for one organization, or, without, for a daemon with database access.

    Calls with a lease raise LeaseLost once the job is another's or has ended, and for a job of an organization that
    is not the key's. Errors of the database are passed on.
    """

    def __init__(self, *, key_id: uuid.UUID | None = None, organization_id: uuid.UUID | None = None) -> None:
        self._key_id = key_id
        self._organization_id = organization_id

    # ------------------------------------------------------------------ the daemon
    @transaction.atomic
    def register(self, facts: DaemonFacts) -> uuid.UUID:
        """The daemon's id. With a key it raises Refused for the name of a daemon that is online with another."""
        known = ProvisionerDaemon.objects.select_for_update().filter(name=facts.name).first()
        if known and self._key_id is not None and known.key_id != self._key_id and _may_be_alive(known):
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
        """Note that the daemon lives, and take jobs away from those that do not. False when it is not known."""
        seen = self._daemon(daemon_id).update(last_seen_at=Now())
        jobs.expire()
        return bool(seen)

    def deregister(self, daemon_id: uuid.UUID) -> None:
        self._daemon(daemon_id).update(stopped_at=Now(), last_seen_at=Now())

    def find_worker(self, daemon_id: uuid.UUID, tags: Mapping[str, str]) -> Worker | None:
        """The daemon as it has registered."""
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
        """The next job that fits. ``token`` becomes its lease; asked again with it, the answer is the same job.

        A job that cannot be loaded for want of the database is like one whose daemon died: its lease runs out.
        """
        while job := self._lease(worker, token, lease_seconds, with_archive=with_archive):
            try:
                return job.assignment()
            except CannotRun as error:
                jobs.fail(job.lease, str(error))
            except (KeyError, TypeError, ValueError, AttributeError):
                # Such a job must not come back to every daemon for ever.
                logger.exception("Job %s: its input is not understood", job.lease.job_id)
                jobs.fail(job.lease, "internal error: the job's input is not understood")
        return None

    def _lease(
        self, worker: Worker, token: uuid.UUID | None, lease_seconds: float, *, with_archive: bool
    ) -> LeasedJob | None:
        """The job that was given with that token, else the next one that fits."""
        if token is None:
            return claims.claim(worker, lease_seconds=lease_seconds, with_archive=with_archive)
        with transaction.atomic():
            given = self._given_before(worker, token, lease_seconds)
            if given:
                return claims.load(given, with_archive=with_archive)
            return claims.claim(worker, lease_seconds=lease_seconds, token=token, with_archive=with_archive)

    def _given_before(self, worker: Worker, token: uuid.UUID, lease_seconds: float) -> Lease | None:
        """The lease of that token, prolonged. The lock keeps two calls with it from taking two jobs."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [str(token)])
        rows = ProvisionerJob.objects.filter(lease=token, completed_at=None, worker_id=worker.daemon_id)
        job_id = rows.values_list("pk", flat=True).first()
        if job_id is None:
            return None
        lease = Lease(job_id, token)
        jobs.heartbeat(lease, lease_seconds=lease_seconds)
        return lease

    def archive(self, lease: Lease) -> bytes:
        """The job's source, a plain tar."""
        job = self._jobs().filter(pk=lease.job_id, lease=lease.token).select_related("file").first()
        if job is None or job.file is None:
            raise LeaseLost
        return bytes(job.file.data)

    def heartbeat(self, lease: Lease, *, lease_seconds: float) -> bool:
        """Prolong the lease. True when the job is to be canceled."""
        self._guard(lease)
        return jobs.heartbeat(lease, lease_seconds=lease_seconds)

    def append_logs(self, lease: Lease, lines: Sequence[LogLine], *, after: int) -> int:
        """The number of the last line. The same batch again adds nothing. Raises Refused when lines are missing."""
        self._guard(lease)
        try:
            with storable():
                return writing.append(lease.job_id, lease.token, lines, after=after)
        except writing.LinesMissing as error:
            raise Refused(f"lines of the log are missing: it ends at {error.last}, not at {after}") from None

    def store_readme(self, lease: Lease, readme: str) -> None:
        """Raises Refused."""
        self._guard(lease)
        with storable():
            jobs.store_readme(lease, readme)

    def store_schemas(self, lease: Lease, schemas: Sequence[ParameterSchema]) -> tuple[ParameterValue, ...]:
        """The computed values. Raises Refused."""
        self._guard(lease)
        with storable():
            job = jobs.store_schemas(lease, schemas)
            computed = parameters.compute(job.pk, template_id=parameters.owner_of(job.input))
            return parameters.for_engine(computed)

    def complete(self, lease: Lease, result: Any) -> None:
        """Raises Refused, and the job has not ended then."""
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
        """The lease alone gives the right; a leaked one must not lead out of the key's organization, though."""
        if self._organization_id is not None and not self._jobs().filter(pk=lease.job_id).exists():
            raise LeaseLost


def _may_be_alive(daemon: ProvisionerDaemon) -> bool:
    """Whether the daemon runs, as far as is known; one whose key does not count does not matter."""
    if daemon.key_id and not ProvisionerKey.objects.live().filter(pk=daemon.key_id).exists():
        return False
    return ProvisionerDaemon.objects.online().filter(pk=daemon.pk).exists()


@contextmanager
def storable() -> Iterator[None]:
    """Translate what the database refuses, and results of another type of job, to Refused."""
    try:
        yield
    except (DataError, IntegrityError, psycopg.DataError, psycopg.IntegrityError) as error:
        logger.warning("The database refused what a job found: %s", error)
        reason = str(error).strip().splitlines()[0]
        raise Refused(f"what the job found cannot be stored: {reason}") from error
    except jobs.WrongResult:
        raise Refused("what the job found is not the result of such a job") from None
