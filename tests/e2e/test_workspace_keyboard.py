"""Workspaces without a mouse and without seeing: keys, the focus, and what is announced."""

import re
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Locator, Page, expect

from provisioning.models import ProvisionerJob
from templates_app.workspaces import states
from templates_app.workspaces.models import WorkspaceBuild
from tests.e2e.scene_workspaces import add_workspaces

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]
MOST_STOPS = 80
HAS_FOCUS = "element => element === document.activeElement"


def tab_to(page: Page, target: Locator) -> None:
    """Press Tab until the element has the focus."""
    for _ in range(MOST_STOPS):
        page.keyboard.press("Tab")
        if target.evaluate(HAS_FOCUS):
            return
    raise AssertionError(f"{target} is not reached with {MOST_STOPS} keys")


def latest(workspace) -> WorkspaceBuild:
    return WorkspaceBuild.objects.get(latest_of=workspace)


@pytest.fixture
def workspaces(scene, sign_in):
    sign_in(scene.owner)
    return add_workspaces(scene)


def test_workspace_is_renamed_with_keys(page, workspaces, problems):
    page.goto("/@ada/dev")
    tab_to(page, page.get_by_role("link", name="Rename the workspace"))
    page.keyboard.press("Enter")
    name = page.get_by_label("Name", exact=True)
    tab_to(page, name)
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("api")
    page.keyboard.press("Enter")
    expect(name).to_have_accessible_description(re.compile("The owner already has a workspace with this name."))
    expect(name).to_have_attribute("aria-invalid", "true")
    expect(name).to_have_value("api")
    assert problems == ["Failed to load resource: the server responded with a status of 409 (Conflict)"]
    problems.clear()
    tab_to(page, name)
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("shop")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/@ada/shop$"))
    expect(page.get_by_role("status").get_by_text("The workspace is now named shop.")).to_be_visible()


def test_workspace_is_deleted_with_keys_and_leaves_resources_behind(page, workspaces, looks_right):
    page.goto("/@ada/dev")
    link = page.get_by_role("link", name="Delete", exact=True)
    tab_to(page, link)
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Delete dev?")
    choice = dialog.get_by_label("Leave the resources behind")
    expect(choice).to_be_focused()
    expect(choice).to_have_accessible_description(re.compile("Then nothing is destroyed"))
    looks_right(page)
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(link).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Space")
    expect(choice).to_be_checked()
    page.keyboard.press("Tab")
    page.keyboard.type("dev")
    page.keyboard.press("Enter")
    expect(page.locator("#workspace-head h1").get_by_text("Pending", exact=True)).to_be_visible()
    build = latest(workspaces.dev)
    assert (build.transition, states.facts_of(build).size) == ("delete", 0)


def test_state_is_pushed_with_keys(page, workspaces):
    page.goto("/@ada/dev/builds/3")
    tab_to(page, page.get_by_role("link", name="Push a state"))
    page.keyboard.press("Enter")
    file = page.get_by_label("State file", exact=True)
    tab_to(page, file)
    file.set_input_files({"name": "dev.tfstate", "mimeType": "application/json", "buffer": b'{"lineage": "dev"}'})
    tab_to(page, page.get_by_label("Start the workspace"))
    page.keyboard.press("ArrowDown")
    expect(page.get_by_label("Stop the workspace")).to_be_checked()
    tab_to(page, page.get_by_role("button", name="Push and build"))
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/@ada/dev/builds/4$"))
    build = latest(workspaces.dev)
    assert (build.transition, states.state_of(build)) == ("stop", b'{"lineage": "dev"}')


@pytest.mark.parametrize(
    ("address", "heading"), [("/@ada/api", "#workspace-head h1"), ("/@ada/api/builds/1", "#job-head h1")]
)
def test_end_of_a_build_is_announced_and_the_focus_stays_in_its_part(page, workspaces, address, heading):
    page.goto(address)
    status = page.locator("#job-status")
    expect(status).to_have_text(re.compile("Running"))
    status.evaluate("line => { line.standing = true; }")
    tab_to(page, page.get_by_role("link", name="Cancel the start"))
    ProvisionerJob.objects.filter(pk=latest(workspaces.api).job_id).update(completed_at=datetime.now(UTC))
    page.evaluate("document.body.dispatchEvent(new Event('job-ended'))")
    expect(status).to_have_text(re.compile("Succeeded"))
    assert status.evaluate("line => line.standing === true")
    expect(page.locator(heading)).to_be_focused()


def test_errors_are_announced_while_a_workspace_is_described(page, workspaces):
    page.goto("/templates/acme/docker/workspace")
    name = page.get_by_label("Name", exact=True)
    error = page.locator("#id_name_error")
    error.evaluate("line => { line.standing = true; }")
    for text, says in (("dev", "The owner already has"), ("two words", "Must be 1 to 32 letters"), ("new", "")):
        name.fill(text)
        expect(error).to_have_text(re.compile(says) if says else "")
        expect(name).to_have_accessible_description(re.compile(f"single dashes.*{says}"))
    assert error.evaluate("line => line.standing === true && line.ariaLive === 'polite'")
    parameter = page.locator("#parameter-0-error")
    assert parameter.evaluate("line => line.ariaLive === 'polite'")


def test_size_of_a_searched_list_is_announced(page, workspaces):
    page.goto("/workspaces?show=all")
    status = page.locator("#list-status")
    expect(status).to_have_text("4 workspaces on this page")
    status.evaluate("line => { line.standing = true; }")
    page.get_by_label("Search workspaces").fill("gpu")
    expect(status).to_have_text("1 workspace on this page")
    assert status.evaluate("line => line.standing === true")
