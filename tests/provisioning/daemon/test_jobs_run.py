"""Jobs of the scripted engine in a healthy daemon: real processes, a real database."""

import io
import tarfile

import pytest
from django.db import transaction

from provisioning.models import (
    JobStatus,
    ParameterSchema,
    ParameterScope,
    ParameterValue,
    ProvisionerJobLog,
    WorkspaceResource,
)
from provisioning.notifications import QUEUED
from provisioning.queue import jobs
from templates_app.models import RichParameter
from tests.api import ApiClient
from tests.factories import make_job, make_organization, make_user
from tests.vocabulary import (
    echo,
    log_of,
    queue_dry_run,
    queue_import,
    run_import,
    tar_of,
    wait_for_job,
    wait_for_log,
    wait_until,
)

pytestmark = pytest.mark.django_db(transaction=True)

AGENT = {"name": "main", "operating_system": "linux", "architecture": "amd64", "apps": [{"slug": "code"}]}
PLAN = {
    "logs": [
        ["info", "Detecting persistent resources", "planning"],
        ["info", "Detecting ephemeral resources", "planning again"],
    ],
    "start": {
        "resources": [{"name": "dev", "type": "vm", "agents": [AGENT]}, {"name": "disk", "type": "volume"}],
        "rich_parameters": [{"name": "size", "default_value": "small"}],
    },
    "stop": {"resources": [{"name": "disk", "type": "volume"}]},
}


def test_an_import_stores_its_results(daemon):
    source = {
        "README.md": "# Hello\x00 \N{SNOWMAN}",
        **echo(PLAN, {"variables": [{"name": "region", "default_source_value": "eu"}]}),
    }
    job, version = run_import(source)
    assert (job.status, job.error) == (JobStatus.SUCCEEDED, "")
    assert version.readme == "# Hello \N{SNOWMAN}"
    assert list(ParameterSchema.objects.filter(job=job).values_list("name", flat=True)) == ["region"]
    found = WorkspaceResource.objects.filter(job=job).order_by("workspace_transition", "name")
    assert [(row.workspace_transition, row.type, row.name) for row in found] == [
        ("start", "vm", "dev"),
        ("start", "volume", "disk"),
        ("stop", "volume", "disk"),
    ]
    assert found.get(name="dev").agents.get().apps.get().slug == "code"
    assert RichParameter.objects.get(template_version=version).name == "size"


def test_every_stage_of_a_log_starts_with_one_empty_line(daemon):
    job, _ = run_import({"readme.MD": "x", "terraform.tfstate": "{}", **echo(PLAN)})
    by_daemon, by_engine = "provisioner_daemon", "provisioner"
    assert log_of(job) == [
        (by_daemon, "info", "Setting up", ""),
        (by_daemon, "info", "Setting up", "Left out of the archive: terraform.tfstate"),
        (by_daemon, "info", "Adding README.md...", ""),
        (by_daemon, "info", "Parsing template parameters", ""),
        (by_daemon, "info", "Detecting persistent resources", ""),
        (by_engine, "info", "Detecting persistent resources", "planning"),
        (by_daemon, "info", "Detecting ephemeral resources", ""),
        (by_engine, "info", "Detecting ephemeral resources", "planning again"),
        (by_daemon, "info", "Cleaning Up", ""),
    ]
    assert list(job.logs.order_by("id").values_list("id", flat=True)) == list(range(1, 10))


def test_a_missing_readme_is_logged(daemon):
    job, version = run_import(echo())
    assert ("provisioner_daemon", "debug", "No README.md provided", "") in log_of(job)
    assert version.readme == ""


@pytest.mark.parametrize(
    ("readme", "stored"),
    [(b"\xff\xfeok", "\ufffd\ufffdok"), (b"x" * (1024 * 1024 + 1), "")],
    ids=["no UTF-8", "too large"],
)
def test_unusual_readmes_are_handled(daemon, readme, stored):
    job, version = run_import({"README.md": readme, **echo()})
    assert job.status == JobStatus.SUCCEEDED
    assert version.readme == stored


@pytest.mark.promise("S13")
def test_thousands_of_lines_are_complete_and_in_order(daemon):
    job, _ = run_import(echo({"lines": 5000}))
    outputs = job.logs.filter(source="provisioner").order_by("id").values_list("output", flat=True)
    assert list(outputs) == [f"line {number}" for number in range(1, 5001)]
    assert job.log_count == ProvisionerJobLog.objects.filter(job=job).count()


@pytest.mark.promise("S13")
def test_a_line_break_in_output_starts_another_line(daemon):
    script = {"logs": [["warn", "Detecting persistent resources", "one\ntwo\r\n\n\x1b[31mthree"]]}
    job, _ = run_import(echo(script))
    assert [output for source, level, _, output in log_of(job) if source == "provisioner" and level == "warn"] == [
        "one",
        "two",
        "[31mthree",
    ]


def test_a_variable_without_a_value_fails_the_import(daemon):
    job, _ = run_import(echo(parse={"variables": [{"name": "region"}]}))
    assert (job.status, job.error) == (JobStatus.FAILED, "missing parameter: region")
    assert log_of(job)[-1][2] == "Cleaning Up"


def test_links_in_an_upload_are_left_out_and_named(daemon):
    """The case of a harmless link in a folder: in the response, in the log, and in a folder that is pushed."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, link in (("echo.json", ""), ("node_modules/.bin/x", "../x.js"), (".git", "/elsewhere")):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = (tarfile.SYMTYPE, link) if link else (tarfile.REGTYPE, "")
            info.size = 0 if link else 2
            tar.addfile(info, io.BytesIO(b"{}"))
    user = make_user(organizations=(make_organization(),))
    api = ApiClient(user)
    answer = api.call("POST", "files", raw=buffer.getvalue(), content_type="application/x-tar")
    assert answer.status_code == 201
    assert answer.body["left_out"] == ["node_modules/.bin/x", ".git"]
    data = api.get(f"files/{answer.body['hash']}").raw
    assert b"elsewhere" not in data
    job, _ = run_import(data)
    assert job.status == JobStatus.SUCCEEDED
    left_out = "Left out of the archive: node_modules/.bin/x (a symbolic link), .git"
    assert left_out in [output for *_, output in log_of(job)]
    plain = api.call("POST", "files", raw=tar_of(echo()), content_type="application/x-tar")
    assert list(plain.body) == ["hash"]


def test_a_variable_whose_default_is_null_is_optional(daemon):
    version = queue_import(echo(parse={"variables": [{"name": "proxy", "default_is_null": True}]}))
    assert wait_for_job(version.job).status == JobStatus.SUCCEEDED
    assert wait_for_job(queue_dry_run(version)).status == JobStatus.SUCCEEDED
    schema = ParameterSchema.objects.get(job=version.job)
    assert (schema.default_source_scheme, schema.is_required) == ("none", False)


def test_values_of_the_import_reach_the_plan(daemon):
    version = queue_import(echo(parse={"variables": [{"name": "echo.exec"}]}), provisioner="echo", tags={"scope": "x"})
    ParameterValue.objects.create(
        scope=ParameterScope.IMPORT_JOB,
        scope_id=version.job_id,
        name="echo.exec",
        source_scheme="data",
        source_value="error=as told",
        destination_scheme="provisioner_variable",
    )
    release_held(version.job)
    job = wait_for_job(version.job)
    assert (job.status, job.error) == (JobStatus.FAILED, "as told")


def release_held(job):
    """Let the daemon claim a job that was queued with tags that the daemon does not have."""
    held = type(job).objects.get(pk=job.pk)
    held.tags = {"scope": "organization"}
    with transaction.atomic():
        held.save(update_fields=["tags"])
        jobs._notify(QUEUED, held.pk)


@pytest.mark.promise("S11")
def test_sensitive_values_are_masked_in_log_and_error(daemon):
    secret = "hunter2-hunter2"
    plan = {"logs": [["info", "Detecting persistent resources", f"token is {secret}!"]], "error": f"no {secret}"}
    variables = [{"name": "token", "sensitive": True, "default_source_value": secret}]
    job, _ = run_import(echo(plan, {"variables": variables}))
    assert job.error == "no ********"
    assert "token is ********!" in [output for *_, output in log_of(job)]


@pytest.mark.parametrize(
    ("source", "error"),
    [
        (echo({"error": "the plan is bad\x00"}), "the plan is bad"),
        (echo(parse={"error": "main.tf:1: what?"}), "main.tf:1: what?"),
        ({"main.tf": ""}, "echo.json cannot be read: No such file or directory"),
        (tar_of({"../up.tf": "x"}), "The archive member '../up.tf' points outside the archive."),
        (b"testing", "The file is not an archive or is broken. No member can be read: it ends within a header."),
        (
            echo({"start": {"resources": [{"name": "n\0", "type": "vm"}]}}),
            'the job\'s results cannot be stored: resource "n\ufffd": the name contains the character NUL',
        ),
        (echo(parse={"variables": [{"name": "v"}, {"name": "v"}]}), "the job's results cannot be stored"),
        (
            echo({"start": {"resources": [{"name": "r", "type": "vm", "daily_cost": 10**20}]}}),
            "echo.json: Expected `int` <= 9223372036854775807 - at `$.plan.start.resources[0].daily_cost`",
        ),
    ],
)
def test_failures_end_the_job_with_their_reason(daemon, source, error):
    job, _ = run_import(source)
    assert job.status == JobStatus.FAILED
    assert job.error.startswith(error)
    assert not WorkspaceResource.objects.filter(job=job).exists()


def test_an_import_without_a_file_fails(daemon):
    version = queue_import(echo(), tags={"scope": "x"})
    type(version.job).objects.filter(pk=version.job_id).update(file=None)
    release_held(version.job)
    job = wait_for_job(version.job)
    assert (job.status, job.error) == (JobStatus.FAILED, "no source: the template version was created without a file")


def test_a_build_job_fails_with_a_reason(daemon):
    job = wait_for_job(make_job(job_type="unknown"))
    assert (job.status, job.error) == (JobStatus.FAILED, "this daemon cannot run jobs of type unknown")


# ---------------------------------------------------------------------- dry runs
def test_a_dry_run_plans_with_the_given_values(daemon):
    variables = [{"name": "echo.exec", "default_source_value": "success="}, {"name": "region"}]
    version = queue_import(echo(PLAN, {"variables": variables}))
    wait_for_job(version.job)
    job = wait_for_job(queue_dry_run(version, {"region": "eu"}))
    assert job.status == JobStatus.SUCCEEDED
    assert {row.workspace_transition for row in WorkspaceResource.objects.filter(job=job)} == {"start"}
    assert [stage for _, _, stage, output in log_of(job) if not output][:2] == [
        "Setting up",
        "Detecting persistent resources",
    ]
    job = wait_for_job(queue_dry_run(version, {"region": "eu", "echo.exec": "error=not today"}))
    assert (job.status, job.error) == (JobStatus.FAILED, "not today")


def test_a_dry_run_without_a_value_fails_before_it_starts(daemon):
    version = queue_import(echo(parse={"variables": [{"name": "region"}]}))
    wait_for_job(version.job)
    job = wait_for_job(queue_dry_run(version))
    assert (job.status, job.error) == (JobStatus.FAILED, "missing parameter: region")
    assert log_of(job) == []


def test_a_job_with_an_invalid_input_fails_once(daemon):
    job = wait_for_job(make_job(job_input={"rich_parameter_values": ["x"]}))
    assert (job.status, job.attempts) == (JobStatus.FAILED, 1)
    assert job.error == "internal error: the job's input is invalid"


# ---------------------------------------------------------------------- cancel
@pytest.mark.promise("R6")
def test_cancel_interrupts_a_running_job(daemon):
    version = queue_import(echo({"hang": True}))
    wait_for_log(version.job, stage="Detecting persistent resources")
    jobs.cancel(version.job_id)
    job = wait_for_job(version.job, 5)
    assert (job.status, job.error) == (JobStatus.CANCELED, "")
    assert (job.completed_at - job.canceled_at).total_seconds() < 1


@pytest.mark.promise("R6")
def test_a_job_that_ignores_its_cancellation_is_killed(daemon):
    version = queue_import(echo({"hang": True, "ignore_stop": True}))
    wait_for_log(version.job, stage="Detecting persistent resources")
    jobs.cancel(version.job_id)
    job = wait_for_job(version.job, 8)
    assert (job.status, job.error) == (JobStatus.CANCELED, "")
    assert 0.9 < (job.completed_at - job.canceled_at).total_seconds() < 5


def test_a_job_canceled_while_pending_never_runs(daemon):
    hanging = [queue_import(echo({"hang": True})) for _ in range(2)]
    for version in hanging:
        wait_for_log(version.job, stage="Detecting persistent resources")
    waiting = queue_import(echo())
    jobs.cancel(waiting.job_id)
    for version in hanging:
        jobs.cancel(version.job_id)
    for version in hanging:
        wait_for_job(version.job)
    job = wait_for_job(waiting.job)
    assert (job.status, job.started_at, log_of(job)) == (JobStatus.CANCELED, None, [])


# ---------------------------------------------------------------------- failing runners
def test_a_runner_that_ends_without_a_result_fails_the_job(daemon):
    job, _ = run_import(echo({"crash": True}))
    assert (job.status, job.error) == (JobStatus.FAILED, "the job's process ended unexpectedly (exit status 70)")


def test_finished_jobs_leave_no_processes_or_folders(daemon):
    for _ in range(3):
        run_import(echo())
    wait_until(lambda: len(daemon.runners()) == 2, what="no more than the two spares")
