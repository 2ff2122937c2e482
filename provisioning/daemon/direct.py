"""The daemon's client on the database itself."""

import logging
import os
import select
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from django.conf import settings
from django.db import DataError, IntegrityError, InterfaceError, OperationalError, connection, transaction
from django.db.models.functions import Now

from provisioning import jobs, logs, parameters
from provisioning.daemon.client import Assignment, DaemonFacts, Lease, LeaseLost, Refused, Unreachable, Wakeup
from provisioning.engine.base import (
    LogLine,
    ParameterSchema,
    ParameterValue,
    PlanInput,
    Transition,
    WorkspaceContext,
)
from provisioning.models import JobType, ProvisionerDaemon, ProvisionerJob

logger = logging.getLogger(__name__)

# COPY and LISTEN go past Django, and so do their errors.
UNREACHABLE = (OperationalError, InterfaceError, psycopg.OperationalError, psycopg.InterfaceError)
DRY_RUN_NAME = "dryrun"
NO_SOURCE = "no source: the template version was created without a file"


class CannotRun(Exception):
    """A job whose input makes it impossible to run. The text is for users."""


class DirectClient:
    """Implements ``JobClient`` on the database. Calls may come from any thread, ``wait_for_work`` from one
    only.
    """

    def __init__(self, *, lease_seconds: float) -> None:
        self._lease_seconds = lease_seconds
        self._facts: DaemonFacts | None = None
        self._id = uuid.uuid4()
        self._listener: psycopg.Connection[Any] | None = None
        self._woken, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    # ------------------------------------------------------------------ the daemon
    def register(self, facts: DaemonFacts) -> uuid.UUID:
        with reachable():
            daemon, _ = ProvisionerDaemon.objects.update_or_create(
                name=facts.name,
                defaults={
                    "tags": dict(facts.tags),
                    "provisioners": list(facts.provisioners),
                    "concurrency": facts.concurrency,
                    "version": facts.version,
                    "hostname": facts.hostname,
                    "engine": facts.engine,
                    "sandbox": facts.sandbox,
                    "last_seen_at": Now(),
                    "stopped_at": None,
                },
            )
        self._facts, self._id = facts, daemon.pk
        return daemon.pk

    def refresh(self) -> None:
        with reachable():
            seen = ProvisionerDaemon.objects.filter(pk=self._id).update(last_seen_at=Now())
            jobs.expire()
        if not seen and self._facts:
            self.register(self._facts)

    def deregister(self) -> None:
        with reachable():
            ProvisionerDaemon.objects.filter(pk=self._id).update(stopped_at=Now(), last_seen_at=Now())

    # ------------------------------------------------------------------ a job
    def acquire(self) -> Assignment | None:
        if self._facts is None:
            raise RuntimeError("register comes first")
        while True:
            # One transaction: a claim whose job could not be loaded in the end never happened.
            with reachable(), transaction.atomic():
                lease = jobs.claim(
                    daemon_id=self._id,
                    provisioners=self._facts.provisioners,
                    tags=self._facts.tags,
                    lease_seconds=self._lease_seconds,
                )
                if lease is None:
                    return None
                try:
                    return assignment(lease)
                except CannotRun as error:
                    jobs.fail(lease, str(error))
                except (KeyError, TypeError, ValueError, AttributeError):
                    # Such a job must not come back to every daemon for ever.
                    logger.exception("Job %s: its input is not understood", lease.job_id)
                    jobs.fail(lease, "internal error: the job's input is not understood")

    def heartbeat(self, lease: Lease) -> bool:
        with reachable():
            return jobs.heartbeat(lease, lease_seconds=self._lease_seconds)

    def append_logs(self, lease: Lease, lines: Sequence[LogLine], *, after: int) -> int:
        with reachable():
            rows = ProvisionerJob.objects.filter(pk=lease.job_id, lease=lease.token)
            count = rows.values_list("log_count", flat=True).first()
            if count is not None and count > after:
                return count
            return logs.append(lease.job_id, lease.token, lines)

    def store_readme(self, lease: Lease, readme: str) -> None:
        with reachable():
            jobs.store_readme(lease, readme)

    def store_schemas(self, lease: Lease, schemas: Sequence[ParameterSchema]) -> tuple[ParameterValue, ...]:
        with reachable():
            job = jobs.store_schemas(lease, schemas)
            computed = parameters.compute(job.pk, template_id=parameters.owner_of(job))
            return parameters.for_engine(computed)

    def complete(self, lease: Lease, result: jobs.JobResult) -> None:
        with reachable():
            jobs.complete(lease, result)

    def fail(self, lease: Lease, error: str) -> None:
        with reachable():
            jobs.fail(lease, error)

    def finish_canceled(self, lease: Lease) -> None:
        with reachable():
            jobs.finish_canceled(lease)

    def release(self, lease: Lease, reason: str) -> None:
        with reachable():
            jobs.release(lease, reason)

    # ------------------------------------------------------------------ waiting
    def wait_for_work(self, timeout: float) -> Wakeup:
        try:
            if self._listener is None:
                self._listener = listen(jobs.JOB_CHANNEL)
                return Wakeup()  # whatever was told until now was missed
            return self._wait(self._listener, timeout)
        except (*UNREACHABLE, psycopg.Error, OSError) as error:
            self._drop_listener()
            raise Unreachable(str(error)) from error

    def _wait(self, listener: psycopg.Connection[Any], timeout: float) -> Wakeup:
        told = _notifications(listener)
        if not told:
            select.select([listener.fileno(), self._woken], [], [], timeout)
            listener.pgconn.consume_input()
            told = _notifications(listener)
        with suppress(BlockingIOError):
            os.read(self._woken, 4096)
        events = [event.partition(":") for event in told]
        return Wakeup(tuple(uuid.UUID(job_id) for event, _, job_id in events if event == jobs.CANCELING))

    def wake(self) -> None:
        with suppress(BlockingIOError, OSError):  # full: it will wake anyway; closed: nobody waits
            os.write(self._waker, b"!")

    def _drop_listener(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def close(self) -> None:
        self._drop_listener()
        os.close(self._woken)
        os.close(self._waker)
        connection.close()


def _notifications(listener: psycopg.Connection[Any]) -> list[str]:
    """What was read from the server already."""
    told = []
    while notification := listener.pgconn.notifies():
        told.append(notification.extra.decode())
    return told


@contextmanager
def reachable() -> Iterator[None]:
    """Give the connection back to the pool after the block, and translate what can go wrong with it."""
    try:
        yield
    except UNREACHABLE as error:
        raise Unreachable(str(error).strip()) from error
    except logs.LeaseLostWhileLogging as error:
        raise LeaseLost from error
    except (DataError, IntegrityError, psycopg.DataError, psycopg.IntegrityError) as error:
        logger.warning("The database refused what a job found: %s", error)
        reason = str(error).strip().splitlines()[0]
        raise Refused(f"what the job found cannot be stored: {reason}") from error
    finally:
        connection.close()


def listen(channel: str) -> psycopg.Connection[Any]:
    """A connection outside of the pool that is told of ``channel``."""
    options = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "connect_timeout": 10}
    listener = psycopg.connect(autocommit=True, **(options | connection.get_connection_params()))
    listener.execute(psycopg.sql.SQL("LISTEN {}").format(psycopg.sql.Identifier(channel)))
    return listener


def assignment(lease: Lease) -> Assignment:
    """All that it takes to run the leased job. Raises CannotRun."""
    job = ProvisionerJob.objects.select_related("file", "initiator").get(pk=lease.job_id)
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
        archive=bytes(job.file.data),
        log_count=job.log_count,
        template_version_id=str(job.input.get("template_version_id") or ""),
    )


def _dry_run_input(job: ProvisionerJob) -> PlanInput:
    """What a dry run plans with (behaviour contract, dry-run metadata). Raises CannotRun for a missing
    value.
    """
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
