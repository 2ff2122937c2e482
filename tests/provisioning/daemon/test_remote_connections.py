"""Daemons without database access: lost connections and TLS."""

import os
import shutil
import signal
import ssl
import subprocess
import sys
import time

import pytest

from provisioning.daemon.remote import BadAddress, RemoteClient
from provisioning.models import JobStatus, ProvisionerDaemon
from provisioning.queue import jobs
from provisioning.queue.kinds import kinds
from tests.factories import make_provisioner_key
from tests.provisioning.daemon.proxy import proxy_to
from tests.provisioning.daemon.remote_clients import QUICK, ROOT
from tests.vocabulary import (
    RemoteDaemonProcess,
    echo,
    queue_import,
    run_remote_daemon,
    wait_for_job,
    wait_for_log,
)

pytestmark = pytest.mark.django_db(transaction=True)


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


def test_no_job_is_lost_while_the_server_is_unavailable(live_api, log):
    with proxy_to(live_api.url) as proxy, run_remote_daemon(log, proxy.url, **QUICK) as daemon:
        version = queue_import(echo({"lines": 10, "sleep": 3}))
        wait_for_log(version.job, stage="Detecting persistent resources")
        proxy.close()
        daemon.wait_for("is unreachable")
        time.sleep(3)
        proxy.reopen()
        job = wait_for_job(version.job, 20)
        assert (job.status, job.attempts) == (JobStatus.SUCCEEDED, 1)
        assert wait_for_job(queue_import(echo()).job).status == JobStatus.SUCCEEDED
        assert daemon.end() == 0


def test_no_job_is_lost_when_the_server_restarts(log):
    """A separate server process is killed in the middle of the job."""
    from coderproj.web.addresses import free_port
    from tests.vocabulary import database_url

    port = free_port()

    def serve():
        return subprocess.Popen(
            (sys.executable, "-W", "ignore", "-m", "coderproj.web.server", "--port", str(port)),
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
            daemon.wait_for("is unreachable")
            server = serve()
            job = wait_for_job(version.job, 40)
            assert (job.status, job.attempts) == (JobStatus.SUCCEEDED, 1)
            assert job.logs.filter(source="provisioner").count() == 2_000
            assert daemon.end() == 0
    finally:
        server.kill()
        server.wait()


def test_a_disconnected_daemon_ends_its_job_before_another_claims_it(live_api, log, tmp_path):
    with proxy_to(live_api.url) as proxy, run_remote_daemon(log, proxy.url, PROVISIONER_LEASE_SECONDS=3) as daemon:
        version = queue_import(echo({"sleep": 2.5}))
        wait_for_log(version.job, stage="Detecting persistent resources")
        proxy.close()
        with run_remote_daemon(
            tmp_path / "other", live_api.url, "--name", "other", PROVISIONER_LEASE_SECONDS=15
        ) as other:
            daemon.wait_for("dropped: the lease was lost")
            job = wait_for_job(version.job)
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
def test_a_key_is_not_sent_over_unencrypted_connections(url):
    with pytest.raises(BadAddress):
        RemoteClient(url, "key", lease_seconds=30, kinds=kinds())
