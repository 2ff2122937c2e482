"""The log as pages show it: stages, their states and times; and as a text file."""

import re

import pytest

from provisioning.engine.base import LogLevel, LogLine, LogSource, PlanResult, Stage
from provisioning.log import writing
from provisioning.models import ProvisionerJob
from provisioning.pages import log as log_module
from provisioning.pages.log import LINES_SHOWN, log_console, raw_log
from provisioning.protocol.leases import Lease
from provisioning.queue import jobs
from tests.factories import claim, make_job, make_version
from tests.pages import browser, text_of

pytestmark = pytest.mark.django_db
START = 1_800_000_000.0


def written(*lines: tuple[str, str, LogLevel, float]) -> tuple[ProvisionerJob, Lease]:
    """A running job with these lines: stage, output, level, seconds after the start."""
    job = make_job()
    lease = claim(tags=job.tags)
    writing.append(
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
    assert (shown.count, shown.last, shown.first_error) == (2, 4, 0)
    assert [stage.count for stage in shown.stages] == [1, 1]


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


def test_so_does_a_stage_with_an_error_while_the_job_goes_on():
    job, _ = written(SETTING_UP, PLANNING, BROKEN)
    assert [(stage.state, stage.seconds) for stage in console(job).stages] == [("succeeded", 2.0), ("failed", None)]
    job, _ = written(SETTING_UP, PLANNING, BROKEN, CLEANING)
    assert [stage.state for stage in console(job).rail if stage.first] == ["succeeded", "failed", "running"]


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


@pytest.fixture
def short_logs(monkeypatch):
    """Of every log the last three lines are shown."""
    monkeypatch.setattr(log_module, "LINES_SHOWN", 3)


def test_what_is_left_out_still_says_when_the_job_and_its_stages_began(short_logs, django_assert_num_queries):
    worked = [(Stage.PERSISTENT, f"step {number}", LogLevel.INFO, 2.0 + number) for number in range(1, 6)]
    job, _ = written(SETTING_UP, UNPACKED, PLANNING, *worked, (Stage.CLEANING_UP, "", LogLevel.INFO, 9.0))
    with django_assert_num_queries(1 + 2):  # the job; the lines, and the outline of what is left out
        shown = console(job)
    assert [(stage.name, stage.first, stage.seconds, stage.state) for stage in shown.stages] == [
        (Stage.SETTING_UP, 1, 2.0, "succeeded"),
        (Stage.PERSISTENT, 3, 7.0, "succeeded"),
        (Stage.CLEANING_UP, 9, None, "running"),
    ]
    assert [(line.output, line.offset) for line in shown.stages[1].lines] == [("step 4", 6.0), ("step 5", 7.0)]
    assert [(stage.count, stage.left_out) for stage in shown.stages] == [(1, 1), (5, 3), (0, 0)]
    assert (shown.count, shown.left_out, shown.last) == (6, 4, 9)
    assert [stage.state for stage in shown.rail] == ["succeeded", "succeeded", "running"]


def test_a_log_that_opens_with_a_line_of_its_own_counts_from_there(short_logs):
    noted = ("", "Written before any stage", LogLevel.WARN, 0.0)
    job, _ = written(noted, (Stage.SETTING_UP, "", LogLevel.INFO, 1.0), UNPACKED, WARNED, BROKEN)
    shown = console(job)
    notes, setting_up, planning = shown.stages
    assert (notes.count, notes.left_out, notes.warnings, notes.seconds) == (1, 1, 1, 1.0)
    assert [line.offset for stage in (setting_up, planning) for line in stage.lines] == [0.5, 3.0, 4.0]
    assert planning.first == 4, "a stage without an opening line begins with its first"


def test_a_second_attempt_has_stages_of_its_own():
    job, _ = written(SETTING_UP, UNPACKED, PLANNING, SETTING_UP, UNPACKED)
    shown = console(job)
    assert [(stage.name, stage.first) for stage in shown.rail if stage.first] == [
        (Stage.SETTING_UP, 1),
        (Stage.PERSISTENT, 3),
        (Stage.SETTING_UP, 4),
    ]


# ---------------------------------------------------------------------- on a page
def page_of(job: ProvisionerJob, **headers: str):
    return browser(job.initiator).get(f"/jobs/{job.pk}", headers=headers)


@pytest.mark.parametrize(("lines", "said"), [(1, "1 line"), (2, "2 lines")])
def test_lines_are_counted_once_without_those_that_open_stages(lines, said):
    job, _ = written(SETTING_UP, *[UNPACKED] * lines)
    page = page_of(job)
    assert f"Log {said} Find" in text_of(page)
    meta = re.search(r'<span class="meta">\s*(.*?)\s*</span>', page.content.decode())
    assert meta
    assert meta[1] == said


def test_what_is_left_out_is_said_to_be(short_logs):
    job, _ = written(SETTING_UP, UNPACKED, PLANNING, WARNED, BROKEN)
    text = text_of(page_of(job))
    assert "The first line is in the log as text" in text
    assert "1 line is left out." in text


AGAIN = {"HX-Request": "true", "HX-Target": "job-facts"}


def facts_of(job: ProvisionerJob, shown: str):
    """What htmx gets in place of the facts of a page that shows this status."""
    return browser(job.initiator).get(f"/jobs/{job.pk}?shown={shown}", headers=AGAIN)


def test_the_facts_of_a_job_are_asked_for_alone_until_it_has_ended():
    job = make_job()
    page = page_of(job).content.decode()
    assert f"""hx-get="/jobs/{job.pk}" hx-vals='{{"shown": "pending"}}' hx-trigger="every 3s\"""" in page
    part = facts_of(job, "pending")
    assert text_of(part).startswith("Job Status Pending")
    assert "Position in queue 1 of 1" in text_of(part)
    assert "Cannot start" in text_of(part)
    assert "HX-Trigger" not in part
    lease = claim(tags=job.tags)
    part = facts_of(job, "pending")
    assert text_of(part).startswith("Job Status Running")
    assert """hx-vals='{"shown": "running"}' hx-trigger="every 15s\"""" in part.content.decode()
    assert part["HX-Trigger"] == "job-started"
    assert "HX-Trigger" not in facts_of(job, "running")
    jobs.complete(lease, PlanResult())
    part = facts_of(job, "running")
    assert part["HX-Trigger"] == "job-started"
    assert "hx-trigger" not in part.content.decode()


def test_a_job_that_was_lost_and_waits_again_is_shown_to():
    job = make_job()
    claim(tags=job.tags)
    jobs.requeue(job.pk, "ada took it away")
    part = facts_of(job, "running")
    assert text_of(part).startswith("Job Status Pending")
    assert part["HX-Trigger"] == "job-started"


def test_so_they_are_on_the_page_of_a_version(owner, organization):
    version = make_version(user=owner, organization=organization, name="next", finished=False)
    client = browser(owner)
    path = f"/versions/{version.pk}"
    assert f'hx-get="{path}" hx-vals=' in client.get(path).content.decode()
    part = client.get(f"{path}?shown=pending", headers=AGAIN)
    assert text_of(part).startswith("Job Status Pending")


def test_the_question_before_canceling_is_renewed_with_the_page():
    job = make_job()
    page = page_of(job).content.decode()
    assert 'hx-select-oob="#stages,#job-side,#job-dialogs"' in page
    dialogs = page[page.index('<div id="job-dialogs">') :]
    assert "The job has not started and will never start." in dialogs
    claim(tags=job.tags)
    assert "The daemon interrupts the job" in page_of(job).content.decode()


def test_the_text_file_has_every_line_and_a_heading_for_each_stage():
    job, _ = written(SETTING_UP, UNPACKED, PLANNING, WARNED)
    lines = b"".join(raw_log(job.pk)).decode().splitlines()
    assert lines == [
        "==> Setting up",
        "2027-01-15T08:00:00.500000Z info  Unpacked",
        "==> Detecting persistent resources",
        "2027-01-15T08:00:03.000000Z warn  Careful",
    ]
