"""Why a job cannot start. The rules are those of the claim."""

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from provisioning.models import ProvisionerDaemon, ProvisionerKey
from provisioning.protocol.leases import Worker
from provisioning.queue import claims
from provisioning.queue.matching import can_claim, unmatched
from tests.factories import make_job, make_organization, make_provisioner_key

pytestmark = pytest.mark.django_db
DEFAULT = {"scope": "organization"}
GPU = DEFAULT | {"gpu": "a100"}


def make_daemon(tags=None, *, age_seconds=0, provisioners=("echo",), **fields) -> ProvisionerDaemon:
    return ProvisionerDaemon.objects.create(
        name=f"daemon-{uuid.uuid4().hex[:8]}",
        last_seen_at=timezone.now() - timedelta(seconds=age_seconds),
        provisioners=list(provisioners),
        tags=DEFAULT if tags is None else tags,
        **fields,
    )


def test_a_job_that_a_daemon_can_run_is_not_listed():
    make_daemon()
    job = make_job()
    assert unmatched([job]) == {}


def test_the_missing_tag_and_the_last_daemon_with_it_are_reported():
    make_daemon()
    gone = make_daemon(GPU, age_seconds=600)
    job = make_job(tags=GPU)
    found = unmatched([job])[job.pk]
    assert found.missing == ("gpu=a100",)
    assert found.last_seen_at == gone.last_seen_at
    assert found.reason == "No online daemon has gpu=a100"


def test_tags_that_no_daemon_has_together_are_all_reported():
    make_daemon(DEFAULT | {"gpu": "a100"})
    make_daemon(DEFAULT | {"region": "eu"})
    job = make_job(tags=DEFAULT | {"gpu": "a100", "region": "eu"})
    assert unmatched([job])[job.pk].missing == ("gpu=a100", "region=eu")


@pytest.mark.parametrize("daemon", [None, {"provisioners": ("terraform",)}, {"age_seconds": 90}])
def test_without_a_matching_daemon_no_tag_is_reported(daemon):
    if daemon is not None:
        make_daemon(**daemon)
    job = make_job()
    found = unmatched([job])[job.pk]
    assert (found.missing, found.reason) == ((), "No matching daemon is online")


@pytest.mark.parametrize("job_tags", [DEFAULT, GPU, {}])
@pytest.mark.parametrize("daemon_tags", [DEFAULT, GPU])
def test_can_claim_agrees_with_the_claim(job_tags, daemon_tags):
    daemon = make_daemon(daemon_tags)
    job = make_job(tags=job_tags)
    claimed = claims.claim(Worker(daemon.pk, daemon.provisioners, daemon.tags), lease_seconds=30)
    assert can_claim(daemon, job) == (claimed is not None)


def test_daemons_with_a_key_of_another_organization_are_ignored():
    make_provisioner_key(make_organization())
    make_daemon(key=ProvisionerKey.objects.get())
    job = make_job()
    assert job.pk in unmatched([job])


def test_the_number_of_queries_is_independent_of_the_jobs(django_assert_num_queries):
    make_daemon()
    waiting = [make_job() for _ in range(3)]
    with django_assert_num_queries(2):
        unmatched(waiting)
    with django_assert_num_queries(0):
        assert unmatched([]) == {}
