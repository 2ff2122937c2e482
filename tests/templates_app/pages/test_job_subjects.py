"""The jobs of a template: which are found, and with which indexes."""

import uuid
from typing import Any

import pytest
from django.db import connection

from coderproj.identity.actor import Actor
from provisioning.models import ProvisionerJob
from templates_app.job_kinds import JobType
from templates_app.pages import job_subjects
from templates_app.pages.job_subjects import about_templates
from templates_app.workspaces.job_kinds import BUILD_TYPE
from tests.factories import make_job, make_template, make_user, make_version

pytestmark = pytest.mark.django_db


@pytest.fixture
def web(owner, organization):
    """A template with an import, a dry run and a build; another template with an import and a dry run."""
    templates = [make_template(user=owner, organization=organization, name=name) for name in ("web", "other")]
    for template, kinds in zip(templates, ((JobType.DRY_RUN, BUILD_TYPE), (JobType.DRY_RUN,)), strict=True):
        given = {"template_version_id": str(template.active_version_id)}
        for kind in kinds:
            make_job(user=owner, organization=organization, job_type=kind, job_input=given)
    return templates[0]


def jobs_of(template):
    runs = ProvisionerJob.objects.filter(input__template_version_id=str(template.active_version_id))
    return {template.active_version.job_id, *runs.exclude(type=JobType.IMPORT).values_list("pk", flat=True)}


@pytest.mark.parametrize("few", [0, 1, 2, 1000])
def test_few_and_many_runs_are_found_alike(owner, web, monkeypatch, few):
    monkeypatch.setattr(job_subjects, "FEW_RUNS", few)
    found = ProvisionerJob.objects.filter(about_templates(Actor.of(owner), "WE"))
    assert len(found) == 3
    assert {job.pk for job in found} == jobs_of(web)


def test_two_queries_with_matching_templates_one_without(owner, web, django_assert_num_queries):
    actor = Actor.of(owner)
    with django_assert_num_queries(2):
        about_templates(actor, "web")
    with django_assert_num_queries(1):
        nothing = about_templates(actor, "nothing")
    assert list(ProvisionerJob.objects.filter(nothing)) == []


def test_access_lists_and_deletion(owner, web, organization):
    member = Actor.of(make_user(organizations=(organization,)))
    found = ProvisionerJob.objects.filter(about_templates(member, "web"))
    assert len(found) == 3
    web.deleted = True
    web.save()
    assert len(found.all()) == 3
    web.access.all().delete()
    assert not ProvisionerJob.objects.filter(about_templates(member, "web"))


@pytest.mark.parametrize(("few", "indexes"), [(1000, {"pkey"}), (0, {"pkey", "runs"})])
def test_a_prepared_statement_finds_jobs_by_indexes(owner, web, monkeypatch, few, indexes):
    """PostgreSQL can plan a prepared statement before it knows the parameters."""
    monkeypatch.setattr(job_subjects, "FEW_RUNS", few)
    jobs = ProvisionerJob.objects.filter(about_templates(Actor.of(owner), "web")).order_by()
    sql, parameters = jobs.values("pk").query.sql_with_params()
    numbers = [f"${number}" for number, _ in enumerate(parameters, 1)]
    nothing = ", ".join("NULL" for _ in parameters)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        cursor.execute(f"PREPARE found AS {sql % tuple(numbers)}")
        cursor.execute(f"EXPLAIN EXECUTE found ({nothing})")
        plan = "\n".join(line for (line,) in cursor.fetchall())
        cursor.execute("DEALLOCATE found")
    assert {name for name in ("pkey", "runs") if f"_{name}" in plan} == indexes


def test_few_runs_among_many_jobs_are_found_by_the_index(owner, web, organization, monkeypatch):
    """PostgreSQL assumes that a version has one run in two hundred, and would read the table until it has a page."""
    monkeypatch.setattr(job_subjects, "FEW_RUNS", 5)
    for _ in range(9):
        make_version(user=owner, organization=organization, template=web, finished=False)
    other = {"initiator": owner, "organization": organization, "type": JobType.DRY_RUN}
    ProvisionerJob.objects.bulk_create(
        ProvisionerJob(input={"template_version_id": str(uuid.uuid4())}, **other) for _ in range(2000)
    )
    statements: list[tuple[str, Any]] = []

    def keep(execute: Any, sql: str, parameters: Any, many: bool, context: Any) -> Any:
        statements.append((sql, parameters))
        return execute(sql, parameters, many, context)

    actor = Actor.of(owner)
    with connection.execute_wrapper(keep):
        about_templates(actor, "web")
    _, (sql, parameters) = statements
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE provisioning_provisionerjob")
        cursor.execute(f"EXPLAIN {sql}", parameters)
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "Index Scan using provisioning_job_runs" in plan
