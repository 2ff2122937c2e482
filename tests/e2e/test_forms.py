"""Lists and forms with scripts: no input is lost, and failures are shown."""

import re

import pytest
from playwright.sync_api import Page, expect

from coderproj.identity.authentication import SESSION_COOKIE
from templates_app.models import AccessRole, TemplateAccess, TemplateVersion
from tests.vocabulary import tar_of

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]
TEMPLATE = "/templates/acme/docker"
NO_CLIPBOARD = "Object.defineProperty(navigator, 'clipboard', {value: undefined})"
CLIPBOARD_REJECTS = """
Object.defineProperty(navigator, 'clipboard', {value: {writeText: () => Promise.reject(new Error('refused'))}});
Document.prototype.execCommand = () => false;
"""


# ---------------------------------------------------------------------- lists
def test_back_from_a_search_restores_the_page(page: Page, scene, sign_in):
    sign_in(scene.owner)
    page.goto("/templates")
    page.get_by_label("Search templates").press_sequentially("kube")
    expect(page).to_have_url(re.compile("q=kube&show=active$"))
    expect(page.locator("#list tbody tr")).to_have_count(1)
    page.go_back()
    expect(page.locator("#list tbody tr")).to_have_count(5)
    expect(page).to_have_url(re.compile("/templates$"))
    expect(page.get_by_label("Search templates")).to_have_value("")
    expect(page.locator(".figures")).to_contain_text("Daemons online 2")
    expect(page.get_by_role("link", name="New template")).to_be_visible()
    before = page.locator("html").get_attribute("data-theme")
    page.get_by_role("button", name="Change the colour scheme").click()
    expect(page.locator("html")).not_to_have_attribute("data-theme", before)
    page.set_viewport_size({"width": 390, "height": 844})
    page.locator("details.menu summary").click()
    page.keyboard.press("Escape")
    expect(page.locator("details.menu[open]")).to_have_count(0)


@pytest.mark.parametrize(
    ("address", "label", "typed", "button", "filtered"),
    [
        ("/templates", "Search templates", "kube", "All", "show=all"),
        ("/users", "Search users", "mir", "Active", "status=active"),
        ("/daemons", "Search daemons", "hel", "All", "show=all"),
        (f"{TEMPLATE}/audit", "User", "ada", "Changed", "action=write"),
    ],
)
def test_filter_keeps_the_typed_text(page: Page, scene, sign_in, address, label, typed, button, filtered):
    sign_in(scene.owner)
    page.goto(address)
    page.get_by_label(label).fill(typed)
    page.get_by_role("button", name=button, exact=True).click()
    expect(page.get_by_role("button", name=button, exact=True)).to_have_attribute("aria-current", "true")
    expect(page.get_by_label(label)).to_have_value(typed)
    expect(page).to_have_url(re.compile(f"={typed}&{filtered}$"))


def test_enter_keeps_the_filter(page: Page, scene, sign_in):
    sign_in(scene.owner)
    page.goto("/templates?show=all")
    page.get_by_label("Search templates").fill("kube")
    page.get_by_label("Search templates").press("Enter")
    expect(page).to_have_url(re.compile("q=kube"))
    expect(page).to_have_url(re.compile("show=all"))
    expect(page.get_by_role("button", name="All", exact=True)).to_have_attribute("aria-current", "true")


def test_one_click_clears_the_filters_of_the_audit_log(page: Page, scene, sign_in):
    sign_in(scene.owner)
    page.goto("/audit")
    everything = page.get_by_role("link", name="Show everything")
    expect(everything).to_have_count(0)
    page.get_by_label("Action").select_option(label="Deleted")
    expect(page).to_have_url(re.compile("action=delete"))
    expect(everything.first).to_be_visible()
    everything.first.click()
    expect(page.get_by_label("Action")).to_have_value("")


@pytest.mark.parametrize(
    ("address", "label", "typed", "filtered"),
    [("/jobs", "Template", "docker", "template=docker"), ("/audit", "User", "ada", "username=ada")],
)
def test_back_from_a_filter_restores_the_unfiltered_page(page: Page, scene, sign_in, address, label, typed, filtered):
    """Enter changes the field and submits the form with one request. Both submits are one step of the history."""
    sign_in(scene.owner)
    page.goto(address)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if filtered in request.url else None)
    field = page.get_by_label(label, exact=True)
    field.press_sequentially(typed)
    field.press("Enter")
    expect(page).to_have_url(re.compile(filtered))
    page.wait_for_timeout(200)  # longer than the delay of a change
    assert len(asked) == 1
    with page.expect_response(re.compile(filtered)):
        page.get_by_role("button", name="Filter", exact=True).click()
    everything = page.get_by_role("link", name="Show everything")
    expect(everything).to_have_count(1)
    page.go_back()
    expect(page).to_have_url(re.compile(f"{address}$"))
    expect(field).to_have_value("")
    expect(everything).to_have_count(0)


def test_job_filter_announces_the_count_and_can_be_cleared(page: Page, scene, sign_in):
    sign_in(scene.owner)
    page.goto("/jobs")
    status = page.locator("#list-status")
    expect(status).to_have_text(re.compile(r"^\d+ finished jobs on this page$"))
    before = status.inner_text()
    status.evaluate("line => { line.standing = true; }")
    page.get_by_label("Template", exact=True).fill("nothing-like-it")
    page.get_by_label("Template", exact=True).press("Enter")
    expect(status).to_have_text("0 finished jobs on this page")
    assert status.evaluate("line => line.standing === true")
    page.get_by_role("link", name="Show everything").click()
    expect(page).to_have_url(re.compile("/jobs#finished-heading$"))
    expect(status).to_have_text(before)


def test_filter_error_disappears_with_the_filter(page: Page, scene, sign_in, looks_right):
    sign_in(scene.owner)
    page.goto("/jobs?status=running")
    result = page.get_by_label("Result", exact=True)
    expect(result).to_have_accessible_description("Result: running is not a final status.")
    looks_right(page)
    result.select_option(label="Succeeded")
    page.get_by_role("button", name="Filter", exact=True).click()
    expect(page).to_have_url(re.compile("status=succeeded&.*#finished-heading$"))
    expect(result).not_to_have_attribute("aria-invalid", "true")
    page.locator("form.filters").evaluate(
        "form => form.insertAdjacentHTML('beforeend', '<input type=hidden name=worker value=odd>')"
    )
    result.select_option(label="Failed")
    expect(page.get_by_role("alert")).to_have_text("worker: Enter a valid UUID.")
    expect(page).to_have_url(re.compile("status=failed&.*worker=odd#finished-heading$"))


def test_filters_stay_visible_on_phones(page: Page, scene, sign_in):
    page.set_viewport_size({"width": 390, "height": 844})
    sign_in(scene.owner)
    page.goto("/jobs#finished-heading")
    expect(page.get_by_role("heading", name="Finished")).to_be_in_viewport()
    bar, heading = (page.locator(it).bounding_box() for it in (".top-bar", "#finished-heading"))
    assert bar["y"] == 0
    assert bar["height"] <= heading["y"] < 200
    expect(page.get_by_label("Template", exact=True)).to_be_in_viewport()


def test_stale_list_shows_a_note(page: Page, scene, sign_in, problems):
    sign_in(scene.owner)
    page.goto("/jobs")
    note = page.get_by_text("This page may be out of date.")
    expect(note).to_be_hidden()
    page.route("**/jobs", lambda route: route.fulfill(status=503))
    expect(note).to_be_visible(timeout=15_000)
    page.unroute("**/jobs")
    expect(note).to_be_hidden(timeout=15_000)
    assert [text for text in problems if "503" not in text] == []
    problems.clear()  # a browser reports the status itself


# ---------------------------------------------------------------------- copying
def pasted(page: Page) -> str:
    """Return the content of the clipboard, pasted into the search field."""
    field = page.get_by_label("Search everything").first
    field.fill("")
    field.press("ControlOrMeta+v")
    return field.input_value()


@pytest.mark.parametrize("script", ["", NO_CLIPBOARD], ids=["clipboard", "none"])
def test_copying_is_announced_and_shown(page: Page, scene, sign_in, script):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    if script:
        page.add_init_script(script)
    sign_in(scene.owner)
    page.goto(f"/jobs/{scene.running.job_id}")
    button = page.get_by_role("button", name="Copy the job's ID")
    button.click()
    expect(page.locator("#announcement")).to_have_text("Copied")
    expect(button.locator("use")).to_have_attribute("href", re.compile("#check$"))
    assert pasted(page) == str(scene.running.job_id)
    expect(button.locator("use")).to_have_attribute("href", re.compile("#copy$"))
    expect(page.locator("#announcement")).to_be_empty()


def test_failed_copy_selects_the_text(page: Page, scene, sign_in):
    page.add_init_script(CLIPBOARD_REJECTS)
    sign_in(scene.owner)
    page.goto("/tokens/new")
    page.get_by_label("Name", exact=True).fill("pipeline")
    page.get_by_role("button", name="Create the token").click()
    page.get_by_role("button", name="Copy the token").click()
    expect(page.locator("#announcement")).to_contain_text("The text is selected")
    assert page.evaluate("getSelection().toString()") == page.locator("#token").inner_text()


# ---------------------------------------------------------------------- uploads
def test_upload_without_session_links_to_sign_in_and_back(page: Page, scene, sign_in):
    sign_in(scene.owner)
    page.goto(f"{TEMPLATE}/versions/new")
    archive = {"name": "web.tar", "mimeType": "application/x-tar", "buffer": tar_of({"main.tf": "# nothing"})}
    page.get_by_label("Choose an archive, or drop it here").set_input_files(archive)
    before = TemplateVersion.objects.count()
    page.context.clear_cookies(name=SESSION_COOKIE)
    page.get_by_role("button", name="Upload and import").click()
    expect(page.locator("#upload-errors")).to_contain_text("You are signed out, so nothing was uploaded.")
    expect(page.get_by_role("button", name="Upload and import")).to_be_enabled()
    page.get_by_role("link", name="Sign in again").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    sign_in(scene.owner)
    page.goto(page.url)
    expect(page).to_have_url(re.compile(f"{TEMPLATE}/versions/new$"))
    assert TemplateVersion.objects.count() == before


def test_restored_page_accepts_another_upload(page: Page, scene, sign_in):
    """The browser's back button can restore the page from its cache, in the middle of an upload."""
    sign_in(scene.owner)
    page.goto(f"{TEMPLATE}/versions/new")
    button = page.get_by_role("button", name="Upload and import")
    button.evaluate("button => { button.disabled = true; }")
    page.locator("#upload-progress").evaluate("progress => { progress.hidden = false; }")
    page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))")
    expect(button).to_be_enabled()
    expect(page.locator("#upload-progress")).to_be_hidden()


# ---------------------------------------------------------------------- access
def test_removal_of_access_requires_a_confirmation(page: Page, scene, sign_in, looks_right):
    TemplateAccess.objects.get_or_create(template=scene.docker, user=scene.member, defaults={"role": AccessRole.USE})
    sign_in(scene.owner)
    page.goto(f"{TEMPLATE}/permissions")
    page.get_by_role("link", name="Remove mira from the access list").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("The user loses access to docker immediately")
    looks_right(page)
    dialog.get_by_role("link", name="Keep mira").click()
    expect(dialog).to_be_hidden()
    page.get_by_role("link", name="Remove mira from the access list").click()
    dialog.get_by_role("button", name="Remove mira").click()
    expect(page.get_by_text("The access list is changed.")).to_be_visible()
    assert not TemplateAccess.objects.filter(user=scene.member).exists()
