"""Pages of jobs: the queue, a job, canceling, the log as text."""

import re
from datetime import timedelta

import pytest
from pytest_django.asserts import assertContains

from coderproj.identity import users
from coderproj.identity.actor import Actor
from coderproj.identity.models import Membership
from provisioning.figures import daemon_figures, job_figures
from provisioning.filters import JobFilter
from provisioning.models import ProvisionerJob
from provisioning.pages import jobs as job_pages
from tests.factories import claim, finish, make_job, make_organization, make_template, make_user, make_version
from tests.pages import browser, text_of
from tests.provisioning.test_matching import make_daemon

pytestmark = pytest.mark.django_db


def test_an_empty_queue_says_so(owner):
    text = text_of(browser(owner).get("/jobs"))
    said = ("Nothing is running.", "The queue is empty.", "No daemon has registered", "No job has finished yet.")
    assert [sentence for sentence in said if sentence not in text] == []


def test_jobs_stand_where_they_belong(owner, organization):
    template = make_template(user=owner, organization=organization, name="web", display_name="Web machines")
    make_daemon()
    make_version(user=owner, organization=organization, template=template, name="waits", finished=False)
    make_version(user=owner, organization=organization, name="unattached", finished=False)
    text = text_of(browser(owner).get("/jobs"))
    assert "Waiting 2, in the order of the queue" in text
    assert "Import waits Web machines" in text
    assert "Import unattached" in text
    assert f"Import {template.active_version.name} Web machines" in text


def test_of_a_long_queue_the_beginning_is_shown_and_all_are_counted(owner, organization):
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


def test_jobs_that_run_are_counted_and_all_are_shown_on_a_page_of_their_own(owner, organization, short_lists):
    daemon = make_daemon()
    ids = [str(make_job(user=owner, organization=organization).pk)[:8] for _ in range(3)]
    for _ in ids:
        claim(daemon_id=daemon.pk, tags={"scope": "organization"})
    for job in ProvisionerJob.objects.all():  # in the order of ``ids``
        started_at = job.created_at + timedelta(seconds=ids.index(str(job.pk)[:8]))
        ProvisionerJob.objects.filter(pk=job.pk).update(started_at=started_at)
    client = browser(owner)
    answer = client.get("/jobs")
    assert "Running 3, the first 2 by their start Show all 3 running jobs" in text_of(answer)
    assert 'href="/jobs?list=running"' in answer.content.decode()
    assert ids[2] not in text_of(answer)
    pages = [text_of(client.get(f"/jobs?list=running&page={page}")) for page in (1, 2, 3)]
    assert [[id_ in page for id_ in ids] for page in pages] == [[True, True, False], [False, False, True], [False] * 3]
    assert ["Running 3 " in page for page in pages] == [True] * 3
    assert ["Next" in page for page in pages] == [True, False, False]
    assert ["Previous" in page for page in pages] == [False, True, True]
    assert "Not so many are running any more." in pages[2]


def test_all_that_waits_stands_on_a_page_of_its_own(owner, organization, short_lists):
    for _ in range(3):
        make_job(user=owner, organization=organization)
    client = browser(owner)
    assert 'href="/jobs?list=waiting"' in client.get("/jobs").content.decode()
    positions = re.compile(r'data-label="Position">(\d+)<')
    pages = [client.get(f"/jobs?list=waiting&page={page}").content.decode() for page in (1, 2)]
    assert [positions.findall(page) for page in pages] == [["1", "2"], ["3"]]
    assert 'hx-get="/jobs?list=waiting&amp;page=2"' in pages[1]


@pytest.mark.parametrize(("kind", "text"), [("running", "Nothing is running."), ("waiting", "The queue is empty.")])
def test_a_list_of_one_kind_is_refreshed_alone(owner, kind, text):
    client = browser(owner)
    assert f"{kind.capitalize()} jobs" in text_of(client.get(f"/jobs?list={kind}"))
    part = client.get(f"/jobs?list={kind}", headers={"HX-Request": "true"})
    assert "<html" not in part.content.decode()
    assert text in text_of(part)
    assert "Show all" not in text_of(part)


def test_of_jobs_of_others_the_lists_say_nothing(owner, organization, short_lists):
    member = make_user(organizations=(organization,))
    own = make_job(user=member, organization=organization)
    for _ in range(3):
        make_job(user=owner, organization=organization)
    text = text_of(browser(member).get("/jobs?list=waiting"))
    assert "Waiting 1, in the order of the queue" in text
    assert str(own.pk)[:8] in text


def test_an_unknown_list_is_the_page_itself(owner):
    assert "No job has finished yet." in text_of(browser(owner).get("/jobs?list=nonsense"))


def test_a_job_that_cannot_start_is_announced(owner, organization):
    make_job(user=owner, organization=organization, tags={"scope": "organization", "gpu": "a100"})
    text = text_of(browser(owner).get("/jobs"))
    assert "1 job can't start. No daemon that could take it is online." in text
    make_daemon()
    text = text_of(browser(owner).get("/jobs"))
    assert "1 job can't start. No online daemon has gpu=a100 ." in text


def test_finished_jobs_are_filtered_by_the_address(owner, organization):
    make_version(user=owner, organization=organization, name="good")
    make_version(user=owner, organization=organization, name="bad", error="broken")
    client = browser(owner)
    assert "Import good" in text_of(client.get("/jobs"))
    failed = text_of(client.get("/jobs?status=failed"))
    assert "Import bad" in failed
    assert "Import good" not in failed
    succeeded = text_of(client.get("/jobs?status=succeeded"))
    assert "Import good" in succeeded
    assert "Import bad" not in succeeded
    assert "No job ended like that." in text_of(client.get("/jobs?status=canceled"))
    assert "Result: nonsense is not how a job ends." in text_of(client.get("/jobs?status=nonsense"))


def test_finished_jobs_are_filtered_by_kind_template_and_who_started_them(owner, organization):
    mira = make_user("mira", organizations=(organization,))
    web = make_template(user=owner, organization=organization, name="web", display_name="Machines")
    make_template(user=mira, organization=organization, name="other")
    run = make_job(user=mira, organization=organization, job_input={"template_version_id": str(web.active_version_id)})
    finish(run)
    client = browser(owner)

    def found(query: str) -> set[tuple[str, ...]]:
        rows = client.get(f"/jobs?{query}").content.decode().partition('id="finished"')[2].partition("<tbody>")[2]
        cells = re.compile(r'<td class="wide"><a [^>]+>([\w ]+) <span.*?data-label="Started by">(\w+)<', re.DOTALL)
        return set(cells.findall(rows))

    assert found("") == {("Import", "ada"), ("Import", "mira"), ("Dry run", "mira")}
    assert found("type=template_version_dry_run") == {("Dry run", "mira")}
    assert found("template=WEB") == found("template=machi") == {("Import", "ada"), ("Dry run", "mira")}
    assert found("template=web&initiator=mira") == {("Dry run", "mira")}
    assert found("initiator=me&status=succeeded") == {("Import", "ada")}
    assert found("template=none") == set()
    assert "No job ended like that. Show all of them" in text_of(client.get("/jobs?template=none"))
    assert "No job ended like that. Show all of them" in text_of(client.get("/jobs?initiator=nobody"))
    assert 'name="template" value="web"' in client.get("/jobs?template=web").content.decode()


def test_of_templates_that_one_may_not_see_no_filter_tells(owner, organization):
    mira = make_user("mira", organizations=(organization,))
    hidden = make_template(user=owner, organization=organization, name="hidden", everyone=False)
    finish(
        make_job(user=mira, organization=organization, job_input={"template_version_id": str(hidden.active_version_id)})
    )
    client = browser(mira)
    assert "Dry run" in client.get("/jobs").content.decode().partition("<tbody>")[2]
    assert "No job ended like that." in text_of(client.get("/jobs?template=hidden"))


def test_whose_names_rows_show_are_filtered_by_them(owner, organization):
    """Users who were deleted, or who share no organization with a manager of theirs any more, are still named."""
    olga = make_user("olga", organizations=(organization,), organization_roles=("organization-admin",))
    gone, left = (make_user(name, organizations=(organization,)) for name in ("gone", "left"))
    for user in (gone, left):
        finish(make_job(user=user, organization=organization))
    Membership.objects.filter(user=left).delete()
    users.delete(Actor.of(owner), gone)
    make_user("GONE", organizations=(organization,))
    client = browser(olga)
    for query, name in (("Gone", "gone"), (str(gone.pk), "gone"), ("left", "left")):
        rows = client.get(f"/jobs?initiator={query}").content.decode().partition('id="finished"')[2]
        assert re.findall(r'data-label="Started by">(\w+)<', rows) == [name]


FINISHED_PART = {"HX-Request": "true", "HX-Target": "finished"}


def test_filters_without_a_field_work_in_the_address_and_are_carried_on(owner, organization):
    daemon = make_daemon()
    job = make_job(user=owner, organization=organization)
    finish(job)
    ProvisionerJob.objects.update(worker_id=daemon.pk)
    make_version(user=owner, organization=organization, name="later")
    client = browser(owner)
    query = f"worker={daemon.pk}&created_before=2999-01-01"
    answer = client.get(f"/jobs?{query}")
    assert text_of(answer).count("Dry run") == 2  # a choice, and a row
    assert "Import later" not in text_of(answer)
    assertContains(answer, f'<input type="hidden" name="worker" value="{daemon.pk}">', html=True)
    assertContains(answer, '<input type="hidden" name="created_before" value="2999-01-01">', html=True)
    assert "Import later" in text_of(client.get("/jobs?organization=none"))


def test_every_filter_of_the_api_but_the_organization_works_in_the_address():
    assert {*job_pages.FILTERS, "organization"} == set(JobFilter.base_filters)
    assert set(job_pages.FinishedForm.base_fields) < set(job_pages.FILTERS)


def test_several_results_at_once_are_one_more_choice(owner, organization):
    make_version(user=owner, organization=organization, name="good")
    make_version(user=owner, organization=organization, name="bad", error="broken")
    answer = browser(owner).get("/jobs?status=succeeded,failed&type=template_version_import,workspace_build")
    text = text_of(answer)
    assert "Import good" in text
    assert "Import bad" in text
    several = '<option value="succeeded,failed" selected>Succeeded or Failed</option>'
    assertContains(answer, several, html=True)
    kinds = "template_version_import,workspace_build"
    assertContains(answer, f'<option value="{kinds}" selected>Import or Workspace build</option>', html=True)
    assert "or Failed" not in text_of(browser(owner).get("/jobs?status=failed"))


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("status=running", "Result: running is not how a job ends."),
        ("status=failed,odd", "Result: odd is not how a job ends."),
        ("type=odd", "Kind: Select a valid choice. odd is not one of the available choices."),
        ("worker=odd", "worker: Enter a valid UUID."),
    ],
)
def test_what_is_wrong_with_a_filter_is_said_by_name(owner, organization, query, said):
    make_version(user=owner, organization=organization, name="good")
    answer = browser(owner).get(f"/jobs?{query}")
    assert said in text_of(answer)
    assert "Import good" not in text_of(answer)


def test_a_field_with_a_bad_value_is_marked_and_described(owner):
    page = browser(owner).get("/jobs?status=running").content.decode()
    field = re.search(r'<select name="status"[^>]*>', page)
    assert 'aria-invalid="true"' in field[0]
    assert 'aria-describedby="id_status_error"' in field[0]
    assert page.count('id="id_status_error"') == page.count("aria-invalid") == 1
    assert '<option value="running" selected>running</option>' in page
    assert "aria-invalid" not in browser(owner).get("/jobs?status=failed").content.decode()


def test_of_a_bad_value_all_of_the_page_tells(owner):
    """htmx would leave the fields as they are: it is sent to the page, whose form then asks for the page again."""
    client = browser(owner)
    answer = client.get("/jobs?worker=odd", headers=FINISHED_PART)
    assert (answer.status_code, answer["HX-Redirect"]) == (204, "/jobs?worker=odd#finished-heading")
    form = re.compile(r'<form class="toolbar filters"[^>]*>')
    assert "hx-get" not in form.search(client.get("/jobs?worker=odd").content.decode())[0]
    good = form.search(client.get("/jobs").content.decode())[0]
    assert 'hx-get="/jobs"' in good
    assert 'autocomplete="off"' in good


def test_htmx_gets_the_finished_jobs_alone(owner, organization):
    make_version(user=owner, organization=organization, name="good")
    part = browser(owner).get("/jobs?status=succeeded", headers=FINISHED_PART)
    assert "<html" not in part.content.decode()
    assert text_of(part).startswith("Result Job Template")


def test_a_way_back_and_how_many_there_are_come_with_the_finished_jobs(owner, organization):
    make_version(user=owner, organization=organization, name="good")
    client = browser(owner)
    everything = '<a class="button ghost" href="/jobs#finished-heading">'
    part = client.get("/jobs?status=succeeded", headers=FINISHED_PART).content.decode()
    assert f'<span id="everything" hx-swap-oob="true">{everything}' in part
    assert 'id="told" role="status" hx-swap-oob="innerHTML">1 finished job on this page</p>' in part
    part = client.get("/jobs", headers=FINISHED_PART).content.decode()
    assert '<span id="everything" hx-swap-oob="true"></span>' in part
    page = client.get("/jobs?status=failed").content.decode()
    assert page.count(f'<span id="everything">{everything}') == page.count('id="everything"') == 1
    assert '<p class="visually-hidden" id="told" role="status">0 finished jobs on this page</p>' in page
    assert "<a" not in client.get("/jobs").content.decode().partition('id="everything">')[2].partition("</span>")[0]


def test_neighbours_of_the_finished_jobs_keep_ones_place(owner, organization, monkeypatch):
    monkeypatch.setattr(job_pages, "FINISHED_SIZE", 1)
    for name in ("one", "two", "three"):
        make_version(user=owner, organization=organization, name=name)
    page = browser(owner).get("/jobs?status=succeeded&page=2").content.decode()
    assert re.findall(r'href="([^"]+)" rel="(\w+)"', page) == [
        ("/jobs?status=succeeded&amp;page=1#finished-heading", "prev"),
        ("/jobs?status=succeeded&amp;page=3#finished-heading", "next"),
    ]
    assert '<h2 id="finished-heading">' in page


def test_the_queue_alone_is_what_htmx_gets(owner):
    answer = browser(owner).get("/jobs", headers={"HX-Request": "true"})
    assert "<html" not in answer.content.decode()
    assert "The queue is empty." in text_of(answer)


def test_the_back_button_gets_all_of_the_page(owner, organization):
    make_version(user=owner, organization=organization, name="good")
    restore = {"HX-Request": "true", "HX-History-Restore-Request": "true"}
    text = text_of(browser(owner).get("/jobs", headers=restore))
    assert "Succeeded Import good" in text
    assert "Result Any Succeeded Failed Canceled" in text


def test_daemons_and_what_they_are_at_lead_to_their_pages(owner, organization):
    daemon = make_daemon()
    job = make_job(user=owner, organization=organization)
    claim(daemon_id=daemon.pk, tags=job.tags)
    page = browser(owner).get("/jobs").content.decode().partition('id="daemons"')[2].partition("</section>")[0]
    assert f'href="/daemons/{daemon.pk}"' in page
    assert f'href="/jobs/{job.pk}"' in page


def test_a_member_sees_their_own_jobs_alone(owner, organization):
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


def test_a_daemon_with_jobs_of_others_is_busy_and_says_no_more(owner, organization):
    job = make_job(user=owner, organization=organization)
    daemon = make_daemon()
    claim(daemon_id=daemon.pk, tags=job.tags)
    text = text_of(browser(make_user(organizations=(organization,))).get("/jobs"))
    assert "Busy At work for others" in text
    assert str(job.pk)[:8] not in text


def test_a_job_is_canceled_after_a_question(owner, organization):
    job = make_job(user=owner, organization=organization)
    client = browser(owner)
    assert "It has not started, and never will." in text_of(client.get(f"/jobs/{job.pk}/cancel"))
    job.refresh_from_db()
    assert job.status == "pending"
    assert client.post(f"/jobs/{job.pk}/cancel")["Location"] == f"/jobs/{job.pk}"
    job.refresh_from_db()
    assert job.status == "canceled"
    assert client.post(f"/jobs/{job.pk}/cancel").status_code == 400


def test_a_waiting_job_tells_its_place_and_why_it_waits(owner, organization):
    make_job(user=owner, organization=organization)
    job = make_job(user=owner, organization=organization, tags={"gpu": "a100"})
    text = text_of(browser(owner).get(f"/jobs/{job.pk}"))
    assert "Place in queue 2 of 2" in text
    assert "Cannot start No daemon that could take it is online" in text


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
def test_a_failed_job_tells_why(owner, organization, error, shown):
    job = make_job(user=owner, organization=organization)
    finish(job, error=error)
    answer = browser(owner).get(f"/jobs/{job.pk}")
    assertContains(answer, f'<div class="note-text">{shown}</div>', html=True)
    assert "Failed" in text_of(answer)


def test_the_log_comes_as_a_file(owner, organization):
    job = make_job(user=owner, organization=organization)
    answer = browser(owner).get(f"/jobs/{job.pk}/log.txt")
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    assert "attachment" in answer["Content-Disposition"]


# ---------------------------------------------------------------------- figures
def test_figures_count_what_one_may_see(owner, organization, django_assert_num_queries):
    member = make_user(organizations=(organization,))
    finish(make_job(user=member, organization=organization))
    finish(make_job(user=owner, organization=organization), error="broken")
    for error in (None, "unreadable"):  # imports are no success of developers
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


def test_daemons_are_online_or_known():
    make_daemon()
    make_daemon(age_seconds=90)
    figures = daemon_figures()
    assert (figures.online, figures.known) == (1, 2)


def test_nobody_and_nothing_is_no_division():
    organization = make_organization()
    figures = job_figures(Actor.of(make_user(organizations=(organization,))))
    assert figures.success_rate is None
    assert ProvisionerJob.objects.count() == 0
