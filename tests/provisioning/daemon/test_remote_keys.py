"""Daemons without database access: the rights of their keys."""

import time

import pytest

from provisioning.engine.base import PlanResult
from provisioning.models import JobStatus, ProvisionerDaemon, ProvisionerJob
from provisioning.protocol.client import DaemonFacts, LeaseLost, NotAccepted, Refused, Unreachable
from tests.factories import make_job, make_organization, make_provisioner_key
from tests.provisioning.daemon.remote_clients import FACTS, LINE, QUICK, fields, revoke_all
from tests.vocabulary import (
    RemoteDaemonProcess,
    echo,
    queue_import,
    run_remote_daemon,
    wait_for_job,
    wait_for_log,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("key", ["", "nonsense", f"pdk-{'0' * 32}-{'a' * 43}", f"pdk-{'5' * 32}-{'a' * 43}"])
def test_a_wrong_key_stops_the_daemon_with_a_reason(live_api, log, key):
    daemon = RemoteDaemonProcess(log, "--url", live_api.url, "--key", key or "x")
    assert daemon.process.wait(20) == 1
    assert "rejected this daemon: The daemon's key is missing, unknown, expired or revoked." in log.read_text()


def test_a_revoked_key_stops_the_daemon_and_another_runs_its_job(live_api, log, tmp_path):
    with run_remote_daemon(log, live_api.url, PROVISIONER_LEASE_SECONDS=3, **QUICK) as daemon:
        version = queue_import(echo({"sleep": 4}))
        wait_for_log(version.job, stage="Detecting persistent resources")
        revoke_all()
        assert daemon.process.wait(10) == 1
        with run_remote_daemon(tmp_path / "other", live_api.url, PROVISIONER_LEASE_SECONDS=3, **QUICK) as other:
            job = wait_for_job(version.job, 25)
            assert (job.status, job.attempts) == (JobStatus.SUCCEEDED, 2)
            assert other.end() == 0


def test_a_revoked_key_is_rejected_from_the_next_request(client):
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
        lambda: client.wait_for_jobs(1, has_slot=True),
    ):
        with pytest.raises(NotAccepted):
            call()
    assert ProvisionerJob.objects.get().status == JobStatus.RUNNING


def test_jobs_of_other_organizations_are_never_claimed(client_of):
    ours, theirs = make_organization(), make_organization()
    foreign = make_job(organization=theirs)
    client = client_of(make_provisioner_key(ours))
    client.register(FACTS)
    assert client.acquire() is None
    began = time.monotonic()
    assert client.wait_for_jobs(1.5, has_slot=True).canceling == ()
    assert time.monotonic() - began > 1.4  # there are jobs, but none for this key
    own = make_job(organization=ours)
    assert client.acquire().job_id == own.pk
    foreign.refresh_from_db()
    assert foreign.status == JobStatus.PENDING


def test_a_leaked_lease_gives_no_access_to_another_organization(client, client_of):
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
    without.register(DaemonFacts(**{**fields(FACTS), "name": "plain", "tags": {"gpu": "true"}}))
    assert without.acquire().job_id == plain.pk


def test_a_name_belongs_to_the_key_that_uses_it(client, client_of):
    again = client_of(make_provisioner_key())
    with pytest.raises(Refused, match="online with another key"):
        again.register(FACTS)
    client.deregister()
    assert again.register(FACTS).daemon_id == ProvisionerDaemon.objects.get().pk
    with pytest.raises(Refused, match="online with another key"):
        client.refresh()


def test_an_unknown_daemon_registers_again(client):
    ProvisionerDaemon.objects.all().delete()
    with pytest.raises(Unreachable):
        client.acquire()
    make_job()
    assert client.acquire() is not None
