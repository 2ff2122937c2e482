"""How a supervisor ends a job when the server rejects its results or the lease is lost meanwhile."""

import threading
import uuid

import pytest

from provisioning.daemon import messages
from provisioning.daemon.job_limits import Bounds
from provisioning.daemon.spool import Spool
from provisioning.daemon.supervisor import Supervisor
from provisioning.engine.base import PlanInput
from provisioning.models import JobStatus, ProvisionerJob
from provisioning.protocol.client import Assignment, Lease, LeaseLost, Unreachable
from templates_app.job_kinds import IMPORT
from tests.vocabulary import echo, queue_import, wait_for_job, wait_for_log


@pytest.mark.django_db(transaction=True)
def test_rejected_log_lines_fail_the_job_with_the_reason(tmp_path, start_daemon):
    with start_daemon(tmp_path / "log") as daemon:
        job = queue_import(echo({"sleep": 1.5})).job
        wait_for_log(job, stage="Detecting persistent resources")
        job.logs.all().delete()
        ProvisionerJob.objects.filter(pk=job.pk).update(log_count=0)
        job = wait_for_job(job)
        assert job.status == JobStatus.FAILED
        assert job.error.startswith("log lines are missing: the log ends at 0")
        assert daemon.end() == 0
    assert "Traceback" not in (tmp_path / "log").read_text()


class AwayClient:
    """A client of an unreachable server that allows only a few calls."""

    asked = 0

    def fail(self, lease: Lease, error: str) -> None:
        self.asked += 1
        assert self.asked < 4, "the job was abandoned, and is still being ended"
        raise Unreachable("connection refused")


class Interleaved(threading.Event):
    """An event: before it is cleared, another thread runs ``first``, unless a lock prevents it."""

    def __init__(self, first):
        super().__init__()
        self.thread = threading.Thread(target=first)

    def clear(self):
        self.thread.start()
        self.thread.join(0.2)
        super().clear()


@pytest.mark.parametrize("ended_by", ["abandon", "release"])
def test_a_lease_lost_while_the_job_ends_is_noticed(ended_by):
    supervisor = Supervisor(
        Assignment(
            lease=Lease(uuid.uuid4(), uuid.uuid4()),
            job_type=IMPORT.type,
            provisioner="echo",
            attempt=1,
            payload=PlanInput(),
            archive=b"",
        ),
        kind=IMPORT,
        client=AwayClient(),
        spares=None,  # it has its process already
        bounds=Bounds(job=60, cancel_grace=1, lease=30),
        claimed_at=0.0,
        spool=Spool(None, ""),
    )
    supervisor._given_up = Interleaved(getattr(supervisor, ended_by))
    with pytest.raises(LeaseLost):
        supervisor._finish(messages.Failed("no"), "")
    supervisor._given_up.thread.join()
