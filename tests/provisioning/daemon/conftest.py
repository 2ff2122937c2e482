"""Daemons on the database and daemons that have only a key: the same tests for both."""

import pytest

from provisioning.daemon.remote import RemoteClient
from provisioning.queue.kinds import kinds
from tests.factories import make_provisioner_key
from tests.provisioning.daemon.remote_clients import FACTS
from tests.vocabulary import run_daemon, run_remote_daemon

KINDS = ("direct", "remote")
SETTINGS = {"PROVISIONER_CANCEL_GRACE_SECONDS": 1, "PROVISIONER_JOB_SECONDS": 30}


@pytest.fixture(params=KINDS, scope="module")
def daemon_kind(request):
    """The tests of a module run kind by kind: a daemon of the other kind would take their jobs."""
    return request.param


@pytest.fixture(scope="module")
def _direct_daemon(daemon_kind, django_db_setup, django_db_blocker, tmp_path_factory):
    """One for all tests of a module that do not hurt it; gone when the tests with a remote one begin."""
    log = tmp_path_factory.mktemp("daemon") / "log"
    with django_db_blocker.unblock(), run_daemon(log, "--name", "shared", **SETTINGS) as daemon:
        yield daemon


@pytest.fixture
def daemon(daemon_kind, transactional_db, request):
    """A daemon with two slots that runs throughout; do not hurt it."""
    if daemon_kind == "direct":
        running = request.getfixturevalue("_direct_daemon")
        yield running
        assert running.process.poll() is None
        return
    # Its key goes with the other rows after each test, and so does it.
    live_api, tmp_path = request.getfixturevalue("live_api"), request.getfixturevalue("tmp_path")
    with run_remote_daemon(tmp_path / "log", live_api.url, **SETTINGS) as running:
        yield running
        assert running.process.poll() is None


@pytest.fixture
def start_daemon(daemon_kind, transactional_db, request):
    """``run_daemon`` of either kind."""
    if daemon_kind == "direct":
        return run_daemon
    live_api = request.getfixturevalue("live_api")
    return lambda log, *options, **environment: run_remote_daemon(log, live_api.url, *options, **environment)


@pytest.fixture
def log(tmp_path):
    return tmp_path / "log"


@pytest.fixture
def client_of(live_api):
    """A client with a key; closed after the test."""
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
    """A registered daemon that may take every job."""
    client = client_of(make_provisioner_key())
    client.register(FACTS)
    return client
