"""The values that a user gave for variables and parameters leave the input of a job when it ends, in every way."""

from datetime import timedelta
from importlib import import_module

import pytest
from django.db import connection
from django.db.models.functions import Now

from provisioning.engine.base import ImportResult, PlanResult, Resource
from provisioning.models import ProvisionerJob
from provisioning.queue import claims, jobs
from templates_app.job_kinds import JobType
from templates_app.models import TemplateVersion
from templates_app.workspaces.job_kinds import BUILD_TYPE
from tests.factories import claim, make_job, make_organization, make_template, make_user

pytestmark = pytest.mark.django_db

SECRET = "correct-horse"
KEPT = {"template_version_id": "4b4b4b4b-0000-4000-8000-000000000000", "transition": "start", "workspace_name": "w"}
GIVEN = {
    "parameter_values": [{"name": "password", "value": SECRET}],
    "rich_parameter_values": [{"name": "region", "value": SECRET}],
}


def waiting_job(job_type=JobType.DRY_RUN):
    return make_job(job_type=job_type, job_input=KEPT | GIVEN)


def input_of(job):
    return ProvisionerJob.objects.values_list("input", flat=True).get(pk=job.pk)


def expire(job):
    ProvisionerJob.objects.filter(pk=job.pk).update(lease_expires_at=Now() - timedelta(seconds=1))
    assert jobs.expire() == [job.pk]


def complete(job):
    jobs.complete(claim(), PlanResult())


def complete_with_resources(job):
    jobs.complete(claim(), PlanResult(resources=(Resource(name="r", type="null_resource"),)))


def fail(job):
    jobs.fail(claim(), "it failed")


def cancel_waiting(job):
    jobs.cancel(job.pk)


def cancel_running(job):
    lease = claim()
    jobs.cancel(job.pk)
    jobs.finish_canceled(lease)


def fail_while_canceling(job):
    lease = claim()
    jobs.cancel(job.pk)
    jobs.fail(lease, "it failed")


def lose_while_canceling(job):
    claim()
    jobs.cancel(job.pk)
    expire(job)


def release_while_canceling(job):
    lease = claim()
    jobs.cancel(job.pk)
    jobs.release(lease, "the daemon shuts down")


def lose_every_attempt(job):
    for _ in range(jobs.MAX_ATTEMPTS):
        claim()
        expire(job)


ENDS = [
    complete,
    complete_with_resources,
    fail,
    cancel_waiting,
    cancel_running,
    fail_while_canceling,
    lose_while_canceling,
    release_while_canceling,
    lose_every_attempt,
]


@pytest.mark.parametrize("end", ENDS)
def test_an_ended_job_keeps_no_given_values(end):
    job = waiting_job()
    end(job)
    job.refresh_from_db()
    assert job.completed_at is not None
    assert job.input == KEPT


def test_a_lost_build_keeps_no_given_values():
    job = waiting_job(BUILD_TYPE)
    claim()
    expire(job)
    assert input_of(job) == KEPT


def test_an_ended_import_keeps_no_given_values():
    organization = make_organization()
    user = make_user(organizations=(organization,))
    job = make_job(
        user=user, organization=organization, job_type=JobType.IMPORT, job_input={"template_id": None, **GIVEN}
    )
    TemplateVersion.objects.create(organization=organization, name="v", job=job, created_by=user)
    jobs.complete(claim(), ImportResult(start=PlanResult(), stop=PlanResult()))
    assert input_of(job) == {"template_id": None}


@pytest.mark.parametrize("again", ["lost", "released", "queued again"])
def test_another_attempt_has_the_given_values(again):
    job = waiting_job()
    lease = claim()
    match again:
        case "lost":
            expire(job)
        case "released":
            jobs.release(lease, "the daemon shuts down")
        case "queued again":
            jobs.requeue(job.pk, "an owner asked for it")
    assert input_of(job) == KEPT | GIVEN
    second = claims.load(claim())
    assert second is not None
    assert second.job_input == KEPT | GIVEN


def test_a_repeated_end_changes_nothing():
    job = waiting_job()
    lease = claim()
    for _ in range(2):
        jobs.complete(lease, PlanResult())
        assert input_of(job) == KEPT


def test_inputs_of_other_shapes_are_kept():
    for job_input in ({}, {"template_id": None}, {"parameters": 1, "nested": {"parameter_values": ["x"]}}):
        job = make_job(job_input=job_input)
        jobs.fail(claim(), "it failed")
        assert input_of(job) == job_input


def test_the_migration_removes_the_values_of_jobs_that_ended_before():
    organization = make_organization()
    owner = make_user(organizations=(organization,))
    ended = make_template(user=owner, organization=organization).active_version.job
    waiting = waiting_job()
    ProvisionerJob.objects.filter(pk=ended.pk).update(input=KEPT | GIVEN)
    with connection.cursor() as cursor:
        cursor.execute(import_module("provisioning.migrations.0010_ended_jobs_without_values").REMOVE_SQL)
    assert (input_of(ended), input_of(waiting)) == (KEPT, KEPT | GIVEN)
