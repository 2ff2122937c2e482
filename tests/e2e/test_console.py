"""The console in a browser, with and without scripts."""

import re

import pytest
from playwright.sync_api import expect

from provisioning.engine.base import LogLevel, Stage
from provisioning.log import writing
from provisioning.queue import jobs
from templates_app.models import Template, TemplateVersion
from tests.e2e.scene import PASSWORD, found, line, write_log
from tests.factories import claim, finish, make_version
from tests.vocabulary import tar_of, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]
TEMPLATE = "/templates/acme/docker"


# ---------------------------------------------------------------------- sign in and out
def test_user_signs_in_and_out(page, scene):
    page.goto(TEMPLATE)
    page.get_by_label("Email").fill(scene.owner.email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Docker containers", level=1)).to_be_visible()
    page.goto("/admin/")
    expect(page.get_by_role("heading", name="Site administration")).to_be_visible()
    page.goto("/templates")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.goto("/templates")
    expect(page).to_have_url(re.compile("/login"))


def test_the_colour_scheme_is_kept(page, scene, sign_in):
    sign_in(scene.owner)
    page.goto("/templates")
    page.get_by_role("button", name="Change the colour scheme").click()
    chosen = page.locator("html").get_attribute("data-theme")
    assert chosen in {"light", "dark"}
    page.goto("/jobs")
    expect(page.locator("html")).to_have_attribute("data-theme", chosen)


# ---------------------------------------------------------------------- templates
def test_list_is_searched_while_typing(page, scene, sign_in):
    sign_in(scene.owner)
    page.goto("/templates")
    expect(page.locator("#list tbody tr")).to_have_count(5)
    page.get_by_label("Search templates").fill("kube")
    expect(page.locator("#list tbody tr")).to_have_count(1)
    expect(page).to_have_url(re.compile("q=kube"))
    page.reload()
    expect(page.locator("#list tbody tr")).to_have_count(1)


def test_rollback_requires_a_confirmation(page, scene, sign_in):
    sign_in(scene.owner)
    page.goto(TEMPLATE)
    page.get_by_role("link", name="Roll back to frosty_kepler1").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Workspaces built from quiet_lovelace3 keep it")
    dialog.get_by_role("link", name="Keep quiet_lovelace3").click()
    expect(dialog).to_be_hidden()
    page.get_by_role("link", name="Roll back to frosty_kepler1").click()
    dialog.get_by_role("button", name="Roll back to frosty_kepler1").click()
    expect(page.get_by_text("frosty_kepler1 is now the active version")).to_be_visible()
    scene.docker.refresh_from_db()
    assert scene.docker.active_version_id == scene.older.pk


def test_a_readme_shows_neither_script_nor_pictures(page, scene, sign_in):
    sign_in(scene.owner)
    page.goto(TEMPLATE)
    readme = page.locator(".prose")
    expect(readme.get_by_role("heading", name="Editing the image")).to_be_visible()
    expect(readme.locator("img, script")).to_have_count(0)
    expect(readme.get_by_text('<script>alert("never")</script>')).to_be_visible()


# ---------------------------------------------------------------------- logs
def test_a_log_is_followed_to_the_end_of_its_job(page, scene, sign_in):
    sign_in(scene.owner)
    page.goto(f"{TEMPLATE}/versions/{scene.running.name}")
    expect(page.locator(".live")).to_have_text("Live")
    writing.append(
        scene.lease.job_id, scene.lease.token, [line(Stage.PERSISTENT), line(Stage.PERSISTENT, "Hello there")]
    )
    expect(page.get_by_text("Hello there")).to_be_visible()
    count = int(page.locator("#log-count").inner_text())
    many = [line(Stage.PERSISTENT, f"line {number}", LogLevel.DEBUG) for number in range(2000)]
    writing.append(scene.lease.job_id, scene.lease.token, many)
    expect(page.locator("#log-count")).to_have_text(str(count + 2000), timeout=30_000)
    expect(page.get_by_text("line 1999", exact=True)).to_be_in_viewport()
    follow = page.get_by_role("button", name="Follow")
    page.locator(".log-body").press("Home")
    expect(follow).to_have_attribute("aria-pressed", "false")

    def is_at_the_end() -> bool:
        """Lines are laid out as they come into view, so the end moves while it is approached."""
        page.locator(".log-body").press("End")
        return follow.get_attribute("aria-pressed") == "true"

    wait_until(is_at_the_end, what="the end of the log")
    page.get_by_role("button", name="Debug").click()
    expect(page.get_by_text("line 1999", exact=True)).to_be_hidden()
    assert page.locator(".log-body").evaluate("body => body.scrollHeight") < 2000, "nothing is left of hidden lines"
    jobs.complete(scene.lease, found())
    expect(page.locator(".live")).to_have_text("Finished")
    expect(page.locator("#version-head").get_by_text("Succeeded", exact=True)).to_be_visible()
    expect(page.locator("#version-side").get_by_text("docker_volume")).to_be_visible()
    page.get_by_role("link", name="Promote").click()
    page.get_by_role("dialog").get_by_role("button", name="Promote eager_turing4").click()
    expect(page.get_by_text("eager_turing4 is now the active version")).to_be_visible()


def test_page_follows_the_start_of_a_waiting_import(page, scene, sign_in):
    sign_in(scene.owner)
    version = make_version(
        user=scene.owner, organization=scene.organization, template=scene.docker, name="next", finished=False
    )
    page.goto(f"{TEMPLATE}/versions/next")
    expect(page.locator("#version-head").get_by_text("Pending", exact=True)).to_be_visible()
    expect(page.get_by_text("No lines yet: the job waits for a daemon.")).to_be_visible()
    lease = claim(tags=version.job.tags)
    write_log(lease, until=Stage.PARSING)
    expect(page.locator("#version-head").get_by_text("Running", exact=True)).to_be_visible()
    expect(page.locator("#stages small", has_text="running")).to_be_visible()
    expect(page.locator(".log-empty")).to_be_hidden()


def test_stages_with_unusual_names_are_shown_unchanged(page, scene, sign_in):
    sign_in(scene.owner)
    page.goto(f"{TEMPLATE}/versions/{scene.running.name}")
    name = '"]<b>odd</b>\\'
    writing.append(scene.lease.job_id, scene.lease.token, [line(name), line(name, "inside"), line(Stage.CLEANING_UP)])
    expect(page.get_by_text("inside")).to_be_visible()
    expect(page.locator(".stage .name", has_text=name)).to_be_visible()


def test_an_error_is_found_in_the_log(page, scene, sign_in):
    sign_in(scene.owner)
    page.goto(f"{TEMPLATE}/versions/{scene.failed.name}")
    expect(page.get_by_role("alert")).to_contain_text("Unsupported attribute")
    page.get_by_role("link", name="Go to error").click()
    expect(page.locator(".line.error").first).to_be_in_viewport()
    expect(page).to_have_url(re.compile("#L[0-9]+$"))
    page.get_by_label("Find in the log").fill("hostname")
    expect(page.locator("#log-hits")).to_have_text("1 match")
    expect(page.locator(".line.hit")).to_be_in_viewport()
    page.get_by_label("Find in the log").fill("no such thing")
    expect(page.locator("#log-hits")).to_have_text("0 matches")


def test_an_import_is_canceled(page, scene, sign_in):
    sign_in(scene.owner)
    page.goto(f"{TEMPLATE}/versions/{scene.running.name}")
    page.get_by_role("link", name="Cancel the import").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel the import").click()
    expect(page.get_by_text("The import is being canceled.")).to_be_visible()
    scene.running.job.refresh_from_db()
    assert scene.running.job.status == "canceling"


# ---------------------------------------------------------------------- new templates
def test_an_upload_becomes_a_template(page, scene, sign_in):
    sign_in(scene.owner)
    page.goto("/templates/new")
    archive = {"name": "My web.tar", "mimeType": "application/x-tar", "buffer": tar_of({"main.tf": "# nothing"})}
    page.get_by_label("Choose an archive, or drop it here").set_input_files(archive)
    page.get_by_role("button", name="Upload and import").click()
    expect(page.get_by_text("as soon as the import has succeeded")).to_be_visible()
    version = TemplateVersion.objects.get(template=None)
    finish(version.job, result=found())
    expect(page.get_by_label("Name", exact=True)).to_have_value("my-web")
    page.get_by_label("Description").fill("What the web team needs")
    page.get_by_role("button", name="Create the template").click()
    expect(page.get_by_text("my-web is created")).to_be_visible()
    assert Template.objects.get(name="my-web").active_version_id == version.pk


def test_invalid_archive_is_rejected_on_the_page(page, scene, sign_in):
    sign_in(scene.owner)
    page.goto("/templates/new")
    rubbish = {"name": "rubbish.tar", "mimeType": "application/x-tar", "buffer": b"not a tar at all" * 64}
    page.get_by_label("Choose an archive, or drop it here").set_input_files(rubbish)
    page.get_by_role("button", name="Upload and import").click()
    expect(page.locator("#upload-errors")).to_contain_text("archive")
    assert not TemplateVersion.objects.filter(template=None).exists()


# ---------------------------------------------------------------------- jobs
def test_the_queue_refreshes_itself(page, scene, sign_in):
    sign_in(scene.owner)
    page.goto("/jobs")
    expect(page.get_by_text("1 job can't start.")).to_be_visible()
    jobs.cancel(scene.waiting.pk)
    expect(page.get_by_text("1 job can't start.")).to_be_hidden(timeout=15_000)
    expect(page.get_by_text("The queue is empty.")).to_be_visible()


def test_pages_work_without_script(browser, live_api, scene, sign_in):
    context = browser.new_context(java_script_enabled=False, base_url=live_api.url)
    try:
        page = context.new_page()
        page.goto(f"{TEMPLATE}/versions/{scene.active.name}")
        page.get_by_label("Email").fill(scene.owner.email)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        assert page.get_by_text("Plan: 4 to add, 0 to change, 0 to destroy.").is_visible()
        page.goto(TEMPLATE)
        page.get_by_role("link", name="Roll back to frosty_kepler1").click()
        page.get_by_role("button", name="Roll back to frosty_kepler1").click()
        assert page.get_by_text("frosty_kepler1 is now the active version").is_visible()
        page.goto("/templates?q=kube")
        assert page.locator("#list tbody tr").count() == 1
    finally:
        context.close()
