"""States of builds whose runner, daemon, machine or connection fails: what a build made is what the server knows."""

import json
import os
import signal
import time
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.db.models.functions import Now

from provisioning.daemon.loop import KILLED
from provisioning.engine.base import MAX_STATE, BuildResult
from provisioning.engine.echo import INVENTORY
from provisioning.models import JobStatus, ProvisionerJob
from provisioning.protocol.client import Refused
from provisioning.protocol.leases import LeaseLost, StateKept
from provisioning.queue import jobs
from provisioning.queue.daemon_service import JobService
from templates_app.workspaces import states
from templates_app.workspaces.models import WorkspaceBuild
from templates_app.workspaces.services import builds
from tests.factories import claim
from tests.vocabulary import make_echo_template, queue_build, wait_for_job, wait_for_log, wait_until

pytestmark = pytest.mark.django_db(transaction=True)

LEASE_SECONDS = 3


@pytest.fixture
def log(tmp_path):
    return tmp_path / "log"


@pytest.fixture
def inventory(tmp_path):
    return tmp_path / "inventory"


@pytest.fixture
def start_builder(start_daemon, tmp_path, inventory):
    """Start a daemon with the test's data folder."""

    def start(log, *options, **environment):
        common = {
            "CODERPROJ_DATA_DIR": tmp_path / "data",
            "CODERPROJ_SECRET_KEY": settings.SECRET_KEY,
            "PROVISIONER_LEASE_SECONDS": LEASE_SECONDS,
            "PROVISIONER_CANCEL_GRACE_SECONDS": 1,
            "PROVISIONER_CONCURRENCY": 1,
            "PROVISIONER_ENVIRONMENT": INVENTORY,
            INVENTORY: inventory,
        }
        return start_daemon(log, *options, **common | environment)

    return start


def queue(*, steps=100, unsaved=True, **apply):
    """Queue the start of a workspace that makes a thing every fifth of a second. With ``unsaved``, the states are in
    the engine's file only until the apply ends."""
    script = {"steps": steps, "step_seconds": 0.2, "unsaved": unsaved}
    return queue_build(make_echo_template(script | apply))


def existing(inventory):
    """Return the things that exist."""
    found = set()
    for line in inventory.read_text().splitlines():
        change = line.split()[0]
        (found.add if change[0] == "+" else found.discard)(change[1:])
    return found


def known(build):
    """Return the things that the server knows of."""
    state = states.state_of(WorkspaceBuild.objects.get(pk=build.pk))
    return set(json.loads(state)["things"]) if state else set()


def spool_of(tmp_path):
    folder = tmp_path / "data" / "spool"
    return list(folder.iterdir()) if folder.exists() else []


def runner_of(daemon):
    """Return the pid of the runner with the build."""
    folders = {pid: Path(f"/proc/{pid}/cwd").readlink() for pid in daemon.runners()}
    return next(pid for pid, folder in folders.items() if (folder / "template").is_dir())


def test_state_is_stored_while_the_apply_runs(log, tmp_path, inventory, start_builder):
    with start_builder(log) as daemon:
        build = queue(steps=6, unsaved=False)
        wait_until(lambda: known(build), what="a state")
        build.job.refresh_from_db()
        assert build.job.status == JobStatus.RUNNING
        assert wait_for_job(build.job).status == JobStatus.SUCCEEDED
        assert len(known(build)) == 6
        assert known(build) == existing(inventory)
        assert daemon.end() == 0
    assert spool_of(tmp_path) == []


def test_killed_runner_leaves_its_state_and_the_next_build_repairs(log, tmp_path, inventory, start_builder):
    with start_builder(log) as daemon:
        build = queue()
        wait_for_log(build.job, "step 3")
        os.kill(runner_of(daemon), signal.SIGKILL)
        job = wait_for_job(build.job)
        assert (job.status, "ended unexpectedly" in job.error) == (JobStatus.FAILED, True)
        assert len(known(build)) >= 3
        assert known(build) == existing(inventory)
        deleted = queue_build(build.workspace, "delete")
        assert wait_for_job(deleted.job, 30).status == JobStatus.SUCCEEDED
        assert existing(inventory) == known(deleted) == set()
        assert daemon.end() == 0
    assert spool_of(tmp_path) == []


def test_killed_daemon_lets_the_apply_end_and_the_next_daemon_sends_its_state(log, tmp_path, inventory, start_builder):
    with start_builder(log, "--name", "first") as first:
        build = queue()
        wait_for_log(build.job, "step 2")
        runner = runner_of(first)
        folder = Path(f"/proc/{runner}/cwd").readlink()
        first.signal(signal.SIGKILL)
        first.process.wait()
        wait_until(lambda: not Path(f"/proc/{runner}").exists(), LEASE_SECONDS, "the end of the runner")
    assert not folder.exists()
    assert len(spool_of(tmp_path)) == 1
    assert known(build) == set()
    with start_builder(tmp_path / "second", "--name", "second") as second:
        job = wait_for_job(build.job)
        assert (job.status, job.error) == (JobStatus.FAILED, KILLED)
        assert len(known(build)) >= 2
        assert known(build) == existing(inventory)
        wait_until(lambda: not spool_of(tmp_path), what="the removal of the entry")
        assert second.end() == 0


def test_state_is_sent_even_if_runner_and_daemon_are_killed(log, tmp_path, inventory, start_builder):
    with start_builder(log, "--name", "first") as first:
        build = queue()
        wait_for_log(build.job, "step 2")
        runner = runner_of(first)
        folder = Path(f"/proc/{runner}/cwd").readlink()
        first.signal(signal.SIGSTOP)
        os.kill(runner, signal.SIGKILL)
        first.signal(signal.SIGKILL)
        first.process.wait()
    jobs.expire()
    wait_until(jobs.expire, LEASE_SECONDS + 1, "the end of the lease")
    with start_builder(tmp_path / "second", "--name", "second") as second:
        wait_until(lambda: known(build), what="the state")
        assert known(build) == existing(inventory)
        wait_until(lambda: not spool_of(tmp_path) and not folder.exists(), what="the removal of the entry")
        job = wait_for_job(build.job)
        assert job.error == "The job was lost: its daemon stopped responding. Its effects so far are unknown."
        assert second.end() == 0


def test_frozen_daemon_ends_its_build_before_its_lease_and_sends_the_state_late(
    log, tmp_path, inventory, start_builder
):
    """BLD-33, BLD-40: nothing changes any more when the next build can start."""
    with start_builder(log) as daemon:
        build = queue()
        wait_for_log(build.job, "step 2")
        daemon.signal(signal.SIGSTOP)
        wait_until(jobs.expire, LEASE_SECONDS + 2, "the end of the lease")
        made = existing(inventory)
        time.sleep(0.5)
        assert existing(inventory) == made
        assert wait_for_job(build.job, 1).status == JobStatus.FAILED
        daemon.signal(signal.SIGCONT)
        wait_until(lambda: known(build) == made, what="the late state")
        daemon.wait_for("dropped: the lease was lost")
        assert daemon.end() == 0
    assert spool_of(tmp_path) == []


def test_second_stop_of_a_daemon_interrupts_an_apply_gently(log, tmp_path, inventory, start_builder):
    with start_builder(log) as daemon:
        build = queue()
        wait_for_log(build.job, "step 2")
        daemon.signal(signal.SIGTERM)
        daemon.wait_for("Stopping: 1 jobs")
        daemon.signal(signal.SIGTERM)
        assert daemon.process.wait(10) == 0
    job = wait_for_job(build.job, 1)
    assert (job.status, job.error) == (JobStatus.FAILED, "the job was interrupted, because the daemon was shut down")
    assert known(build) == existing(inventory)
    assert spool_of(tmp_path) == []


def test_canceled_apply_stores_what_it_made(log, inventory, start_builder):
    """BLD-32."""
    with start_builder(log) as daemon:
        build = queue()
        wait_for_log(build.job, "step 2")
        jobs.cancel(build.job_id)
        assert wait_for_job(build.job).status == JobStatus.CANCELED
        assert known(build) == existing(inventory)
        assert daemon.end() == 0


def test_time_limit_of_builds_stores_what_was_made(log, inventory, start_builder):
    with start_builder(log, PROVISIONER_BUILD_SECONDS=3, PROVISIONER_JOB_SECONDS=60) as daemon:
        build = queue()
        job = wait_for_job(build.job)
        assert (job.status, job.error) == (JobStatus.FAILED, "the job took longer than 3 seconds")
        assert known(build) == existing(inventory)
        assert daemon.end() == 0


def test_refused_completion_keeps_the_state(log, inventory, start_builder):
    """W24: the results cannot be stored, what was made is known."""
    twice = {"name": "a", "type": "vm", "metadata": [{"key": "k"}, {"key": "k"}]}
    with start_builder(log) as daemon:
        build = queue(steps=2, start={"resources": [twice]})
        job = wait_for_job(build.job)
        assert job.status == JobStatus.FAILED
        assert job.error.startswith("the job's results cannot be stored: duplicate key value")
        assert known(build) == existing(inventory)
        assert daemon.end() == 0


def test_build_runs_without_a_data_folder(log, tmp_path, inventory, start_builder):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "spool").write_text("in the way")
    with start_builder(log) as daemon:
        build = queue(steps=2)
        assert wait_for_job(build.job).status == JobStatus.SUCCEEDED
        daemon.wait_for("its states are not kept on this machine")
        assert daemon.end() == 0


# ---------------------------------------------------------------------- the server
@pytest.fixture
def lease(transactional_db):
    queue()
    return claim(lease_seconds=30)


def test_state_is_stored_after_any_end_but_a_success(lease):
    jobs.fail(lease, "its log cannot be stored")
    with pytest.raises(StateKept):
        jobs.store_state(lease, b'{"things": ["a"]}')
    build = WorkspaceBuild.objects.get(job_id=lease.job_id)
    assert known(build) == {"a"}


def test_state_after_a_success_is_refused(lease):
    jobs.store_state(lease, b'{"things": ["a"]}')
    jobs.complete(lease, BuildResult())
    with pytest.raises(LeaseLost) as caught:
        jobs.store_state(lease, b'{"things": []}')
    assert not isinstance(caught.value, StateKept)
    with pytest.raises(StateKept):
        jobs.store_state(lease, b'{"things": []}', is_last=True)
    assert known(WorkspaceBuild.objects.get(job_id=lease.job_id)) == {"a"}


def test_next_build_waits_for_the_report_of_a_lost_daemon(lease):
    """BLD-40."""
    workspace = WorkspaceBuild.objects.get(job_id=lease.job_id).workspace
    with pytest.raises(builds.Busy, match="already active"):
        queue_build(workspace)
    ProvisionerJob.objects.filter(pk=lease.job_id).update(lease_expires_at=Now() - timedelta(seconds=1))
    assert jobs.expire() == [lease.job_id]
    with pytest.raises(builds.Unsettled) as refused:
        queue_build(workspace)
    assert refused.value.detail in {"Try again in 59 seconds.", "Try again in 60 seconds."}
    with pytest.raises(StateKept):
        jobs.store_state(lease, b'{"things": []}')
    with pytest.raises(builds.Unsettled):
        queue_build(workspace)
    with pytest.raises(StateKept):
        jobs.store_state(lease, b'{"things": ["a"]}', is_last=True)
    assert known(queue_build(workspace, "delete")) == {"a"}


def test_report_without_a_state_lets_the_next_build_start(lease):
    build = WorkspaceBuild.objects.get(job_id=lease.job_id)
    ProvisionerJob.objects.filter(pk=lease.job_id).update(lease_expires_at=Now() - timedelta(seconds=1))
    jobs.expire()
    with pytest.raises(StateKept):
        jobs.store_state(lease, b"", is_last=True)
    assert not states.state_of(build)
    queue_build(build.workspace)


def test_daemon_that_never_returns_delays_the_next_build_for_a_minute(lease):
    workspace = WorkspaceBuild.objects.get(job_id=lease.job_id).workspace
    ProvisionerJob.objects.filter(pk=lease.job_id).update(lease_expires_at=Now() - timedelta(seconds=1))
    jobs.expire()
    ProvisionerJob.objects.filter(pk=lease.job_id).update(completed_at=Now() - timedelta(seconds=61))
    queue_build(workspace)


def test_size_of_a_state_is_bounded(lease):
    service = JobService()
    service.store_state(lease, b" " * MAX_STATE)
    with pytest.raises(Refused, match=r"the state has 33,554,433 bytes: at most 33,554,432 are stored"):
        service.store_state(lease, b" " * (MAX_STATE + 1))
