"""State transitions of a job: queue, lease, fencing, cancel, expiry."""

import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now

from provisioning.engine.base import ImportResult, LogLevel, LogLine, LogSource, PlanResult, Resource
from provisioning.log import writing
from provisioning.models import DEFAULT_TAGS, JobStatus, ProvisionerJob, ProvisionerJobLog
from provisioning.protocol.leases import Lease, Worker
from provisioning.queue import claims, jobs
from provisioning.queue.positions import queue_of
from templates_app.workspaces.job_kinds import BUILD_TYPE
from tests.factories import make_job

pytestmark = pytest.mark.django_db


def claim(tags=DEFAULT_TAGS, provisioners=("echo",), lease_seconds=30.0, organization_id=None, token=None):
    """Claim the next job that matches such a daemon; return its lease, or None."""
    worker = Worker(uuid.uuid4(), provisioners, tags, organization_id)
    job = claims.claim(worker, lease_seconds=lease_seconds, token=token)
    return job and job.lease


def status(job):
    row = ProvisionerJob.objects.with_status().get(pk=job.pk)
    assert row.current_status == row.status
    return row.status


def test_jobs_are_claimed_by_priority_then_age_and_only_once():
    old, new = make_job(), make_job()
    urgent = make_job(priority=10)
    assert [claim().job_id for _ in range(3)] == [urgent.pk, old.pk, new.pk]
    assert claim() is None


@pytest.mark.parametrize(
    ("job_tags", "daemon_tags", "fits"),
    [
        (DEFAULT_TAGS, DEFAULT_TAGS, True),
        (DEFAULT_TAGS, {**DEFAULT_TAGS, "gpu": "true"}, False),
        ({**DEFAULT_TAGS, "gpu": "true"}, {**DEFAULT_TAGS, "gpu": "true", "eu": "1"}, True),
        ({**DEFAULT_TAGS, "gpu": "true"}, DEFAULT_TAGS, False),
        ({"scope": "user", "owner": "a"}, {"scope": "user", "owner": "b"}, False),
    ],
)
def test_tags_decide_which_daemon_claims_a_job(job_tags, daemon_tags, fits):
    make_job(tags=job_tags)
    assert (claim(daemon_tags) is not None) is fits


def test_a_daemon_claims_only_jobs_of_its_engines():
    make_job(provisioner="echo")
    assert claim(provisioners=("terraform",)) is None


@pytest.mark.parametrize(("job_type", "expected"), [(BUILD_TYPE, "on"), ("template_version_import", "off")])
def test_only_the_claim_of_a_job_that_changes_things_waits_for_the_disk(job_type, expected):
    """Without its claim, a job could not report what it has made."""
    make_job(job_type=job_type)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL synchronous_commit = on")
        assert claim() is not None
        cursor.execute("SHOW synchronous_commit")
        assert cursor.fetchone() == (expected,)


def test_complete_ends_the_job_once():
    job = make_job()
    lease = claim()
    assert status(job) == JobStatus.RUNNING
    jobs.complete(lease, PlanResult())
    assert status(job) == JobStatus.SUCCEEDED
    completed = ProvisionerJob.objects.get(pk=job.pk)
    jobs.complete(lease, PlanResult(resources=(Resource("again", "vm"),)))  # as after a lost answer
    for other in (lambda: jobs.fail(lease, "too late"), lambda: jobs.release(lease, "x"), lambda: jobs.cancel(job.pk)):
        with pytest.raises((jobs.LeaseLost, jobs.JobEnded)):
            other()
    job.refresh_from_db()
    assert (job.status, job.updated_at) == (JobStatus.SUCCEEDED, completed.updated_at)
    assert not job.resources.exists()


def test_every_end_can_be_repeated_with_the_same_lease():
    make_job()
    lease = claim()
    for _ in range(2):
        jobs.release(lease, "shut down")
    second = claim()
    assert (second.job_id, second.token == lease.token) == (lease.job_id, False)
    jobs.release(lease, "shut down")
    jobs.cancel(second.job_id)
    for _ in range(2):
        jobs.finish_canceled(second)
    with pytest.raises(jobs.LeaseLost):
        jobs.release(lease, "shut down")
    make_job()
    third = claim()
    for _ in range(2):
        jobs.fail(third, "no")


def test_a_result_of_another_kind_of_job_is_rejected():
    job = make_job()
    lease = claim()
    with pytest.raises(jobs.WrongResult):
        jobs.complete(lease, ImportResult(PlanResult(), PlanResult()))
    assert status(job) == JobStatus.RUNNING


def test_a_claim_can_be_limited_to_an_organization():
    job = make_job()
    assert claim(organization_id=uuid.uuid4()) is None
    token = uuid.uuid4()
    assert claim(organization_id=job.organization_id, token=token) == Lease(job.pk, token)


def test_a_batch_is_written_once_and_never_after_a_gap():
    job = make_job()
    lease = claim()
    line = LogLine(LogSource.ENGINE, LogLevel.INFO, "s", "x", 0)
    assert [writing.append(job.pk, lease.token, [line, line], after=0) for _ in range(2)] == [2, 2]
    with pytest.raises(writing.LinesMissing):
        writing.append(job.pk, lease.token, [line], after=3)
    assert writing.append(job.pk, lease.token, [line], after=2) == 3
    assert job.logs.count() == 3
    jobs.fail(lease, "no")
    with pytest.raises(writing.LeaseLostWhileLogging):
        writing.append(job.pk, lease.token, [line], after=3)


def test_fail_stores_a_printable_reason():
    job = make_job()
    jobs.fail(claim(), "plan failed\x00\x1b[31m: no")
    job.refresh_from_db()
    assert job.status == JobStatus.FAILED
    assert job.error == "plan failed[31m: no"


def test_an_empty_reason_still_fails():
    job = make_job()
    jobs.fail(claim(), "")
    assert status(job) == JobStatus.FAILED


def test_a_job_canceled_while_pending_never_runs():
    job = make_job()
    jobs.cancel(job.pk)
    assert status(job) == JobStatus.CANCELED
    assert claim() is None
    with pytest.raises(jobs.JobEnded):
        jobs.cancel(job.pk)


def test_cancel_of_a_running_job_reaches_its_daemon_with_the_heartbeat():
    job = make_job()
    lease = claim()
    assert jobs.heartbeat(lease, lease_seconds=30) is False
    jobs.cancel(job.pk)
    assert status(job) == JobStatus.CANCELING
    with pytest.raises(jobs.JobEnded):
        jobs.cancel(job.pk)
    assert jobs.heartbeat(lease, lease_seconds=30) is True
    jobs.finish_canceled(lease)
    assert status(job) == JobStatus.CANCELED


def test_only_a_canceled_job_can_finish_as_canceled():
    make_job()
    with pytest.raises(jobs.LeaseLost):
        jobs.finish_canceled(claim())


def expire_lease(job):
    ProvisionerJob.objects.filter(pk=job.pk).update(lease_expires_at=Now() - timedelta(seconds=1))


@pytest.mark.promise("R5")
def test_an_expired_lease_requeues_the_job_and_rejects_the_old_daemons_writes():
    job = make_job()
    lease = claim()
    assert jobs.expire() == []
    expire_lease(job)
    assert jobs.expire() == [job.pk]
    assert status(job) == JobStatus.PENDING
    second = claim()
    assert second.job_id == job.pk
    for write in (
        lambda: jobs.heartbeat(lease, lease_seconds=30),
        lambda: jobs.complete(lease, PlanResult()),
        lambda: jobs.fail(lease, "x"),
        lambda: jobs.store_readme(lease, "x"),
        lambda: jobs.store_schemas(lease, []),
        lambda: jobs.release(lease, "x"),
    ):
        with pytest.raises(jobs.LeaseLost):
            write()
    line = LogLine(LogSource.ENGINE, LogLevel.INFO, "s", "x", 0)
    with pytest.raises(writing.LeaseLostWhileLogging):
        writing.append(lease.job_id, lease.token, [line])
    jobs.complete(second, PlanResult())
    assert status(job) == JobStatus.SUCCEEDED


@pytest.mark.promise("R5")
def test_after_three_lost_attempts_a_job_fails_with_the_reason():
    job = make_job()
    for _ in range(jobs.MAX_ATTEMPTS):
        assert claim() is not None
        expire_lease(job)
        jobs.expire()
    job.refresh_from_db()
    assert job.status == JobStatus.FAILED
    assert "stopped responding" in job.error
    assert ProvisionerJobLog.objects.filter(job=job).count() == jobs.MAX_ATTEMPTS


def test_a_lost_build_is_never_run_again():
    job = make_job(job_type=BUILD_TYPE)
    claim()
    expire_lease(job)
    jobs.expire()
    assert status(job) == JobStatus.FAILED


def test_a_canceled_job_whose_daemon_died_ends_as_canceled():
    job = make_job()
    claim()
    jobs.cancel(job.pk)
    expire_lease(job)
    jobs.expire()
    assert status(job) == JobStatus.CANCELED


def test_released_jobs_wait_for_another_daemon():
    job = make_job()
    jobs.release(claim(), "the daemon is shutting down")
    assert status(job) == JobStatus.PENDING


def positions(*waiting):
    return [queue_of([job.pk for job in waiting]).position(job.pk) for job in waiting]


def test_queue_positions_count_from_one():
    first, second = make_job(), make_job()
    assert positions(first, second) == [1, 2]
    claim()
    first.refresh_from_db()
    assert positions(first, second) == [0, 1]


@pytest.mark.promise("S13")
def test_log_lines_are_numbered_without_a_gap_and_long_ones_are_split():
    make_job()
    lease = claim()
    line = LogLine(LogSource.ENGINE, LogLevel.INFO, "Stage", "a\x00b", 1_700_000_000.5)
    long = LogLine(LogSource.ENGINE, LogLevel.INFO, "Stage", 'é"' * 40_000, 1_700_000_000.5)
    assert writing.append(lease.job_id, lease.token, [line, line]) == 2
    last = writing.append(lease.job_id, lease.token, [long])
    rows = list(ProvisionerJobLog.objects.filter(job_id=lease.job_id))
    assert [row.id for row in rows] == list(range(1, last + 1))
    assert rows[0].output == "ab"
    assert "".join(row.output for row in rows[2:]) == long.output
    assert all(writing.encoded_size(row.output) <= writing.MAX_LINE_BYTES for row in rows)
