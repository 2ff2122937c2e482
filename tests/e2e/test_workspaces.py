"""Workspaces in a browser: from creating to deleting with a real daemon, and forms that are checked while typing."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from provisioning.engine import base
from provisioning.models import ProvisionerJob
from templates_app.models import Template
from templates_app.workspaces.models import Workspace
from tests.e2e.conftest import carry_session
from tests.e2e.scene_workspaces import add_workspaces
from tests.factories import make_file, make_template
from tests.vocabulary import run_daemon, tar_of

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]
MACHINE = {"name": "machine", "type": "null_resource", "daily_cost": 3}
HOME = {"name": "home", "type": "docker_volume"}
CPU = base.RichParameter(name="cpu", default_value="2", type="number", mutable=True, validation_monotonic="increasing")
LONG = 30_000


@pytest.fixture
def template(organization, owner) -> Template:
    """A template of the echo engine that builds a machine and a volume, which it keeps at a stop."""
    script = {
        "apply": {
            "logs": [["info", base.Stage.STARTING, "null_resource.machine: Creation complete"]],
            "sleep": 0.3,
            "start": {"resources": [MACHINE, HOME]},
            "stop": {"resources": [HOME]},
        }
    }
    made = base.Resource(name="machine", type="null_resource", daily_cost=3), base.Resource("home", "docker_volume")
    result = base.ImportResult(
        start=base.PlanResult(resources=made, rich_parameters=(CPU,)),
        stop=base.PlanResult(resources=made[1:], rich_parameters=(CPU,)),
    )
    template = make_template(user=owner, organization=organization, name="web", result=result)
    file = make_file(owner, tar_of({"echo.json": json.dumps(script)}))
    ProvisionerJob.objects.filter(pk=template.active_version.job_id).update(file=file)
    return template


def status(page: Page, word: str) -> None:
    """Wait until the head of the page shows the status."""
    expect(page.locator("#workspace-head h1").get_by_text(word, exact=True)).to_be_visible(timeout=LONG)


def test_workspace_is_created_watched_stopped_and_deleted(page, template, member, sign_in, looks_right, tmp_path: Path):
    sign_in(member)
    page.goto("/")
    page.get_by_role("link", name="New workspace from web").click()
    page.get_by_label("Name", exact=True).fill("dev")
    page.get_by_label("cpu").fill("many")
    expect(page.locator("#parameter-0-error")).to_contain_text("many")
    page.get_by_label("cpu").fill("4")
    expect(page.locator("#preview")).to_contain_text("cpu = 4")
    expect(page.locator("#parameter-0-error")).to_be_empty()
    page.get_by_role("button", name="Create the workspace").click()
    status(page, "Pending")
    with run_daemon(tmp_path / "log"):
        status(page, "Running")
        expect(page.locator("#log").get_by_text("machine: Creation complete")).to_be_visible()
        expect(page.locator("#log .live")).to_have_text("Finished")
        expect(page.locator("#stages").get_by_text("Cleaning Up")).to_be_visible()
        expect(page.locator("#workspace-main").get_by_text("null_resource", exact=True)).to_be_visible()
        looks_right(page)

        page.get_by_role("link", name="Stop", exact=True).click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("Destroyed: machine (null_resource).")
        expect(dialog).to_contain_text("Kept: home (docker_volume).")
        looks_right(page)
        dialog.get_by_role("button", name="Stop dev").click()
        status(page, "Stopped")
        expect(page.locator("#workspace-main").get_by_text("null_resource", exact=True)).to_have_count(0)

        page.get_by_role("link", name="Delete", exact=True).click()
        dialog.get_by_label("Type dev to confirm").fill("dev")
        dialog.get_by_role("button", name="Delete dev").click()
        status(page, "Deleted")
    expect(page.get_by_text("This workspace was deleted")).to_be_visible()
    expect(page.get_by_role("link", name=re.compile("#[123]"))).to_have_count(3)
    assert Workspace.objects.get().deleted
    page.goto("/workspaces")
    expect(page.get_by_text("No workspace yet")).to_be_visible()


def test_list_is_searched_while_typing_and_keeps_its_tab(page, scene, sign_in):
    add_workspaces(scene)
    sign_in(scene.owner)
    page.goto("/workspaces")
    expect(page.locator("#list tbody tr")).to_have_count(2)
    page.get_by_role("button", name="All").click()
    expect(page.locator("#list tbody tr")).to_have_count(4)
    page.get_by_label("Search workspaces").fill("gpu")
    expect(page.locator("#list tbody tr")).to_have_count(1)
    expect(page).to_have_url(re.compile("show=all"))
    page.get_by_role("link", name="gpu-training").click()
    expect(page.get_by_role("alert")).to_contain_text("no space left on device")
    page.get_by_role("link", name="Go to error").click()
    expect(page).to_have_url(re.compile(r"/@priya/gpu-training/builds/2#L\d+$"))
    expect(page.locator(".line:target")).to_contain_text("apply for start failed")


def test_schedule_shows_the_fields_of_the_chosen_way_and_the_next_starts(page, scene, sign_in):
    add_workspaces(scene)
    sign_in(scene.owner)
    page.goto("/@ada/dev/schedule")
    expect(page.get_by_label("Cron expression", exact=True)).to_be_hidden()
    expect(page.locator("#next-starts li")).to_have_count(3)
    page.get_by_label("Time", exact=True).fill("21:15")
    expect(page.locator("#next-starts")).to_contain_text("21:15")
    page.get_by_label("By a cron expression").check()
    expect(page.get_by_label("Time", exact=True)).to_be_hidden()
    page.get_by_label("Cron expression", exact=True).fill("* * * * *")
    expect(page.locator("#id_cron_error")).to_contain_text("more often than once an hour")
    page.get_by_label("Only by hand").check()
    expect(page.locator("#next-starts")).to_contain_text("only by hand")
    with page.expect_response(lambda response: response.request.headers.get("hx-request") == "true"):
        page.get_by_label("Stop after hours").fill("4")  # a check that is under way would be aborted
    page.get_by_role("button", name="Save the schedule").click()
    expect(page.get_by_text("The schedule is saved.")).to_be_visible()
    expect(page.get_by_text("4 h after a start")).to_be_visible()


def test_update_says_what_changes_while_typing(page, scene, sign_in, problems):
    add_workspaces(scene)
    sign_in(scene.owner)
    page.goto("/@ada/dev")
    page.get_by_role("link", name="Update").first.click()
    page.get_by_label("cpu").fill("8")
    expect(page.locator("#preview")).to_contain_text(re.compile(r"cpu: \S+ → 8"))
    page.get_by_role("button", name="Update").click()
    expect(page.get_by_role("alert")).to_contain_text("Nothing was built.")
    assert problems == ["Failed to load resource: the server responded with a status of 400 (Bad Request)"]
    problems.clear()
    page.get_by_label("project").fill("shop")
    page.get_by_role("button", name="Update").click()
    expect(page).to_have_url(re.compile("/@ada/dev$"))
    status(page, "Pending")


def test_pages_work_without_scripts(browser, live_api, scene):
    add_workspaces(scene)
    context = browser.new_context(base_url=live_api.url, java_script_enabled=False)
    try:
        carry_session(context, live_api.url, scene.owner)
        page = context.new_page()
        page.goto("/@ada/dev")
        page.get_by_role("link", name="Stop", exact=True).click()
        expect(page.get_by_text("Kept: ")).to_be_visible()
        page.get_by_role("button", name="Stop dev").click()
        status(page, "Pending")
        page.get_by_role("link", name="Cancel the stop").click()
        page.get_by_role("button", name="Cancel the stop").click()
        expect(page.get_by_text("The build is being canceled.")).to_be_visible()
    finally:
        context.close()
