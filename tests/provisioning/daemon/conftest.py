"""Fixtures that run the same tests with daemons that have database access and with daemons that have a key."""

import pytest

from provisioning.daemon.remote import RemoteClient
from provisioning.models import ProvisionerKey
from provisioning.queue.kinds import kinds
from tests.cleanup import delete_all_rows, kept_rows
from tests.factories import make_provisioner_key
from tests.provisioning.daemon.remote_clients import FACTS
from tests.vocabulary import run_daemon, run_remote_daemon
from tests.world import fast_settings

KINDS = ("direct", "remote")
SETTINGS = {"PROVISIONER_CANCEL_GRACE_SECONDS": 1, "PROVISIONER_JOB_SECONDS": 30}


@pytest.fixture(params=KINDS, scope="module")
def daemon_kind(request):
    """The tests of a module run for one kind after the other: a daemon of the other kind would claim the jobs."""
    return request.param


@pytest.fixture(scope="module")
def _shared_daemon(daemon_kind, django_db_setup, django_db_blocker, _running_server, tmp_path_factory):
    """A daemon shared by tests that do not disturb it; stopped before the tests with a daemon of the other kind."""
    log = tmp_path_factory.mktemp("daemon") / "log"
    with django_db_blocker.unblock(), fast_settings():
        if daemon_kind == "direct":
            with run_daemon(log, "--name", "shared", **SETTINGS) as daemon:
                yield daemon
            return
        secret = make_provisioner_key()
        key = ProvisionerKey.objects.select_related("created_by").get()
        try:  # the daemon stops when its key is unknown
            with (
                kept_rows(key, key.created_by),
                run_remote_daemon(log, _running_server.url, "--name", "shared", key=secret, **SETTINGS) as daemon,
            ):
                yield daemon
        finally:
            delete_all_rows()


@pytest.fixture
def daemon(_shared_daemon, transactional_db):
    """A running daemon with two worker slots, which tests must not disturb."""
    yield _shared_daemon
    assert _shared_daemon.process.poll() is None


@pytest.fixture
def start_daemon(daemon_kind, transactional_db, request):
    """``run_daemon`` for the kind of daemon under test."""
    if daemon_kind == "direct":
        return run_daemon
    live_api = request.getfixturevalue("live_api")
    return lambda log, *options, **environment: run_remote_daemon(log, live_api.url, *options, **environment)


@pytest.fixture
def log(tmp_path):
    return tmp_path / "log"


@pytest.fixture
def client_of(live_api):
    """Return clients with a key, which are closed after the test."""
    clients = []

    def make(key, url=live_api.url, lease_seconds=30.0):
        client = RemoteClient(url, key, lease_seconds=lease_seconds, kinds=kinds())
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def client(client_of):
    """The client of a registered daemon that may claim every job."""
    client = client_of(make_provisioner_key())
    client.register(FACTS)
    return client
