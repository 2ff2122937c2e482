"""The log as pages show it: stages, their states and times; and as a text file."""

import pytest

from provisioning import jobs, logs
from provisioning.engine.base import LogLevel, LogLine, LogSource, PlanResult, Stage
from provisioning.log_console import LINES_SHOWN, log_console, raw_log
from provisioning.models import ProvisionerJob
from provisioning.work import Lease
from tests.factories import claim, make_job

pytestmark = pytest.mark.django_db
START = 1_800_000_000.0


def written(*lines: tuple[str, str, LogLevel, float]) -> tuple[ProvisionerJob, Lease]:
    """A running job with these lines: stage, output, level, seconds after the start."""
    job = make_job()
    lease = claim(tags=job.tags)
    logs.append(
        lease.job_id,
        lease.token,
        [LogLine(LogSource.ENGINE, level, stage, output, START + after) for stage, output, level, after in lines],
    )
    return ProvisionerJob.objects.get(pk=job.pk), lease


def console(job: ProvisionerJob):
    return log_console(ProvisionerJob.objects.get(pk=job.pk), follow_url="/follow", raw_url="/raw")


SETTING_UP = (Stage.SETTING_UP, "", LogLevel.INFO, 0.0)
UNPACKED = (Stage.SETTING_UP, "Unpacked", LogLevel.INFO, 0.5)
PLANNING = (Stage.PERSISTENT, "", LogLevel.INFO, 2.0)
WARNED = (Stage.PERSISTENT, "Careful", LogLevel.WARN, 3.0)
BROKEN = (Stage.PERSISTENT, "Broken", LogLevel.ERROR, 4.0)
CLEANING = (Stage.CLEANING_UP, "", LogLevel.INFO, 5.0)


def test_lines_stand_in_stages_without_the_lines_that_open_them():
    job, _ = written(SETTING_UP, UNPACKED, PLANNING, WARNED)
    shown = console(job)
    first, second = shown.stages
    assert [(line.number, line.output, line.offset) for line in first.lines] == [(2, "Unpacked", 0.5)]
    assert (first.name, first.first, first.seconds, first.state) == (Stage.SETTING_UP, 1, 2.0, "succeeded")
    assert (second.warnings, second.seconds, second.state) == (1, None, "running")
    assert (shown.count, shown.last, shown.first_error) == (4, 4, 0)


def test_a_running_job_is_followed_from_its_last_line():
    job, lease = written(SETTING_UP, UNPACKED)
    assert console(job).follow_url == "/follow?follow&after=2"
    jobs.complete(lease, PlanResult())
    assert console(job).follow_url == ""


def test_stages_to_come_are_named_while_it_runs_and_left_out_when_all_went_well():
    job, lease = written(SETTING_UP, PLANNING)
    assert [(stage.name, stage.state) for stage in console(job).rail] == [
        (Stage.SETTING_UP, "succeeded"),
        (Stage.PERSISTENT, "running"),
        (Stage.CLEANING_UP, "waiting"),
    ]
    jobs.complete(lease, PlanResult())
    assert [stage.state for stage in console(job).rail] == ["succeeded", "succeeded"]


def test_a_failed_job_failed_in_the_stage_with_the_error():
    job, lease = written(SETTING_UP, PLANNING, BROKEN, CLEANING)
    jobs.fail(lease, "broken")
    shown = console(job)
    assert [stage.state for stage in shown.stages] == ["succeeded", "failed", "succeeded"]
    assert shown.first_error == 3


def test_without_an_error_in_its_log_it_failed_before_it_cleaned_up():
    job, lease = written(SETTING_UP, CLEANING)
    jobs.fail(lease, "out of time")
    shown = console(job)
    assert [(stage.name, stage.state) for stage in shown.rail] == [
        (Stage.SETTING_UP, "failed"),
        (Stage.PERSISTENT, "skipped"),
        (Stage.CLEANING_UP, "succeeded"),
    ]


def test_a_canceled_job_was_canceled_where_it_was():
    job, lease = written(SETTING_UP, PLANNING)
    jobs.cancel(job.pk)
    jobs.finish_canceled(lease)
    assert [stage.state for stage in console(job).stages] == ["succeeded", "canceled"]


def test_a_job_without_lines_shows_what_is_to_come():
    job = make_job()
    shown = console(job)
    assert (shown.stages, shown.count, shown.started_at) == ([], 0, None)
    assert {stage.state for stage in shown.rail} == {"waiting"}


def test_a_log_costs_one_query(django_assert_num_queries):
    job, _ = written(SETTING_UP, UNPACKED, PLANNING, WARNED)
    with django_assert_num_queries(1):
        log_console(job, follow_url="", raw_url="")


def test_of_a_very_long_log_the_end_is_shown():
    many = [(Stage.SETTING_UP, f"line {number}", LogLevel.DEBUG, 0.0) for number in range(LINES_SHOWN + 10)]
    job, _ = written(*many)
    shown = console(job)
    assert shown.left_out == 10
    assert shown.stages[0].lines[0].number == 11
    assert shown.count == LINES_SHOWN + 10


def test_the_text_file_has_every_line_and_a_heading_for_each_stage():
    job, _ = written(SETTING_UP, UNPACKED, PLANNING, WARNED)
    lines = b"".join(raw_log(job.pk)).decode().splitlines()
    assert lines == [
        "==> Setting up",
        "2027-01-15T08:00:00.500000Z info  Unpacked",
        "==> Detecting persistent resources",
        "2027-01-15T08:00:03.000000Z warn  Careful",
    ]
