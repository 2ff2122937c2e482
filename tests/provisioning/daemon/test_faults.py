"""Daemons that are killed, frozen, disconnected or stopped: no job is lost, run twice concurrently or left hanging."""

import os
import signal
import time
from pathlib import Path

import pytest
from django.db import connection, transaction

from provisioning.models import JobStatus, ProvisionerDaemon
from provisioning.queue import jobs
from tests.vocabulary import (
    echo,
    parent_of,
    processes,
    queue_import,
    run_daemon,
    wait_for_job,
    wait_for_log,
    wait_until,
)

pytestmark = pytest.mark.django_db(transaction=True)

TWO_SLOTS = {"PROVISIONER_LEASE_SECONDS": 2, "PROVISIONER_CANCEL_GRACE_SECONDS": 1}
# For tests with one job at a time: every worker slot costs a spare runner.
SHORT_LEASE = TWO_SLOTS | {"PROVISIONER_CONCURRENCY": 1}
# For daemons that must not lose their job: a busy machine can delay a heartbeat for seconds.
ONE_SLOT = SHORT_LEASE | {"PROVISIONER_LEASE_SECONDS": 15}
RUNNING = {"stage": "Detecting persistent resources"}


@pytest.fixture
def log(tmp_path):
    return tmp_path / "log"


def outputs(job):
    return list(job.logs.order_by("id").values_list("output", flat=True))


def runner_of(job, daemon):
    """Return the pid of the runner with the job: the one that has unpacked an archive."""
    wait_for_log(job, **RUNNING)

    def busy():
        return [pid for pid in daemon.runners() if (folder_of(pid) / "template").is_dir()]

    return wait_until(busy)[0]


def folder_of(pid):
    return Path(f"/proc/{pid}/cwd").readlink()


def environment(pid):
    content = Path(f"/proc/{pid}/environ").read_text(encoding="utf-8", errors="replace")
    return dict(item.split("=", 1) for item in content.split("\0") if "=" in item)


def test_a_killed_process_fails_its_job_only(log, start_daemon):
    with start_daemon(log, **SHORT_LEASE) as daemon:
        version = queue_import(echo({"hang": True}))
        pid = runner_of(version.job, daemon)
        folder = folder_of(pid)
        os.kill(pid, signal.SIGKILL)
        job = wait_for_job(version.job)
        assert job.status == JobStatus.FAILED
        assert job.error == "the job's process ended unexpectedly (signal 9: possibly out of memory)"
        wait_until(lambda: not folder.exists(), what="the removal of the job's folder")
        assert wait_for_job(queue_import(echo()).job).status == JobStatus.SUCCEEDED
        assert daemon.end() == 0


def test_a_killed_fork_server_fails_its_jobs_and_is_replaced(log, start_daemon):
    with start_daemon(log, **SHORT_LEASE) as daemon:
        version = queue_import(echo({"hang": True, "ignore_stop": True}))
        pid = runner_of(version.job, daemon)
        forked_by, folder = parent_of(pid), folder_of(pid)
        os.kill(forked_by, signal.SIGKILL)
        job = wait_for_job(version.job)
        assert job.status == JobStatus.FAILED
        assert "the job's process ended unexpectedly" in job.error
        wait_until(lambda: not folder.exists(), what="the removal of the job's folder")
        assert wait_for_job(queue_import(echo()).job).status == JobStatus.SUCCEEDED
        assert forked_by not in {parent_of(pid) for pid in wait_until(daemon.runners)}
        assert daemon.end() == 0


def test_a_runner_has_no_credentials(log, start_daemon):
    with start_daemon(log, CODERPROJ_SECRET_KEY="very secret", **SHORT_LEASE) as daemon:
        pid = wait_until(daemon.runners)[0]
        names = set(environment(pid))
        assert "PATH" in names
        assert not [name for name in names if "DATABASE" in name or "CODERPROJ" in name]
        assert daemon.end() == 0


@pytest.mark.promise("R5")
def test_a_killed_daemon_leaves_no_processes_and_another_runs_its_job(log, tmp_path, start_daemon):
    with start_daemon(log, "--name", "first", **SHORT_LEASE) as first:
        version = queue_import(echo({"sleep": 3}))
        folder = folder_of(runner_of(version.job, first))
        first.signal(signal.SIGKILL)
        first.process.wait()
        wait_until(lambda: not first.runners(), 3, "the end of the job's processes")
        wait_until(lambda: not folder.exists(), 3, "the removal of the job's folder")
    with start_daemon(tmp_path / "second", "--name", "second", **ONE_SLOT) as second:
        job = wait_for_job(version.job)
        assert (job.status, job.attempts) == (JobStatus.SUCCEEDED, 2)
        assert job.worker_id == ProvisionerDaemon.objects.get(name="second").pk
        assert second.end() == 0
    assert "Attempt 1 of 3 was lost: its daemon stopped responding. Queued again." in outputs(job)
    assert list(job.logs.order_by("id").values_list("id", flat=True)) == list(range(1, job.log_count + 1))


@pytest.mark.promise("R5")
def test_a_frozen_daemon_that_wakes_up_changes_nothing(log, tmp_path, start_daemon):
    with start_daemon(log, "--name", "frozen", **SHORT_LEASE) as frozen:
        version = queue_import(echo({"sleep": 3, "lines": 5}))
        wait_for_log(version.job, "line 5")
        frozen.signal(signal.SIGSTOP)
        with start_daemon(tmp_path / "second", "--name", "second", **ONE_SLOT) as second:
            job = wait_for_job(version.job)
            before = outputs(job)
            frozen.signal(signal.SIGCONT)
            frozen.wait_for("dropped: the lease was lost")
            job.refresh_from_db()
            assert (job.status, job.attempts, outputs(job)) == (JobStatus.SUCCEEDED, 2, before)
            assert before.count("line 5") == 2
            assert second.end() == 0
        assert frozen.end() == 0


def test_a_hung_plan_ends_at_the_time_limit(log, start_daemon):
    with start_daemon(log, PROVISIONER_JOB_SECONDS=1, **TWO_SLOTS) as daemon:
        polite, deaf = queue_import(echo({"hang": True})), queue_import(echo({"hang": True, "ignore_stop": True}))
        for version in (polite, deaf):
            job = wait_for_job(version.job, 10)
            assert (job.status, job.error) == (JobStatus.FAILED, "the job took longer than 1 seconds")
        assert daemon.end() == 0


def test_sigterm_finishes_running_jobs_and_claims_no_more(log, start_daemon):
    with start_daemon(log, "--concurrency", "1", **SHORT_LEASE) as daemon:
        running, waiting = queue_import(echo({"sleep": 3})), queue_import(echo())
        wait_for_log(running.job, **RUNNING)
        assert daemon.end() == 0
        assert wait_for_job(running.job, 0.1).status == JobStatus.SUCCEEDED
        waiting.job.refresh_from_db()
        assert (waiting.job.status, waiting.job.attempts) == (JobStatus.PENDING, 0)
        assert ProvisionerDaemon.objects.get().stopped_at is not None
        assert not daemon.runners()


@pytest.mark.parametrize("again", [True, False], ids=["second signal", "time is up"])
def test_a_second_stop_returns_jobs_to_the_queue(log, again, start_daemon):
    with start_daemon(log, "--drain-seconds", "600" if again else "1", **SHORT_LEASE) as daemon:
        version = queue_import(echo({"hang": True, "ignore_stop": True}))
        wait_for_log(version.job, **RUNNING)
        daemon.signal(signal.SIGTERM)
        daemon.wait_for("Stopping: 1 jobs")
        if again:
            daemon.signal(signal.SIGTERM)
        assert daemon.process.wait(10) == 0
        version.job.refresh_from_db()
        assert (version.job.status, version.job.attempts) == (JobStatus.PENDING, 1)
        assert outputs(version.job)[-1].endswith("the daemon was shut down. Queued again.")
        assert not daemon.runners()


def test_cancel_during_a_drain_still_works(log, start_daemon):
    with start_daemon(log, **SHORT_LEASE) as daemon:
        version = queue_import(echo({"hang": True}))
        wait_for_log(version.job, **RUNNING)
        daemon.signal(signal.SIGTERM)
        daemon.wait_for("Stopping")
        jobs.cancel(version.job_id)
        assert daemon.process.wait(10) == 0
        assert wait_for_job(version.job, 1).status == JobStatus.CANCELED


def test_once_runs_the_waiting_jobs_and_stops(log, start_daemon):
    versions = [queue_import(echo()) for _ in range(3)]
    with start_daemon(log, "--once", **TWO_SLOTS) as daemon:
        assert daemon.process.wait(20) == 0
    assert {wait_for_job(version.job, 0.1).status for version in versions} == {JobStatus.SUCCEEDED}


def test_dropped_connections_lose_no_line_and_no_job(log):
    with run_daemon(log, **SHORT_LEASE | {"PROVISIONER_LEASE_SECONDS": 10}) as daemon:
        version = queue_import(echo({"lines": 10_000}))
        wait_for_log(version.job, "line 1")
        for _ in range(5):
            drop_connections()
            time.sleep(0.05)
        job = wait_for_job(version.job)
        assert (job.status, job.attempts) == (JobStatus.SUCCEEDED, 1)
        lines = list(job.logs.filter(source="provisioner").order_by("id").values_list("output", flat=True))
        assert "is unreachable" in log.read_text()
        assert lines == [f"line {number}" for number in range(1, 10_001)]
        drop_connections()
        assert wait_for_job(queue_import(echo()).job, 10).status == JobStatus.SUCCEEDED
        assert daemon.end() == 0


def drop_connections():
    """Terminate every connection of the daemon, as a restart of the database server does."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'provisionerd'"
        )


@pytest.mark.promise("R5")
def test_a_daemon_that_cannot_heartbeat_ends_its_jobs_first(log, start_daemon):
    with start_daemon(log, **SHORT_LEASE | {"PROVISIONER_LEASE_SECONDS": 3}) as daemon:
        version = queue_import(echo({"hang": True}))
        pid = runner_of(version.job, daemon)
        # The lock blocks other writers: every heartbeat waits, as with a server that does not answer.
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("LOCK TABLE provisioning_provisionerjob IN EXCLUSIVE MODE")
            began = time.monotonic()
            wait_until(lambda: not is_running(pid), 5, "the end of the job's process")
            assert time.monotonic() - began < 3
        lost = "Attempt 1 of 3 was lost: its daemon stopped responding. Queued again."
        wait_until(lambda: lost in outputs(version.job), what="the loss of the attempt")
        jobs.cancel(version.job_id)
        wait_for_job(version.job)
        assert daemon.end() == 0


def is_running(pid):
    return pid in dict(processes())


def test_a_daemon_keeps_its_id_and_reports_its_engine(log, tmp_path, start_daemon):
    with start_daemon(log, "--name", "durable", "--tag", "gpu=true", "--concurrency", "3") as daemon:
        row = wait_until(ProvisionerDaemon.objects.online().exclude(sandbox="").first, 30, "a described daemon")
        assert (row.name, row.concurrency) == ("durable", 3)
        assert row.tags == {"scope": "organization", "gpu": "true"}
        assert row.engine or "Terraform templates cannot be planned here" in log.read_text()
        assert daemon.end() == 0
    with start_daemon(tmp_path / "again", "--name", "durable") as daemon:
        again = ProvisionerDaemon.objects.online().get()
        assert (again.pk, again.tags) == (row.pk, {"scope": "organization"})
        assert daemon.end() == 0


def test_tags_keep_jobs_away(log, start_daemon):
    with start_daemon(log, "--tag", "gpu=true", **SHORT_LEASE) as daemon:
        plain = queue_import(echo())
        wanted = queue_import(echo(), tags={"scope": "organization", "gpu": "true"})
        assert wait_for_job(wanted.job).status == JobStatus.SUCCEEDED
        plain.job.refresh_from_db()
        assert plain.job.status == JobStatus.PENDING
        assert daemon.end() == 0


@pytest.mark.parametrize("options", [("--tag", "gpu"), ("--concurrency", "0"), ("--concurrency", "x")])
def test_invalid_options_are_rejected(options):
    from django.core.management import CommandError, call_command

    with pytest.raises(CommandError):
        call_command("provisionerd", *options)
