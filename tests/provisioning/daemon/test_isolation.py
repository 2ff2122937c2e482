"""A daemon in a network namespace connected only to the web server, like a daemon on another machine."""

import os
import socket
import subprocess
import sys
from urllib.parse import urlsplit

import pytest

from coderproj.identity.actor import Actor
from provisioning import keys
from provisioning.models import JobStatus, ProvisionerDaemon, ProvisionerKey
from provisioning.queue import jobs
from tests.factories import make_provisioner_key, make_user
from tests.provisioning.daemon.proxy import Proxy
from tests.vocabulary import RemoteDaemonProcess, echo, queue_import, running, wait_for_job, wait_for_log

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

OURS, THEIRS = "10.231.77.1", "10.231.77.2"


def ip(*arguments: str) -> None:
    subprocess.run(("ip", *arguments), check=True, capture_output=True, timeout=10)


@pytest.fixture
def namespace():
    """The name of a network namespace that can reach only the test's machine, at OURS."""
    if os.geteuid() != 0:
        pytest.skip("making a network namespace needs root")
    name, wire = f"coderproj-{os.getpid()}", f"cp{os.getpid() % 100_000}"
    try:
        ip("netns", "add", name)
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"network namespaces do not work here: {error}")
    try:
        try:
            ip("link", "add", f"{wire}a", "type", "veth", "peer", "name", f"{wire}b", "netns", name)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"a pair of network devices cannot be made here: {error.stderr.decode().strip()}")
        ip("addr", "add", f"{OURS}/30", "dev", f"{wire}a")
        ip("link", "set", f"{wire}a", "up")
        ip("-n", name, "addr", "add", f"{THEIRS}/30", "dev", f"{wire}b")
        ip("-n", name, "link", "set", f"{wire}b", "up")
        ip("-n", name, "link", "set", "lo", "up")
        yield name
    finally:
        subprocess.run(("ip", "link", "delete", f"{wire}a"), check=False, capture_output=True)
        ip("netns", "delete", name)


class IsolatedDaemonProcess(RemoteDaemonProcess):
    """A daemon in a network namespace, and in a mount namespace without the folder of the database's socket."""

    def __init__(self, namespace: str, hidden: str, *arguments: str, **environment: object) -> None:
        self._prefix = ("ip", "netns", "exec", namespace, "unshare", "--mount", "sh", "-c")
        hide = f'mount -t tmpfs none "{hidden}" && ' if hidden else ""
        self._script = hide + 'exec "$0" "$@"'
        super().__init__(*arguments, **environment)

    def command(self, *options: str) -> tuple[str, ...]:
        return (*self._prefix, self._script, *super().command(*options))


def reaches(namespace: str, host: str, port: int) -> bool:
    """Return True if a connection from within the namespace succeeds."""
    program = f"import socket; socket.create_connection(({host!r}, {port}), 1)"
    command = ("ip", "netns", "exec", namespace, sys.executable, "-c", program)
    return subprocess.run(command, check=False, capture_output=True, timeout=10).returncode == 0


def test_a_daemon_without_a_route_to_the_database_runs_jobs(namespace, live_api, tmp_path):
    from django.db import connection

    proxy = Proxy(live_api.url, host=OURS)
    database = connection.settings_dict
    folder = database["HOST"] if database["HOST"].startswith("/") else ""
    web = urlsplit(live_api.url)
    assert web.port
    try:
        assert reaches(namespace, OURS, int(urlsplit(proxy.url).port or 0))
        assert not reaches(namespace, "127.0.0.1", web.port)
        if not folder:
            assert not reaches(namespace, socket.gethostbyname(database["HOST"] or "localhost"), 5432)
        key = make_provisioner_key()
        options = (tmp_path / "log", "--url", proxy.url, "--allow-http", "--name", "far-away")
        daemon = IsolatedDaemonProcess(namespace, folder, *options, PROVISIONER_DAEMON_KEY=key)
        with running(daemon):
            job = wait_for_job(queue_import(echo({"lines": 500})).job)
            assert (job.status, job.error) == (JobStatus.SUCCEEDED, "")
            assert job.logs.filter(source="provisioner").count() == 500
            assert job.worker_id == ProvisionerDaemon.objects.get(name="far-away").pk
            version = queue_import(echo({"hang": True}))
            wait_for_log(version.job, stage="Detecting persistent resources")
            jobs.cancel(version.job_id)
            assert wait_for_job(version.job, 15).status == JobStatus.CANCELED
            keys.revoke_key(Actor.of(make_user(site_roles=("owner",))), ProvisionerKey.objects.get())
            assert daemon.process.wait(40) == 1
    finally:
        proxy.close()
