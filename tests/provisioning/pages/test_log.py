"""The log on pages (stages, states, times) and as a text file."""

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
    """Create a running job with these lines: stage, output, level, seconds after the start."""
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


def test_stages_exclude_their_opening_lines():
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


def test_expected_stages_are_shown_until_success():
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


def test_stage_with_an_error_fails_while_the_job_runs():
    job, _ = written(SETTING_UP, PLANNING, BROKEN)
    assert [(stage.state, stage.seconds) for stage in console(job).stages] == [("succeeded", 2.0), ("failed", None)]
    job, _ = written(SETTING_UP, PLANNING, BROKEN, CLEANING)
    assert [stage.state for stage in console(job).rail if stage.first] == ["succeeded", "failed", "running"]


def test_failed_job_without_error_lines_failed_before_cleanup():
    job, lease = written(SETTING_UP, CLEANING)
    jobs.fail(lease, "out of time")
    shown = console(job)
    assert [(stage.name, stage.state) for stage in shown.rail] == [
        (Stage.SETTING_UP, "failed"),
        (Stage.PERSISTENT, "skipped"),
        (Stage.CLEANING_UP, "succeeded"),
    ]


def test_canceled_job_was_canceled_in_its_last_stage():
    job, lease = written(SETTING_UP, PLANNING)
    jobs.cancel(job.pk)
    jobs.finish_canceled(lease)
    assert [stage.state for stage in console(job).stages] == ["succeeded", "canceled"]


def test_job_without_lines_shows_expected_stages():
    job = make_job()
    shown = console(job)
    assert (shown.stages, shown.count, shown.started_at) == ([], 0, None)
    assert {stage.state for stage in shown.rail} == {"waiting"}


def test_log_takes_one_query(django_assert_num_queries):
    job, _ = written(SETTING_UP, UNPACKED, PLANNING, WARNED)
    with django_assert_num_queries(1):
        log_console(job, follow_url="", raw_url="")


def test_very_long_log_shows_its_end():
    many = [(Stage.SETTING_UP, f"line {number}", LogLevel.DEBUG, 0.0) for number in range(LINES_SHOWN + 10)]
    job, _ = written(*many)
    shown = console(job)
    assert shown.left_out == 10
    assert shown.stages[0].lines[0].number == 11
    assert shown.count == LINES_SHOWN + 10


@pytest.fixture
def short_logs(monkeypatch):
    """Pages show the last three lines of a log."""
    monkeypatch.setattr(log_module, "LINES_SHOWN", 3)


def test_omitted_lines_still_give_start_times(short_logs, django_assert_num_queries):
    worked = [(Stage.PERSISTENT, f"step {number}", LogLevel.INFO, 2.0 + number) for number in range(1, 6)]
    job, _ = written(SETTING_UP, UNPACKED, PLANNING, *worked, (Stage.CLEANING_UP, "", LogLevel.INFO, 9.0))
    with django_assert_num_queries(1 + 2):  # the job; the lines, and the outline of the omitted lines
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


def test_log_without_opening_line_starts_at_its_first_line(short_logs):
    noted = ("", "Written before any stage", LogLevel.WARN, 0.0)
    job, _ = written(noted, (Stage.SETTING_UP, "", LogLevel.INFO, 1.0), UNPACKED, WARNED, BROKEN)
    shown = console(job)
    notes, setting_up, planning = shown.stages
    assert (notes.count, notes.left_out, notes.warnings, notes.seconds) == (1, 1, 1, 1.0)
    assert [line.offset for stage in (setting_up, planning) for line in stage.lines] == [0.5, 3.0, 4.0]
    assert planning.first == 4, "a stage without an opening line begins with its first"


def test_second_attempt_has_its_own_stages():
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
def test_line_count_excludes_opening_lines(lines, said):
    job, _ = written(SETTING_UP, *[UNPACKED] * lines)
    page = page_of(job)
    assert f"Log {said} Find" in text_of(page)
    meta = re.search(r'<span class="meta">\s*(.*?)\s*</span>', page.content.decode())
    assert meta
    assert meta[1] == said


def test_omitted_lines_are_mentioned(short_logs):
    job, _ = written(SETTING_UP, UNPACKED, PLANNING, WARNED, BROKEN)
    text = text_of(page_of(job))
    assert "The first line is in the log as text" in text
    assert "1 line is left out." in text


AGAIN = {"HX-Request": "true", "HX-Target": "job-facts"}


def facts_of(job: ProvisionerJob, shown: str):
    """Return the response to htmx for the facts of a page that shows this status."""
    return browser(job.initiator).get(f"/jobs/{job.pk}?shown={shown}", headers=AGAIN)


def test_job_facts_are_polled_until_the_job_ends():
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


def test_lost_job_that_waits_again_updates_the_page():
    job = make_job()
    claim(tags=job.tags)
    jobs.requeue(job.pk, "ada took it away")
    part = facts_of(job, "running")
    assert text_of(part).startswith("Job Status Pending")
    assert part["HX-Trigger"] == "job-started"


def test_job_facts_are_polled_on_version_pages(owner, organization):
    version = make_version(user=owner, organization=organization, name="next", finished=False)
    client = browser(owner)
    path = f"/versions/{version.pk}"
    assert f'hx-get="{path}" hx-vals=' in client.get(path).content.decode()
    part = client.get(f"{path}?shown=pending", headers=AGAIN)
    assert text_of(part).startswith("Job Status Pending")


def test_cancel_question_matches_the_state_of_the_job():
    job = make_job()
    page = page_of(job).content.decode()
    assert 'hx-select-oob="#job-status:innerHTML,#stages,#job-side,#job-dialogs"' in page
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
