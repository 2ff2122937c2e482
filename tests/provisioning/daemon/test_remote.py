"""Daemons without database access: keys, connections that get lost, TLS, and what they may not do."""

import hashlib
import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest

from coderproj.identity.actor import Actor
from provisioning import jobs, keys
from provisioning.daemon.client import DaemonFacts, LeaseLost, NotAccepted, Refused, Unreachable
from provisioning.daemon.remote import BadAddress, RemoteClient
from provisioning.engine.base import LogLevel, LogLine, LogSource, PlanResult
from provisioning.models import File, JobStatus, ProvisionerDaemon, ProvisionerJob, ProvisionerKey
from tests.factories import make_file, make_job, make_organization, make_provisioner_key, make_user
from tests.provisioning.daemon.proxy import proxy_to
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

ROOT = Path(__file__).resolve().parents[3]
FACTS = DaemonFacts(
    name="tester",
    tags={},
    provisioners=("echo",),
    concurrency=1,
    version="1",
    hostname="h",
    engine="",
    sandbox="",
)
QUICK = {"PROVISIONER_CANCEL_GRACE_SECONDS": 1}
LINE = LogLine(LogSource.ENGINE, LogLevel.INFO, "s", "x", 0)


@pytest.fixture
def log(tmp_path):
    return tmp_path / "log"


@pytest.fixture
def client_of(live_api):
    """A client with a key; closed after the test."""
    clients = []

    def make(key, url=live_api.url, lease_seconds=30.0):
        client = RemoteClient(url, key, lease_seconds=lease_seconds)
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def client(client_of):
    """A registered daemon that may take every job."""
    client = client_of(make_provisioner_key())
    client.register(FACTS)
    return client


def revoke_all():
    owner = Actor.of(make_user(site_roles=("owner",)))
    for key in ProvisionerKey.objects.filter(revoked_at=None):
        keys.revoke_key(owner, key)


# ---------------------------------------------------------------------- no database, no Django
def test_without_a_database_nothing_of_django_but_its_errors_is_loaded():
    program = (
        "import sys, provisioning.daemon.remote, provisioning.daemon.command_line\n"
        "print([m for m in sys.modules if m in ('psycopg', 'django.db', 'django.conf', 'rest_framework')])"
    )
    done = subprocess.run((sys.executable, "-c", program), cwd=ROOT, check=False, capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_a_daemon_knows_no_database_and_writes_no_data_folder(live_api, log):
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
        (("--url", "https://x", "--key", "k", "--tag", "a=b"), "the tags of a daemon without database access"),
    ],
)
@pytest.mark.parametrize("program", [("manage.py", "provisionerd"), ("-m", "provisioning.daemon")])
def test_options_that_do_not_go_together_are_refused(program, options, complaint):
    environment = {"PATH": os.environ["PATH"]}
    done = subprocess.run(
        (sys.executable, *program, *options), cwd=ROOT, check=False, capture_output=True, text=True, env=environment
    )
    assert (done.returncode, complaint in done.stderr) == (2, True), done.stderr


def test_the_key_may_be_in_a_file(live_api, log, tmp_path):
    path = tmp_path / "key"
    path.write_text(make_provisioner_key() + "\n")
    daemon = RemoteDaemonProcess(log, "--url", live_api.url, "--key-file", str(path), "--once")
    assert daemon.process.wait(20) == 0


# ---------------------------------------------------------------------- keys
@pytest.mark.parametrize("key", ["", "nonsense", f"pdk-{'0' * 32}-{'a' * 43}", f"pdk-{'5' * 32}-{'a' * 43}"])
def test_a_wrong_key_ends_the_daemon_with_a_reason(live_api, log, key):
    daemon = RemoteDaemonProcess(log, "--url", live_api.url, "--key", key or "x")
    assert daemon.process.wait(20) == 1
    assert "refuses this daemon: The daemon's key is missing, unknown, expired or revoked." in log.read_text()


def test_a_revoked_key_ends_the_daemon_and_another_takes_its_job(live_api, log, tmp_path):
    with run_remote_daemon(log, live_api.url, PROVISIONER_LEASE_SECONDS=3, **QUICK) as daemon:
        version = queue_import(echo({"sleep": 4}))
        wait_for_log(version.job, stage="Detecting persistent resources")
        revoke_all()
        assert daemon.process.wait(10) == 1
        with run_remote_daemon(tmp_path / "other", live_api.url, PROVISIONER_LEASE_SECONDS=3, **QUICK) as other:
            job = wait_for_job(version.job, 25)
            assert (job.status, job.attempts) == (JobStatus.SUCCEEDED, 2)
            assert other.end() == 0


def test_a_revoked_key_may_do_nothing_from_the_next_request_on(client):
    make_job()
    lease = client.acquire().lease
    revoke_all()
    for call in (
        lambda: client.register(FACTS),
        client.refresh,
        client.deregister,
        client.acquire,
        lambda: client.heartbeat(lease),
        lambda: client.append_logs(lease, [LINE], after=0),
        lambda: client.complete(lease, PlanResult()),
        lambda: client.fail(lease, "x"),
        lambda: client.wait_for_work(1, has_slot=True),
    ):
        with pytest.raises(NotAccepted):
            call()
    assert ProvisionerJob.objects.get().status == JobStatus.RUNNING


def test_jobs_of_other_organizations_are_never_handed_out(client_of):
    ours, theirs = make_organization(), make_organization()
    foreign = make_job(organization=theirs)
    client = client_of(make_provisioner_key(ours))
    client.register(FACTS)
    assert client.acquire() is None
    began = time.monotonic()
    assert client.wait_for_work(1.5, has_slot=True).canceling == ()
    assert time.monotonic() - began > 1.4  # there is work, but none for this key
    own = make_job(organization=ours)
    assert client.acquire().job_id == own.pk
    foreign.refresh_from_db()
    assert foreign.status == JobStatus.PENDING


def test_a_leaked_lease_does_not_lead_into_another_organization(client, client_of):
    job = make_job()
    lease = client.acquire().lease
    stranger = client_of(make_provisioner_key(make_organization()))
    for call in (
        lambda: stranger.heartbeat(lease),
        lambda: stranger.append_logs(lease, [LINE], after=0),
        lambda: stranger.complete(lease, PlanResult()),
        lambda: stranger.release(lease, "x"),
        lambda: stranger._archive(None, lease),
    ):
        with pytest.raises(LeaseLost):
            call()
    job.refresh_from_db()
    assert (job.status, job.log_count) == (JobStatus.RUNNING, 0)


def test_a_daemon_has_exactly_the_tags_of_its_key(client_of):
    plain, gpu = make_job(), make_job(tags={"scope": "organization", "gpu": "true"})
    with_gpu = client_of(make_provisioner_key(tags={"gpu": "true"}))
    registration = with_gpu.register(FACTS)
    assert registration.tags == ProvisionerDaemon.objects.get().tags == {"scope": "organization", "gpu": "true"}
    assert with_gpu.acquire().job_id == gpu.pk
    assert with_gpu.acquire() is None
    without = client_of(make_provisioner_key())
    without.register(DaemonFacts(**{**_fields(FACTS), "name": "plain", "tags": {"gpu": "true"}}))
    assert without.acquire().job_id == plain.pk


def _fields(facts):
    return {name: getattr(facts, name) for name in facts.__slots__}


def test_a_name_belongs_to_the_key_that_uses_it(client, client_of):
    again = client_of(make_provisioner_key())
    with pytest.raises(Refused, match="online with another key"):
        again.register(FACTS)
    client.deregister()
    assert again.register(FACTS).daemon_id == ProvisionerDaemon.objects.get().pk
    with pytest.raises(Refused, match="online with another key"):
        client.refresh()


def test_a_forgotten_daemon_registers_again(client):
    ProvisionerDaemon.objects.all().delete()
    with pytest.raises(Unreachable):
        client.acquire()
    make_job()
    assert client.acquire() is not None


# ---------------------------------------------------------------------- calls that are repeated
def test_a_claim_whose_answer_was_lost_gives_the_same_job_again(client):
    jobs_made = [make_job(), make_job()]
    claim = client._claim
    first = client.acquire()
    client._claim = claim
    again = client.acquire()
    assert (first.lease, first.archive) == (again.lease, again.archive)
    assert client.acquire().job_id == jobs_made[1].pk
    assert sorted(ProvisionerJob.objects.values_list("attempts", flat=True)) == [1, 1]


def test_every_end_may_be_told_twice(client):
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


def test_a_repeated_batch_is_written_once_and_a_gap_is_refused(client):
    job = make_job()
    lease = client.acquire().lease
    assert [client.append_logs(lease, [LINE, LINE], after=0) for _ in range(3)] == [2, 2, 2]
    with pytest.raises(Refused, match="it ends at 2, not at 5"):
        client.append_logs(lease, [LINE], after=5)
    assert client.append_logs(lease, [LINE], after=2) == 3
    assert job.logs.count() == 3


# ---------------------------------------------------------------------- waiting
def test_a_waiting_daemon_is_told_of_work_at_once(client):
    import threading

    timer = threading.Timer(0.5, make_job)
    timer.start()
    began = time.monotonic()
    client.wait_for_work(10, has_slot=True)
    assert 0.4 < time.monotonic() - began < 2
    timer.join()
    assert client.acquire() is not None


def test_a_wait_holds_neither_a_thread_nor_a_connection(live_api, client_of):
    """More daemons wait than the server has threads, and it still answers."""
    import threading

    from django.conf import settings

    waiting = []
    for number in range(settings.WEB_THREADS + 4):
        client = client_of(make_provisioner_key())
        client.register(DaemonFacts(**{**_fields(FACTS), "name": f"d{number}"}))
        thread = threading.Thread(target=client.wait_for_work, args=(20,), kwargs={"has_slot": True})
        thread.start()
        waiting.append((client, thread))
    wait_until(lambda: len(live_api.hub.waiters) == len(waiting))
    began = time.monotonic()
    waiting[0][0].refresh()
    assert time.monotonic() - began < 2
    for client, thread in waiting:
        client.wake()
        thread.join()
    wait_until(lambda: not len(live_api.hub.waiters))


def test_a_cancel_reaches_a_running_job_within_two_seconds(live_api, log):
    with run_remote_daemon(log, live_api.url, "--concurrency", "1", PROVISIONER_CANCEL_GRACE_SECONDS=5) as daemon:
        for _ in range(3):
            version = queue_import(echo({"hang": True}))
            wait_for_log(version.job, stage="Detecting persistent resources")
            began = time.monotonic()
            jobs.cancel(version.job_id)
            assert wait_for_job(version.job, 5).status == JobStatus.CANCELED
            assert time.monotonic() - began < 2
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


def test_a_large_source_arrives_whole(client):
    data = tar_of({"big": os.urandom(8 * 1024 * 1024)})
    make_job(file=make_file(make_user(), data))
    assert client.acquire().archive == data
    assert File.objects.get().size == len(data)


# ---------------------------------------------------------------------- connections
def test_a_large_log_survives_lost_connections(live_api, log):
    with proxy_to(live_api.url) as proxy, run_remote_daemon(log, proxy.url, **QUICK) as daemon:
        version = queue_import(echo({"lines": 5_000}))
        wait_for_log(version.job, "line 1")
        for _ in range(8):
            proxy.drop()
            time.sleep(0.05)
        job = wait_for_job(version.job, 30)
        assert (job.status, job.attempts) == (JobStatus.SUCCEEDED, 1)
        lines = list(job.logs.filter(source="provisioner").order_by("id").values_list("output", flat=True))
        assert lines == [f"line {number}" for number in range(1, 5_001)]
        assert list(job.logs.order_by("id").values_list("id", flat=True)) == list(range(1, job.log_count + 1))
        assert daemon.end() == 0


def test_a_server_that_is_away_for_a_while_costs_no_job(live_api, log):
    with proxy_to(live_api.url) as proxy, run_remote_daemon(log, proxy.url, **QUICK) as daemon:
        version = queue_import(echo({"lines": 10, "sleep": 3}))
        wait_for_log(version.job, stage="Detecting persistent resources")
        proxy.close()
        daemon.wait_for("cannot be reached")
        time.sleep(3)
        proxy.reopen()
        job = wait_for_job(version.job, 20)
        assert (job.status, job.attempts) == (JobStatus.SUCCEEDED, 1)
        assert wait_for_job(queue_import(echo()).job).status == JobStatus.SUCCEEDED
        assert daemon.end() == 0


def test_a_server_that_restarts_costs_no_job(log):
    """A server of its own: a process, killed in the middle of the job."""
    from coderproj.stack import free_port
    from tests.vocabulary import database_url

    port = free_port()

    def serve():
        return subprocess.Popen(
            (sys.executable, "-W", "ignore", "-m", "coderproj.server", "--port", str(port)),
            cwd=ROOT,
            env=os.environ | {"DATABASE_URL": database_url("web"), "RATELIMIT_API": "0"},
            stdout=subprocess.DEVNULL,
        )

    server = serve()
    try:
        with run_remote_daemon(log, f"http://127.0.0.1:{port}", **QUICK) as daemon:
            version = queue_import(echo({"lines": 2_000, "sleep": 3}))
            wait_for_log(version.job, "line 1")
            server.send_signal(signal.SIGKILL)
            server.wait()
            daemon.wait_for("cannot be reached")
            server = serve()
            job = wait_for_job(version.job, 40)
            assert (job.status, job.attempts) == (JobStatus.SUCCEEDED, 1)
            assert job.logs.filter(source="provisioner").count() == 2_000
            assert daemon.end() == 0
    finally:
        server.kill()
        server.wait()


def test_a_cut_off_daemon_ends_its_job_before_another_has_it(live_api, log, tmp_path):
    with proxy_to(live_api.url) as proxy, run_remote_daemon(log, proxy.url, PROVISIONER_LEASE_SECONDS=3) as daemon:
        version = queue_import(echo({"sleep": 2.5}))
        wait_for_log(version.job, stage="Detecting persistent resources")
        proxy.close()
        with run_remote_daemon(
            tmp_path / "other", live_api.url, "--name", "other", PROVISIONER_LEASE_SECONDS=3
        ) as other:
            daemon.wait_for("dropped: it is not ours any more")
            job = wait_for_job(version.job, 20)
            assert (job.status, job.attempts) == (JobStatus.SUCCEEDED, 2)
            assert job.worker_id == ProvisionerDaemon.objects.get(name="other").pk
            assert other.end() == 0
        proxy.reopen()
        assert daemon.end() == 0


# ---------------------------------------------------------------------- TLS
@pytest.fixture
def certificate(tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("openssl is needed to make a certificate")
    key, certificate = tmp_path / "tls.key", tmp_path / "tls.pem"
    subprocess.run(
        ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate),
        check=True,
        capture_output=True,
    )  # fmt: skip
    return key, certificate


def test_https_is_verified(live_api, log, certificate):
    key, public = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, key)
    with proxy_to(live_api.url, tls=context) as proxy:
        assert proxy.url.startswith("https://localhost:")
        with run_remote_daemon(log, proxy.url, SSL_CERT_FILE=public, **QUICK) as daemon:
            assert wait_for_job(queue_import(echo({"lines": 300})).job).status == JobStatus.SUCCEEDED
            version = queue_import(echo({"hang": True}))
            wait_for_log(version.job, stage="Detecting persistent resources")
            jobs.cancel(version.job_id)
            assert wait_for_job(version.job, 5).status == JobStatus.CANCELED
            assert daemon.end() == 0
        stranger = RemoteDaemonProcess(log.with_name("stranger"), "--url", proxy.url, "--key", make_provisioner_key())
        try:
            stranger.wait_for("certificate verify failed")
        finally:
            stranger.process.kill()
            stranger.process.wait()


@pytest.mark.parametrize("url", ["", "example.com", "ftp://example.com", "http://example.com", "https://"])
def test_a_key_is_given_to_no_address_that_others_can_read(url):
    with pytest.raises(BadAddress):
        RemoteClient(url, "key", lease_seconds=30)
