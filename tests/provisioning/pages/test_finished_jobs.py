"""Finished jobs: filters, errors of filters, and clearing them."""

import re

import pytest
from pytest_django.asserts import assertContains

from coderproj.identity import users
from coderproj.identity.actor import Actor
from coderproj.identity.models import Membership
from provisioning.filters import JobFilter
from provisioning.models import ProvisionerJob
from provisioning.pages import jobs as job_pages
from tests.factories import finish, make_job, make_template, make_user, make_version
from tests.pages import browser, text_of
from tests.provisioning.queue.test_matching import make_daemon

pytestmark = pytest.mark.django_db


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
    assert "No job matches." in text_of(client.get("/jobs?status=canceled"))
    assert "Result: nonsense is not a final status." in text_of(client.get("/jobs?status=nonsense"))


def test_finished_jobs_are_filtered_by_kind_template_and_initiator(owner, organization):
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
    assert "No job matches. Show all finished jobs" in text_of(client.get("/jobs?template=none"))
    assert "No job matches. Show all finished jobs" in text_of(client.get("/jobs?initiator=nobody"))
    assert 'name="template" value="web"' in client.get("/jobs?template=web").content.decode()


def test_filters_do_not_reveal_hidden_templates(owner, organization):
    mira = make_user("mira", organizations=(organization,))
    hidden = make_template(user=owner, organization=organization, name="hidden", everyone=False)
    finish(
        make_job(user=mira, organization=organization, job_input={"template_version_id": str(hidden.active_version_id)})
    )
    client = browser(mira)
    assert "Dry run" in client.get("/jobs").content.decode().partition("<tbody>")[2]
    assert "No job matches." in text_of(client.get("/jobs?template=hidden"))


def test_jobs_are_filtered_by_visible_usernames(owner, organization):
    """Deleted users, and users who left the organizations of their manager, are still named."""
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


def test_filters_without_a_field_work_in_the_address_and_are_kept(owner, organization):
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


def test_all_api_filters_except_organization_work_in_the_address():
    assert {*job_pages.FILTERS, "organization"} == set(JobFilter.base_filters)
    assert set(job_pages.FinishedForm.base_fields) < set(job_pages.FILTERS)


def test_several_results_are_added_as_one_choice(owner, organization):
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
        ("status=running", "Result: running is not a final status."),
        ("status=failed,odd", "Result: odd is not a final status."),
        ("type=odd", "Kind: Select a valid choice. odd is not one of the available choices."),
        ("worker=odd", "worker: Enter a valid UUID."),
    ],
)
def test_filter_errors_name_the_filter(owner, organization, query, said):
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


def test_htmx_loads_the_whole_page_for_an_invalid_filter(owner):
    """htmx would not update the fields. It is redirected to the page, whose form then loads the whole page."""
    client = browser(owner)
    answer = client.get("/jobs?worker=odd", headers=FINISHED_PART)
    assert (answer.status_code, answer["HX-Redirect"]) == (204, "/jobs?worker=odd#finished-heading")
    form = re.compile(r'<form class="toolbar filters"[^>]*>')
    assert "hx-get" not in form.search(client.get("/jobs?worker=odd").content.decode())[0]
    good = form.search(client.get("/jobs").content.decode())[0]
    assert 'hx-get="/jobs"' in good
    assert 'autocomplete="off"' in good


def test_htmx_request_returns_only_the_finished_jobs(owner, organization):
    make_version(user=owner, organization=organization, name="good")
    part = browser(owner).get("/jobs?status=succeeded", headers=FINISHED_PART)
    assert "<html" not in part.content.decode()
    assert text_of(part).startswith("Result Job Template")


def test_part_updates_the_clear_link_and_the_count(owner, organization):
    make_version(user=owner, organization=organization, name="good")
    client = browser(owner)
    everything = '<a class="button ghost" href="/jobs#finished-heading">'
    part = client.get("/jobs?status=succeeded", headers=FINISHED_PART).content.decode()
    assert f'<span id="everything" hx-swap-oob="true">{everything}' in part
    assert 'id="list-status" role="status" hx-swap-oob="innerHTML">1 finished job on this page</p>' in part
    part = client.get("/jobs", headers=FINISHED_PART).content.decode()
    assert '<span id="everything" hx-swap-oob="true"></span>' in part
    page = client.get("/jobs?status=failed").content.decode()
    assert page.count(f'<span id="everything">{everything}') == page.count('id="everything"') == 1
    assert '<p class="visually-hidden" id="list-status" role="status">0 finished jobs on this page</p>' in page
    assert "<a" not in client.get("/jobs").content.decode().partition('id="everything">')[2].partition("</span>")[0]


def test_pages_of_finished_jobs_open_at_their_heading(owner, organization, monkeypatch):
    monkeypatch.setattr(job_pages, "FINISHED_SIZE", 1)
    for name in ("one", "two", "three"):
        make_version(user=owner, organization=organization, name=name)
    page = browser(owner).get("/jobs?status=succeeded&page=2").content.decode()
    assert re.findall(r'href="([^"]+)" rel="(\w+)"', page) == [
        ("/jobs?status=succeeded&amp;page=1#finished-heading", "prev"),
        ("/jobs?status=succeeded&amp;page=3#finished-heading", "next"),
    ]
    assert '<h2 id="finished-heading">' in page
