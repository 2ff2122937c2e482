"""The server's part of the test app's jobs."""

import hashlib
import uuid
from collections.abc import Collection, Sequence

from django.db import connection

from coderproj.identity.actor import Actor
from provisioning.engine.base import ParameterValue
from provisioning.models import File, ProvisionerJob
from provisioning.queue.claims import LeasedJob
from tests.provisioning.queue.toy.job_kinds import ToyInput, ToyState


def toy_input(job: LeasedJob) -> ToyInput:
    secret = ParameterValue("key", "s3cr3t-key", sensitive=True)
    return ToyInput(bytes.fromhex(job.job_input["state"]), (secret,))


def toy_completed(job: ProvisionerJob, result: ToyState) -> None:
    """Store the state ``times`` times, as the input says; the database rejects the second."""
    assert connection.in_atomic_block
    for _ in range(job.input.get("times", 1)):
        File.objects.create(
            hash=hashlib.sha256(result.state).hexdigest(),
            created_by=job.initiator,
            data=result.state,
            size=result.found,
        )


def cancelable(actor: Actor, jobs: Sequence[ProvisionerJob]) -> Collection[uuid.UUID]:
    return {job.pk for job in jobs if job.input.get("may_cancel")}
