"""What the server does for daemons, whichever way they come: from the database's side or over HTTPS."""

import logging
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from django.conf import settings
from django.db import DataError, IntegrityError, connection, transaction
from django.db.models.functions import Now

from provisioning import jobs, logs, parameters
from provisioning.daemon.client import Assignment, DaemonFacts, Refused
from provisioning.engine.base import (
    LogLine,
    ParameterSchema,
    ParameterValue,
    PlanInput,
    Transition,
    WorkspaceContext,
)
from provisioning.models import JobType, ProvisionerDaemon, ProvisionerJob, ProvisionerKey
from provisioning.work import JobResult, Lease, LeaseLost

logger = logging.getLogger(__name__)

DRY_RUN_NAME = "dryrun"
NO_SOURCE = "no source: the template version was created without a file"


class CannotRun(Exception):
    """A job whose input makes it impossible to run. The text is for users."""


@dataclass(frozen=True, slots=True)
class Worker:
    """A daemon that asks for work."""

    daemon_id: uuid.UUID
    provisioners: Sequence[str]
    tags: Mapping[str, str]


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
                "version": logs.printable(facts.version),
                "hostname": logs.printable(facts.hostname),
                "engine": logs.printable(facts.engine),
                "sandbox": logs.printable(facts.sandbox),
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
        return Worker(daemon.pk, daemon.provisioners, tags) if daemon else None

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
        """The next job that fits. ``token`` becomes its lease; asked again with it, the answer is the same job."""
        while True:
            # One transaction: a claim whose job could not be loaded in the end never happened.
            with transaction.atomic():
                lease = self._given_before(worker, token, lease_seconds) if token else None
                lease = lease or jobs.claim(
                    daemon_id=worker.daemon_id,
                    provisioners=worker.provisioners,
                    tags=worker.tags,
                    lease_seconds=lease_seconds,
                    organization_id=self._organization_id,
                    token=token,
                )
                if lease is None:
                    return None
                try:
                    return assignment(lease, with_archive=with_archive)
                except CannotRun as error:
                    jobs.fail(lease, str(error))
                except (KeyError, TypeError, ValueError, AttributeError):
                    # Such a job must not come back to every daemon for ever.
                    logger.exception("Job %s: its input is not understood", lease.job_id)
                    jobs.fail(lease, "internal error: the job's input is not understood")

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
                return logs.append(lease.job_id, lease.token, lines, after=after)
        except logs.LinesMissing as error:
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
            computed = parameters.compute(job.pk, template_id=parameters.owner_of(job))
            return parameters.for_engine(computed)

    def complete(self, lease: Lease, result: JobResult) -> None:
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
        jobs.release(lease, logs.printable(reason))

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


# ---------------------------------------------------------------------- what a job is run with
def assignment(lease: Lease, *, with_archive: bool = True) -> Assignment:
    """All that it takes to run the leased job. Raises CannotRun."""
    rows = ProvisionerJob.objects.select_related("file", "initiator")
    job = (rows if with_archive else rows.defer("file__data")).get(pk=lease.job_id)
    match job.type:
        case JobType.IMPORT:
            plan_input = PlanInput(
                context=WorkspaceContext(
                    access_url=settings.ACCESS_URL, workspace_name=job.input.get("workspace_name") or ""
                ),
                rich_parameter_values=_rich_values(job.input),
            )
        case JobType.DRY_RUN:
            plan_input = _dry_run_input(job)
        case _:
            raise CannotRun(f"this daemon cannot run jobs of type {job.type}")
    if job.file is None:
        raise CannotRun(NO_SOURCE)
    return Assignment(
        lease=lease,
        job_type=job.type,
        provisioner=job.provisioner,
        attempt=job.attempts,
        plan_input=plan_input,
        archive=bytes(job.file.data) if with_archive else b"",
        archive_sha256=job.file.hash,
        archive_bytes=job.file.size,
        log_count=job.log_count,
        template_version_id=str(job.input.get("template_version_id") or ""),
    )


def _dry_run_input(job: ProvisionerJob) -> PlanInput:
    """What a dry run plans with: its initiator as owner, values of the import. Raises CannotRun for a missing one."""
    values: tuple[ParameterValue, ...] = ()
    if import_job := job.input.get("import_job_id"):
        import_job_id = uuid.UUID(import_job)
        given = {value["name"]: value["value"] for value in job.input.get("parameter_values") or ()}
        template_id = parameters.owner_of(job)
        computed = parameters.compute(import_job_id, template_id=template_id, given=given)
        values = parameters.for_engine(computed)
        if name := parameters.missing(import_job_id, values):
            raise CannotRun(f"missing parameter: {name}")
    context = WorkspaceContext(
        transition=Transition.START,
        access_url=settings.ACCESS_URL,
        workspace_id=str(uuid.uuid4()),
        workspace_name=job.input.get("workspace_name") or DRY_RUN_NAME,
        owner=job.initiator.username,
        owner_id=str(uuid.uuid4()),
    )
    return PlanInput(context, values, _rich_values(job.input))


def _rich_values(job_input: Mapping[str, Any]) -> dict[str, str]:
    return {value["name"]: value["value"] for value in job_input.get("rich_parameter_values") or ()}
