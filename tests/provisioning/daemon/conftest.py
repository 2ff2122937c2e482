"""One daemon for all tests of a module that do not hurt it."""

import pytest

from tests.vocabulary import run_daemon


@pytest.fixture(scope="module")
def _running_daemon(django_db_setup, django_db_blocker, tmp_path_factory):
    log = tmp_path_factory.mktemp("daemon") / "log"
    with (
        django_db_blocker.unblock(),
        run_daemon(log, "--name", "shared", PROVISIONER_CANCEL_GRACE_SECONDS=1, PROVISIONER_JOB_SECONDS=30) as daemon,
    ):
        yield daemon


@pytest.fixture
def daemon(transactional_db, _running_daemon):
    """A daemon with two slots that runs throughout; do not hurt it."""
    yield _running_daemon
    assert _running_daemon.process.poll() is None
