"""Pages of jobs: the queue, a job, canceling, the log as text."""

import re
from datetime import timedelta

import pytest
from pytest_django.asserts import assertContains

from coderproj.identity.actor import Actor
from provisioning.models import ProvisionerJob
from provisioning.pages import jobs as job_pages
from provisioning.queue.figures import daemon_figures, job_figures
from tests.factories import claim, finish, make_job, make_organization, make_template, make_user, make_version
from tests.pages import browser, text_of
from tests.provisioning.queue.test_matching import make_daemon

pytestmark = pytest.mark.django_db


def test_empty_queue_is_explained(owner):
    text = text_of(browser(owner).get("/jobs"))
    said = ("No job is running.", "The queue is empty.", "No daemon has registered", "No job has finished yet.")
    assert [sentence for sentence in said if sentence not in text] == []


def test_jobs_are_listed_by_state(owner, organization):
    template = make_template(user=owner, organization=organization, name="web", display_name="Web machines")
    make_daemon()
    make_version(user=owner, organization=organization, template=template, name="waits", finished=False)
    make_version(user=owner, organization=organization, name="unattached", finished=False)
    text = text_of(browser(owner).get("/jobs"))
    assert "Waiting 2, in the order of the queue" in text
    assert "Import waits Web machines" in text
    assert "Import unattached" in text
    assert f"Import {template.active_version.name} Web machines" in text


def test_long_queue_shows_its_start_and_the_total(owner, organization):
    for _ in range(27):
        make_job(user=owner, organization=organization)
    answer = browser(owner).get("/jobs")
    assert "Waiting 27, the first 25 in the order of the queue Show all 27 waiting jobs" in text_of(answer)
    assert answer.content.decode().count('data-label="Position"') == 25
    assert "27 jobs" not in text_of(answer)
    assert "25 jobs of the first 25 can't start." in text_of(answer)


@pytest.fixture
def short_lists(monkeypatch):
    monkeypatch.setattr(job_pages, "SHOWN_AT_MOST", 2)
    monkeypatch.setattr(job_pages, "LIST_SIZE", 2)


def test_running_jobs_are_counted_and_have_their_own_page(owner, organization, short_lists):
    daemon = make_daemon()
    ids = [str(make_job(user=owner, organization=organization).pk)[:8] for _ in range(3)]
    for _ in ids:
        claim(daemon_id=daemon.pk, tags={"scope": "organization"})
    for job in ProvisionerJob.objects.all():  # in the order of ``ids``
        started_at = job.created_at + timedelta(seconds=ids.index(str(job.pk)[:8]))
        ProvisionerJob.objects.filter(pk=job.pk).update(started_at=started_at)
    client = browser(owner)
    answer = client.get("/jobs")
    assert "Running 3, the 2 that started first Show all 3 running jobs" in text_of(answer)
    assert 'href="/jobs?list=running"' in answer.content.decode()
    assert ids[2] not in text_of(answer)
    pages = [text_of(client.get(f"/jobs?list=running&page={page}")) for page in (1, 2, 3)]
    assert [[id_ in page for id_ in ids] for page in pages] == [[True, True, False], [False, False, True], [False] * 3]
    assert ["Running 3 " in page for page in pages] == [True] * 3
    assert ["Next" in page for page in pages] == [True, False, False]
    assert ["Previous" in page for page in pages] == [False, True, True]
    assert "This page is past the end of the list." in pages[2]


def test_waiting_jobs_have_their_own_page(owner, organization, short_lists):
    for _ in range(3):
        make_job(user=owner, organization=organization)
    client = browser(owner)
    assert 'href="/jobs?list=waiting"' in client.get("/jobs").content.decode()
    positions = re.compile(r'data-label="Position">(\d+)<')
    pages = [client.get(f"/jobs?list=waiting&page={page}").content.decode() for page in (1, 2)]
    assert [positions.findall(page) for page in pages] == [["1", "2"], ["3"]]
    assert 'hx-get="/jobs?list=waiting&amp;page=2"' in pages[1]


@pytest.mark.parametrize(("kind", "text"), [("running", "No job is running."), ("waiting", "The queue is empty.")])
def test_list_of_one_state_is_refreshed_alone(owner, kind, text):
    client = browser(owner)
    assert f"{kind.capitalize()} jobs" in text_of(client.get(f"/jobs?list={kind}"))
    part = client.get(f"/jobs?list={kind}", headers={"HX-Request": "true"})
    assert "<html" not in part.content.decode()
    assert text in text_of(part)
    assert "Show all" not in text_of(part)


def test_lists_do_not_show_hidden_jobs(owner, organization, short_lists):
    member = make_user(organizations=(organization,))
    own = make_job(user=member, organization=organization)
    for _ in range(3):
        make_job(user=owner, organization=organization)
    text = text_of(browser(member).get("/jobs?list=waiting"))
    assert "Waiting 1, in the order of the queue" in text
    assert str(own.pk)[:8] in text


def test_unknown_list_shows_the_normal_page(owner):
    assert "No job has finished yet." in text_of(browser(owner).get("/jobs?list=nonsense"))


def test_a_job_that_cannot_start_is_announced(owner, organization):
    make_job(user=owner, organization=organization, tags={"scope": "organization", "gpu": "a100"})
    text = text_of(browser(owner).get("/jobs"))
    assert "1 job can't start. No matching daemon is online." in text
    make_daemon()
    text = text_of(browser(owner).get("/jobs"))
    assert "1 job can't start. No online daemon has gpu=a100 ." in text


def test_htmx_request_returns_only_the_queue(owner):
    answer = browser(owner).get("/jobs", headers={"HX-Request": "true"})
    assert "<html" not in answer.content.decode()
    assert "The queue is empty." in text_of(answer)


def test_history_restore_returns_the_whole_page(owner, organization):
    make_version(user=owner, organization=organization, name="good")
    restore = {"HX-Request": "true", "HX-History-Restore-Request": "true"}
    text = text_of(browser(owner).get("/jobs", headers=restore))
    assert "Succeeded Import good" in text
    assert "Result Any Succeeded Failed Canceled" in text


def test_daemons_and_their_jobs_link_to_their_pages(owner, organization):
    daemon = make_daemon()
    job = make_job(user=owner, organization=organization)
    claim(daemon_id=daemon.pk, tags=job.tags)
    page = browser(owner).get("/jobs").content.decode().partition('id="daemons"')[2].partition("</section>")[0]
    assert f'href="/daemons/{daemon.pk}"' in page
    assert f'href="/jobs/{job.pk}"' in page


def test_member_sees_only_own_jobs(owner, organization):
    member = make_user(organizations=(organization,))
    own = make_job(user=member, organization=organization)
    other = make_job(user=owner, organization=organization)
    client = browser(member)
    assert "Waiting 1," in text_of(client.get("/jobs"))
    assert client.get(f"/jobs/{own.pk}").status_code == 200
    for path in (f"/jobs/{other.pk}", f"/jobs/{other.pk}/cancel", f"/jobs/{other.pk}/log.txt"):
        assert client.get(path).status_code == 404
    assert client.post(f"/jobs/{other.pk}/cancel").status_code == 404
    other.refresh_from_db()
    assert other.status == "pending"


def test_daemon_with_hidden_jobs_is_busy_without_details(owner, organization):
    job = make_job(user=owner, organization=organization)
    daemon = make_daemon()
    claim(daemon_id=daemon.pk, tags=job.tags)
    text = text_of(browser(make_user(organizations=(organization,))).get("/jobs"))
    assert "Busy Busy with jobs of other users" in text
    assert str(job.pk)[:8] not in text


def test_a_job_is_canceled_after_a_question(owner, organization):
    job = make_job(user=owner, organization=organization)
    client = browser(owner)
    assert "The job has not started and will never start." in text_of(client.get(f"/jobs/{job.pk}/cancel"))
    job.refresh_from_db()
    assert job.status == "pending"
    assert client.post(f"/jobs/{job.pk}/cancel")["Location"] == f"/jobs/{job.pk}"
    job.refresh_from_db()
    assert job.status == "canceled"
    assert client.post(f"/jobs/{job.pk}/cancel").status_code == 400


def test_waiting_job_shows_position_and_reason(owner, organization):
    make_job(user=owner, organization=organization)
    job = make_job(user=owner, organization=organization, tags={"gpu": "a100"})
    text = text_of(browser(owner).get(f"/jobs/{job.pk}"))
    assert "Position in queue 2 of 2" in text
    assert "Cannot start No matching daemon is online" in text


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (
            "missing parameter: region\nGive it a value.",
            "<strong>missing parameter: region</strong><p class=detail>Give it a value.</p>",
        ),
        ("x" * 161, f"<strong>The job failed</strong><p class=detail>{'x' * 161}</p>"),
    ],
)
def test_failed_job_shows_the_error(owner, organization, error, shown):
    job = make_job(user=owner, organization=organization)
    finish(job, error=error)
    answer = browser(owner).get(f"/jobs/{job.pk}")
    assertContains(answer, f'<div class="note-text">{shown}</div>', html=True)
    assert "Failed" in text_of(answer)


def test_log_can_be_downloaded(owner, organization):
    job = make_job(user=owner, organization=organization)
    answer = browser(owner).get(f"/jobs/{job.pk}/log.txt")
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    assert "attachment" in answer["Content-Disposition"]


# ---------------------------------------------------------------------- figures
def test_figures_count_visible_jobs(owner, organization, django_assert_num_queries):
    member = make_user(organizations=(organization,))
    finish(make_job(user=member, organization=organization))
    finish(make_job(user=owner, organization=organization), error="broken")
    for error in (None, "unreadable"):  # imports do not count as runs of developers
        make_version(user=owner, organization=organization, error=error)
    running = make_job(user=owner, organization=organization)
    claim(daemon_id=make_daemon().pk, tags=running.tags)
    make_job(user=owner, organization=organization)
    actor = Actor.of(owner)
    with django_assert_num_queries(1):
        all_jobs = job_figures(actor)
    assert (all_jobs.running, all_jobs.waiting, all_jobs.succeeded, all_jobs.failed) == (1, 1, 1, 1)
    assert (all_jobs.success_rate, all_jobs.users_today, all_jobs.active) == (50, 2, 2)
    own = job_figures(Actor.of(member))
    assert (own.running, own.waiting, own.succeeded, own.failed, own.users_today) == (0, 0, 1, 0, 1)


def test_figures_count_online_and_known_daemons():
    make_daemon()
    make_daemon(age_seconds=90)
    figures = daemon_figures()
    assert (figures.online, figures.known) == (1, 2)


def test_rates_without_jobs_do_not_divide_by_zero():
    organization = make_organization()
    figures = job_figures(Actor.of(make_user(organizations=(organization,))))
    assert figures.success_rate is None
    assert ProvisionerJob.objects.count() == 0
