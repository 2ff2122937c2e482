"""Daemons without database access: imports, repeated calls, waiting and sources."""

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from provisioning.engine.base import PlanResult
from provisioning.models import File, JobStatus, ProvisionerDaemon, ProvisionerJob
from provisioning.protocol.client import DaemonFacts, LeaseLost, Refused
from provisioning.queue import jobs
from tests.factories import make_file, make_job, make_organization, make_provisioner_key, make_user
from tests.provisioning.daemon.remote_clients import FACTS, LINE, QUICK, ROOT, fields
from tests.vocabulary import (
    RemoteDaemonProcess,
    echo,
    queue_import,
    run_remote_daemon,
    tar_of,
    wait_for_job,
    wait_for_log,
    wait_until,
)

pytestmark = pytest.mark.django_db(transaction=True)


# ---------------------------------------------------------------------- no database, no Django
def test_a_daemon_without_a_database_loads_no_django():
    program = (
        "import sys, provisioning.daemon.remote, provisioning.daemon.command_line\n"
        "print([m for m in sys.modules if m in ('psycopg', 'django.db', 'django.conf', 'rest_framework')])"
    )
    done = subprocess.run((sys.executable, "-c", program), cwd=ROOT, check=False, capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_a_daemon_opens_no_database_and_writes_no_data_folder(live_api, log):
    with run_remote_daemon(log, live_api.url, **QUICK) as daemon:
        names = Path(f"/proc/{daemon.pid}/environ").read_text().split("\0")
        assert not [name for name in names if name.startswith(("DATABASE", "PG"))]
        assert "psycopg" not in Path(f"/proc/{daemon.pid}/maps").read_text()
        assert wait_for_job(queue_import(echo()).job).status == JobStatus.SUCCEEDED
        assert not Path(f"{log}.no-such-folder").exists()
        assert daemon.end() == 0
        assert ProvisionerDaemon.objects.get().stopped_at is not None


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--url", "http://coder.example.com", "--key", "k"), "expected https://HOST"),
        (("--url", "coder.example.com", "--key", "k"), "expected https://HOST"),
        (("--url", "https://coder.example.com"), "needs --url and --key-file"),
        (("--key", "k"), "needs --url and --key-file"),
        (("--url", "https://x", "--key-file", "/no/such/file"), "cannot read /no/such/file"),
        (("--url", "https://x", "--key", "k", "--tag", "a=b"), "a daemon without database access has the tags"),
    ],
)
@pytest.mark.parametrize("program", [("manage.py", "provisionerd"), ("-m", "provisioning.daemon")])
def test_invalid_combinations_of_options_are_rejected(program, options, complaint):
    environment = {"PATH": os.environ["PATH"]}
    done = subprocess.run(
        (sys.executable, *program, *options), cwd=ROOT, check=False, capture_output=True, text=True, env=environment
    )
    assert (done.returncode, complaint in done.stderr) == (2, True), done.stderr


def test_the_key_can_be_in_a_file(live_api, log, tmp_path):
    path = tmp_path / "key"
    path.write_text(make_provisioner_key() + "\n")
    daemon = RemoteDaemonProcess(log, "--url", live_api.url, "--key-file", str(path), "--once")
    assert daemon.process.wait(20) == 0


# ---------------------------------------------------------------------- calls that are repeated
def test_a_repeated_claim_returns_the_same_job(client):
    jobs_made = [make_job(), make_job()]
    claim = client._claim
    first = client.acquire()
    client._claim = claim
    again = client.acquire()
    assert (first.lease, first.archive) == (again.lease, again.archive)
    assert client.acquire().job_id == jobs_made[1].pk
    assert sorted(ProvisionerJob.objects.values_list("attempts", flat=True)) == [1, 1]


def test_every_end_of_a_job_can_be_repeated(client):
    for end, status in (
        (lambda lease: client.complete(lease, PlanResult()), JobStatus.SUCCEEDED),
        (lambda lease: client.fail(lease, "no"), JobStatus.FAILED),
    ):
        job = make_job()
        lease = client.acquire().lease
        for _ in range(2):
            end(lease)
        job.refresh_from_db()
        assert job.status == status
        with pytest.raises(LeaseLost):
            client.release(lease, "x")
        with pytest.raises(LeaseLost):
            client.heartbeat(lease)


def test_a_repeated_batch_is_written_once_and_a_gap_is_rejected(client):
    job = make_job()
    lease = client.acquire().lease
    assert [client.append_logs(lease, [LINE, LINE], after=0) for _ in range(3)] == [2, 2, 2]
    with pytest.raises(Refused, match="the log ends at 2, not at 5"):
        client.append_logs(lease, [LINE], after=5)
    assert client.append_logs(lease, [LINE], after=2) == 3
    assert job.logs.count() == 3


# ---------------------------------------------------------------------- waiting
def test_a_waiting_daemon_is_notified_of_a_job_at_once(client):
    import threading

    timer = threading.Timer(0.5, make_job)
    timer.start()
    began = time.monotonic()
    client.wait_for_jobs(10, has_slot=True)
    assert 0.4 < time.monotonic() - began < 8
    timer.join()
    assert client.acquire() is not None


def test_a_wait_occupies_neither_a_thread_nor_a_connection(live_api, client_of):
    """The server still answers while more daemons wait than it has threads."""
    import threading

    from django.conf import settings

    waiting = []
    for number in range(settings.WEB_THREADS + 4):
        client = client_of(make_provisioner_key())
        client.register(DaemonFacts(**{**fields(FACTS), "name": f"d{number}"}))
        thread = threading.Thread(target=client.wait_for_jobs, args=(20,), kwargs={"has_slot": True})
        thread.start()
        waiting.append((client, thread))
    wait_until(lambda: len(live_api.hub.waiters) == len(waiting))
    began = time.monotonic()
    waiting[0][0].refresh()
    assert time.monotonic() - began < 15
    for client, thread in waiting:
        client.wake()
        thread.join()
    wait_until(lambda: not len(live_api.hub.waiters))


def test_a_cancel_reaches_a_running_job_before_the_next_heartbeat(live_api, log):
    with run_remote_daemon(log, live_api.url, "--concurrency", "1", PROVISIONER_CANCEL_GRACE_SECONDS=5) as daemon:
        for _ in range(3):
            version = queue_import(echo({"hang": True}))
            wait_for_log(version.job, stage="Detecting persistent resources")
            began = time.monotonic()
            jobs.cancel(version.job_id)
            assert wait_for_job(version.job, 5).status == JobStatus.CANCELED
            assert time.monotonic() - began < 5
        assert daemon.end() == 0


# ---------------------------------------------------------------------- the source
def test_a_damaged_source_fails_the_job_with_the_reason(client, caplog):
    user = make_user(organizations=(make_organization(),))
    file = make_file(user, b"as stored", hash=hashlib.sha256(b"as uploaded").hexdigest())
    damaged, good = make_job(file=file), make_job()
    assert client.acquire().job_id == good.pk
    damaged.refresh_from_db()
    assert damaged.status == JobStatus.FAILED
    assert damaged.error.startswith("the template's source arrived damaged")
    assert "arrived damaged (9 bytes)" in caplog.text


def test_a_large_source_arrives_complete(client):
    data = tar_of({"big": os.urandom(8 * 1024 * 1024)})
    make_job(file=make_file(make_user(), data))
    assert client.acquire().archive == data
    assert File.objects.get().size == len(data)
