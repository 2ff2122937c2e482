"""The claim of a job for a daemon, with what it is run with: its source, and the input of its plan."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings

from coderproj.database.prepared import PreparedCommand, Row
from provisioning import parameters
from provisioning.engine.base import ParameterValue, PlanInput, Transition, WorkspaceContext
from provisioning.models import JobType
from provisioning.protocol.client import Assignment
from provisioning.protocol.leases import Lease, Worker
from provisioning.queue.matching import FITS_SQL, fitting

DRY_RUN_NAME = "dryrun"
NO_SOURCE = "no source: the template version was created without a file"

# NO KEY: an insert that refers to the job (its version, in the same moment) must not make the claim skip it.
# The commit does not wait for the disk: a claim that a crash of the database undoes leaves a job that waits and a
# daemon without a lease, and whatever that daemon writes later is committed behind the claim.
CLAIM_SQL = f"""
UPDATE provisioning_provisionerjob
   SET started_at = now(), updated_at = now(), worker_id = %(daemon)s, attempts = attempts + 1,
       lease = coalesce(%(token)s::uuid, gen_random_uuid()),
       lease_expires_at = now() + make_interval(secs => %(seconds)s::float)
 WHERE id = (SELECT id FROM provisioning_provisionerjob
              {FITS_SQL}
              ORDER BY priority DESC, created_at
              FOR NO KEY UPDATE SKIP LOCKED LIMIT 1)
RETURNING id, lease, type, provisioner, attempts, input, log_count, initiator_id, file_id,
          set_config('synchronous_commit', 'off', true)
"""  # noqa: S608 - made of constants
JOB_SQL = """
SELECT job.id, job.lease, job.type, job.provisioner, job.attempts, job.input, job.log_count,
       initiator.username, file.hash, file.size, CASE WHEN %(with_archive)s::boolean THEN file.data END
  FROM {jobs} job
  JOIN identity_user initiator ON initiator.id = job.initiator_id
  LEFT JOIN provisioning_file file ON file.id = job.file_id
"""
LOAD = PreparedCommand(
    f"{JOB_SQL.format(jobs='provisioning_provisionerjob')} WHERE job.id = %(job)s AND job.lease = %(token)s"
)
CLAIM = PreparedCommand(f"WITH claimed AS ({CLAIM_SQL}) {JOB_SQL.format(jobs='claimed')}")


class CannotRun(Exception):
    """A job whose input makes it impossible to run. The text is for users."""


@dataclass(frozen=True, slots=True)
class LeasedJob:
    """A job that was claimed, with what it is made of. ``archive_sha256`` is None when it has no source."""

    lease: Lease
    job_type: str
    provisioner: str
    attempt: int
    job_input: Mapping[str, Any]
    log_count: int
    initiator: str
    archive_sha256: str | None
    archive_bytes: int
    archive: bytes = field(repr=False)

    def assignment(self) -> Assignment:
        """All that it takes to run it. Raises CannotRun; KeyError, TypeError, ValueError or AttributeError for an
        input that is not understood."""
        if self.archive_sha256 is None:
            raise CannotRun(NO_SOURCE)
        return Assignment(
            lease=self.lease,
            job_type=self.job_type,
            provisioner=self.provisioner,
            attempt=self.attempt,
            plan_input=_plan_input(self.job_type, self.job_input, self.initiator),
            archive=self.archive,
            archive_sha256=self.archive_sha256,
            archive_bytes=self.archive_bytes,
            log_count=self.log_count,
            template_version_id=str(self.job_input.get("template_version_id") or ""),
        )


def claim(
    worker: Worker, *, lease_seconds: float, token: uuid.UUID | None = None, with_archive: bool = True
) -> LeasedJob | None:
    """Take the first waiting job that fits, or None. ``token`` becomes the lease's, when given. One statement."""
    return _leased(
        CLAIM.row(
            daemon=worker.daemon_id,
            seconds=float(lease_seconds),
            token=token,
            with_archive=with_archive,
            **fitting(worker),
        )
    )


def load(lease: Lease, *, with_archive: bool = True) -> LeasedJob | None:
    """The same for a job that was claimed before; None when it is not that lease's any more."""
    return _leased(LOAD.row(job=lease.job_id, token=lease.token, with_archive=with_archive))


def _leased(row: Row | None) -> LeasedJob | None:
    if row is None:
        return None
    job_id, token, job_type, provisioner, attempt, job_input, log_count, initiator, sha256, size, archive = row
    return LeasedJob(
        lease=Lease(job_id, token),
        job_type=job_type.decode(),
        provisioner=provisioner.decode(),
        attempt=attempt,
        job_input=json.loads(job_input),
        log_count=log_count,
        initiator=initiator.decode(),
        archive_sha256=sha256.decode() if sha256 is not None else None,
        archive_bytes=size or 0,
        archive=archive or b"",
    )


def _plan_input(job_type: str, job_input: Mapping[str, Any], initiator: str) -> PlanInput:
    """Raises CannotRun for a type of job that daemons do not run."""
    if job_type == JobType.IMPORT:
        context = WorkspaceContext(access_url=settings.ACCESS_URL, workspace_name=job_input.get("workspace_name") or "")
        return PlanInput(context=context, rich_parameter_values=_rich_values(job_input))
    if job_type == JobType.DRY_RUN:
        return _dry_run_input(job_input, initiator)
    raise CannotRun(f"this daemon cannot run jobs of type {job_type}")


def _dry_run_input(job_input: Mapping[str, Any], owner: str) -> PlanInput:
    """What a dry run plans with: its initiator as owner, values of the import. Raises CannotRun for a missing one."""
    values: tuple[ParameterValue, ...] = ()
    if import_job := job_input.get("import_job_id"):
        import_job_id = uuid.UUID(import_job)
        given = {value["name"]: value["value"] for value in job_input.get("parameter_values") or ()}
        template_id = parameters.owner_of(job_input)
        computed = parameters.compute(import_job_id, template_id=template_id, given=given)
        values = parameters.for_engine(computed)
        if name := parameters.missing(import_job_id, values):
            raise CannotRun(f"missing parameter: {name}")
    context = WorkspaceContext(
        transition=Transition.START,
        access_url=settings.ACCESS_URL,
        workspace_id=str(uuid.uuid4()),
        workspace_name=job_input.get("workspace_name") or DRY_RUN_NAME,
        owner=owner,
        owner_id=str(uuid.uuid4()),
    )
    return PlanInput(context, values, _rich_values(job_input))


def _rich_values(job_input: Mapping[str, Any]) -> dict[str, str]:
    return {value["name"]: value["value"] for value in job_input.get("rich_parameter_values") or ()}
