"""Promises that take hundreds of repetitions to count: races, cancellations, followers, faults. Only ``make security``
runs them."""

import asyncio
import re
import threading
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from django.db import connections

from coderproj.identity import tokens
from coderproj.identity.actor import Actor
from coderproj.identity.models import ApiKey, User
from provisioning.models import DEFAULT_TAGS, JobStatus, ProvisionerJob
from provisioning.protocol.leases import Worker
from provisioning.queue import claims, jobs
from tests.coderproj.accounts import test_account_changes as changes
from tests.coderproj.accounts import test_races as races
from tests.factories import make_file, make_job, make_user
from tests.faults.run import inject_in_process
from tests.provisioning.log.following.conftest import followed  # noqa: F401 - a fixture
from tests.provisioning.log.following.test_delivery import follow_all, in_background, write_slowly
from tests.vocabulary import echo, queue_import, run_daemon, wait_until

pytestmark = pytest.mark.slow

ROUNDS = 100


# ---------------------------------------------------------------------- changes at the same moment
@pytest.mark.promise("S21", "A7")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["password", "suspension"])
def test_sign_ins_during_changes(owner, organization, measured, kind):
    """Sign-ins start before, within and after a change that runs at the same time, without any order between them."""
    left, passwords = [], ("correct horse battery", "another horse battery")
    for number in range(ROUNDS):
        user = make_user(f"{kind}-{number}", organizations=(organization,))
        start = threading.Barrier(4)

        def change(user=user, start=start):
            start.wait(10)
            row = User.objects.get(pk=user.pk)
            if kind == "password":
                changes.users.change_password(Actor.of(owner), row, password=passwords[1])
            else:
                changes.users.suspend(Actor.of(owner), row)

        def sign_in(delay, user=user, start=start):
            start.wait(10)
            time.sleep(delay)
            changes.sign_in(user, passwords[0])

        with ThreadPoolExecutor(4) as pool:
            done = [pool.submit(closing(change)), *(pool.submit(closing(sign_in), n / 500) for n in range(3))]
        for one in done:
            one.result()
        if ApiKey.objects.filter(user=user).exists():
            left.append(number)
    measured.least("rounds", ROUNDS)
    measured.add(keys_left=len(left))
    assert left == []


def closing(function):
    """Return the function for another thread: it closes the thread's database connections at its end."""

    def call(*arguments):
        try:
            return function(*arguments)
        finally:
            connections.close_all()

    return call


RACES = (
    races.test_only_one_object_per_name_is_created,
    races.test_user_is_added_to_a_group_and_an_organization_once,
    races.test_group_and_token_are_deleted_once,
    races.test_template_and_user_are_deleted_once,
    races.test_changes_of_what_is_deleted_in_the_meantime_are_404,
)
org = races.org


@pytest.mark.promise("R4")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("race", RACES, ids=lambda race: race.__name__)
def test_a_hundred_rounds(org, owner_of_org, monkeypatch, measured, race):
    monkeypatch.setattr(races, "ROUNDS", ROUNDS)
    race(org, owner_of_org)
    measured.least("rounds", ROUNDS)


@pytest.fixture
def owner_of_org(org):
    return make_user("owner", organizations=(org,), site_roles=("owner",))


# ---------------------------------------------------------------------- jobs
@pytest.mark.promise("R3")
@pytest.mark.django_db(transaction=True)
def test_a_thousand_jobs_and_eight_workers(organization, owner, measured):
    """Every tenth job is canceled while the workers claim."""
    file = make_file(owner)
    queued = [make_job(user=owner, organization=organization, file=file).pk for _ in range(1_000)]
    started: Counter[uuid.UUID] = Counter()
    canceled_while_pending = []
    lock = threading.Lock()

    def work():
        worker = Worker(uuid.uuid4(), ("echo",), DEFAULT_TAGS, None)
        while (job := claims.claim(worker, lease_seconds=600)) is not None:
            with lock:
                started[job.lease.job_id] += 1

    def cancel():
        for job_id in queued[::-10]:
            jobs.cancel(job_id)
            if ProvisionerJob.objects.get(pk=job_id).started_at is None:
                canceled_while_pending.append(job_id)

    with ThreadPoolExecutor(9) as pool:
        done = [pool.submit(closing(cancel)), *(pool.submit(closing(work)) for _ in range(8))]
    for one in done:
        one.result()
    expected = set(queued) - set(canceled_while_pending)
    measured.add(jobs=len(queued), workers=8, canceled=len(canceled_while_pending))
    measured.add(
        started_twice=sum(count > 1 for count in started.values()),
        not_started=len(expected - set(started)),
        canceled_but_started=len(set(canceled_while_pending) & set(started)),
    )
    assert set(started) == expected
    assert set(started.values()) == {1}
    assert canceled_while_pending


@pytest.mark.promise("R6")
@pytest.mark.django_db(transaction=True)
def test_a_hundred_cancellations(measured, tmp_path):
    versions = [queue_import(echo({"hang": True, "ignore_stop": number % 10 == 0})) for number in range(100)]
    ids = [version.job_id for version in versions]
    rows = ProvisionerJob.objects.filter(pk__in=ids)
    options = ("--concurrency", "6")
    with run_daemon(tmp_path / "log", *options, PROVISIONER_CANCEL_GRACE_SECONDS=1) as daemon:

        def all_ended() -> bool:
            for job in rows.filter(started_at__isnull=False, canceled_at__isnull=True):
                jobs.cancel(job.pk)
            return not rows.filter(completed_at__isnull=True).exists()

        wait_until(all_ended, 240, "the end of all jobs")
        assert daemon.end() == 0
    ended = [job for job in rows if job.status == JobStatus.CANCELED]
    measured.add(jobs=len(ids), not_canceled=len(ids) - len(ended))
    measured.most("seconds", max((job.completed_at - job.canceled_at).total_seconds() for job in ended))
    assert len(ended) == len(ids)


@pytest.mark.promise("R7")
@pytest.mark.django_db(transaction=True)
def test_twenty_imports_at_once(measured, tmp_path):
    versions = [queue_import(echo({"lines": 50, "sleep": 0.1})) for _ in range(20)]
    rows = ProvisionerJob.objects.filter(pk__in=[version.job_id for version in versions])
    with run_daemon(tmp_path / "log", "--concurrency", "4") as daemon:
        wait_until(lambda: not rows.filter(completed_at__isnull=True).exists(), 120, "the end of all imports")
        assert daemon.end() == 0
    succeeded = sum(job.status == JobStatus.SUCCEEDED for job in rows)
    measured.add(imports=len(versions), incomplete=len(versions) - succeeded)
    assert succeeded == len(versions)


@pytest.mark.promise("R7", "R2")
@pytest.mark.django_db(transaction=True)
def test_two_hundred_followers_of_one_job(followed, measured):  # noqa: F811
    writer = in_background(write_slowly, followed, 1_000, 50, 0.05)
    # A user can have 64 requests that wait for a thread, so ten users open 20 streams each. The first read proves a
    # token; before that, the caller is an address.
    users = [make_user(site_roles=("owner",)) for _ in range(10)]
    each = [replace(followed, token=tokens.issue(user=user)[1]) for user in users]
    assert {one.get().status_code for one in each} == {200}

    async def all_followers() -> list[list[int]]:
        found = await asyncio.gather(*(follow_all(one, websockets=10, arrays=5, events=5) for one in each))
        return [ids for some in found for ids in some]

    received = asyncio.run(all_followers())
    writer.join()
    incomplete = sum(ids != list(range(1, 1_001)) for ids in received)
    measured.add(followers=len(received), incomplete=incomplete)
    assert incomplete == 0


@pytest.mark.promise("R1", "R2")
def test_two_hundred_faults(measured):
    _, printed = inject_in_process(200)
    last = printed.splitlines()[-1]
    print(last)
    found = {
        name: int(re.search(rf"(\d+) {pattern}", last)[1])
        for name, pattern in {
            "injections": "injections",
            "lost": "lost, .* completed",
            "completed twice": "completed twice",
            "not terminal within 60 s": "not terminal",
            "lines lost": "lost, \\d+ duplicated",
            "lines duplicated": "duplicated",
            "lines out of order": "out of order",
            "states lost": "states lost",
            "builds at once": "builds at once",
        }.items()
    }
    for name, value in found.items():
        measured.count(name, value)
    assert {name: value for name, value in found.items() if value} == {"injections": 200}, printed[-4000:]
