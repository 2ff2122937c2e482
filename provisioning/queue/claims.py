"""Claim a job for a daemon, and load its source and the payload of its kind."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from coderproj.database.prepared import PreparedCommand, Row
from provisioning.files.stored import further_pieces
from provisioning.protocol.client import Assignment
from provisioning.protocol.kinds import cannot_run
from provisioning.protocol.leases import Lease, Worker
from provisioning.queue.kinds import function, kinds
from provisioning.queue.matching import MATCH_SQL, match_parameters

NO_SOURCE = "no source: the template version was created without a file"

# NO KEY: a concurrent insert that refers to the job (such as its version) must not make the claim skip the job.
# The commit does not wait for the disk. If a crash of the database undoes a claim, the job waits again and the daemon's
# lease is invalid; everything that the daemon writes later is committed after the claim. The claim of a job that
# changes things outside does wait: what a job with an invalid lease made could not be reported.
CLAIM_SQL = f"""
UPDATE provisioning_provisionerjob
   SET started_at = now(), updated_at = now(), worker_id = %(daemon)s, attempts = attempts + 1,
       lease = coalesce(%(token)s::uuid, gen_random_uuid()),
       lease_expires_at = now() + make_interval(secs => %(seconds)s::float)
 WHERE id = (SELECT id FROM provisioning_provisionerjob
              {MATCH_SQL}
              ORDER BY priority DESC, created_at
              FOR NO KEY UPDATE SKIP LOCKED LIMIT 1)
RETURNING id, lease, type, provisioner, attempts, input, log_count, initiator_id, file_id,
          set_config('synchronous_commit', CASE WHEN type = ANY(%(applying)s::text[])
                                                THEN current_setting('synchronous_commit') ELSE 'off' END, true)
"""  # noqa: S608 - made of constants
JOB_SQL = """
SELECT job.id, job.lease, job.type, job.provisioner, job.attempts, job.input, job.log_count,
       initiator.username, file.id, file.hash, file.size, CASE WHEN %(with_archive)s::boolean THEN file.data END
  FROM {jobs} job
  JOIN identity_user initiator ON initiator.id = job.initiator_id
  LEFT JOIN provisioning_file file ON file.id = job.file_id
"""
LOAD = PreparedCommand(
    f"{JOB_SQL.format(jobs='provisioning_provisionerjob')} WHERE job.id = %(job)s AND job.lease = %(token)s"
)
CLAIM = PreparedCommand(f"WITH claimed AS ({CLAIM_SQL}) {JOB_SQL.format(jobs='claimed')}")


class CannotRun(Exception):
    """The job cannot run because of its input. The message is for users."""


@dataclass(frozen=True, slots=True)
class LeasedJob:
    """A claimed job with its data. ``archive_sha256`` is None when it has no source."""

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
        """Return what a daemon needs to run the job. Raises CannotRun, and KeyError, TypeError, ValueError or
        AttributeError for an invalid input."""
        if self.archive_sha256 is None:
            raise CannotRun(NO_SOURCE)
        kind = kinds().of(self.job_type)
        if kind.run is None:
            raise CannotRun(cannot_run(self.job_type))
        return Assignment(
            lease=self.lease,
            job_type=self.job_type,
            provisioner=self.provisioner,
            attempt=self.attempt,
            payload=function(kind.prepare)(self),
            archive=self.archive,
            archive_sha256=self.archive_sha256,
            archive_bytes=self.archive_bytes,
            log_count=self.log_count,
            template_version_id=str(self.job_input.get("template_version_id") or ""),
        )


def claim(
    worker: Worker, *, lease_seconds: float, token: uuid.UUID | None = None, with_archive: bool = True
) -> LeasedJob | None:
    """Claim the first waiting job that matches, or None. ``token`` becomes the lease's token. Runs one statement."""
    return _leased(
        CLAIM.row(
            daemon=worker.daemon_id,
            seconds=float(lease_seconds),
            token=token,
            with_archive=with_archive,
            applying=kinds().applying_types,
            **match_parameters(worker),
        )
    )


def load(lease: Lease, *, with_archive: bool = True) -> LeasedJob | None:
    """Load a job that was claimed before; None when the lease is no longer valid."""
    return _leased(LOAD.row(job=lease.job_id, token=lease.token, with_archive=with_archive))


def _leased(row: Row | None) -> LeasedJob | None:
    if row is None:
        return None
    job_id, token, job_type, provisioner, attempt, job_input, log_count, initiator, file_id, sha256, size, archive = row
    if archive is not None and len(archive) < size:  # the first piece of several
        archive = b"".join([archive, *further_pieces(file_id)])
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
