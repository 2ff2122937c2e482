"""The tabs of a template in a browser: changes, parameters, permissions, settings."""

import re

import pytest
from playwright.sync_api import expect

from provisioning.models import ProvisionerJob
from templates_app.job_kinds import JobType
from templates_app.models import Template, TemplateAccess
from tests.e2e.scene import found
from tests.factories import finish

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]
TEMPLATE = "/templates/acme/docker"
HIDDEN = "hunter2-token"


def test_two_versions_are_compared(page, scene, sign_in):
    sign_in(scene.owner)
    page.goto(f"{TEMPLATE}/versions")
    page.get_by_role("link", name=f"Changes of {scene.active.name}").click()
    expect(page.get_by_text("against frosty_kepler1")).to_be_visible()
    diff = page.get_by_role("region", name="Changed lines of main.tf")
    expect(diff.locator("ins").first).to_have_text(" # pinned")
    # Marks are visible without colours.
    assert "underline" in diff.locator("ins").first.evaluate("mark => getComputedStyle(mark).textDecorationLine")
    assert "line-through" in diff.locator("del").first.evaluate("mark => getComputedStyle(mark).textDecorationLine")
    page.get_by_label("Compare with").select_option(scene.failed.name)
    page.get_by_role("button", name="Compare").click()
    expect(page).to_have_url(re.compile(f"with={scene.failed.name}"))
    expect(page.get_by_text("known once both imports have succeeded")).to_be_visible()


def test_parameters_are_checked_while_typing_and_used_in_a_dry_run(page, scene, sign_in):
    sign_in(scene.owner)
    page.goto(f"{TEMPLATE}/parameters")
    preview, cpu = page.locator("#preview"), page.get_by_label("cpu")
    expect(preview).to_contain_text('region = "eu-west-1"')
    cpu.fill("99")
    expect(page.get_by_text("99 is more than the maximum 16.")).to_be_visible()
    expect(preview).to_contain_text("cpu = 99 # out of range")
    expect(cpu).to_be_focused()
    cpu.fill("8")
    expect(page.get_by_text("is more than the maximum")).to_be_hidden()
    page.get_by_text("US (Virginia)").click()
    expect(preview).to_contain_text('region = "us-east-1"')
    page.get_by_label("registry_token").fill(HIDDEN)
    expect(preview).to_contain_text("registry_token = (secret)")
    page.get_by_label("project").fill("apollo")
    expect(preview).not_to_contain_text("needs a value")
    assert HIDDEN not in page.content()
    page.get_by_role("button", name="Start a dry run").click()
    expect(page.get_by_role("heading", name="Dry run quiet_lovelace3")).to_be_visible()
    job = ProvisionerJob.objects.filter(type=JobType.DRY_RUN).latest("created_at")
    given = {row["name"]: row["value"] for row in job.input["rich_parameter_values"]}
    assert (given["region"], given["cpu"], given["project"]) == ("us-east-1", "8", "apollo")
    assert job.input["parameter_values"] == [{"name": "registry_token", "value": HIDDEN}]
    expect(page.get_by_role("link", name="Cancel the dry run")).to_be_visible()
    expect(page.locator(".live")).to_have_text("Live")
    finish(job, result=found().start)
    expect(page.locator(".live")).to_have_text("Finished")
    expect(page.locator("#job-side").get_by_text("docker_volume")).to_be_visible()


def test_an_incomplete_form_keeps_its_values(page, scene, sign_in, problems):
    sign_in(scene.owner)
    page.goto(f"{TEMPLATE}/versions/{scene.active.name}/parameters")
    page.get_by_label("image").fill("NO IMAGE")
    expect(page.get_by_text("Not an image reference.")).to_be_visible()
    page.get_by_label("registry_token").fill(HIDDEN)
    page.get_by_label("dotfiles").uncheck()
    page.get_by_role("button", name="Start a dry run").click()
    expect(page.get_by_role("alert")).to_contain_text("The dry run was not started.")
    expect(page.get_by_text("This parameter has no default. Enter a value.")).to_be_visible()
    expect(page.get_by_label("image")).to_have_value("NO IMAGE")
    expect(page.get_by_label("dotfiles")).not_to_be_checked()
    expect(page.get_by_label("registry_token")).to_have_value("")
    assert HIDDEN not in page.content()
    # The browser reports the status of the response; there is no other error.
    assert all("status of 400" in problem for problem in problems)
    problems.clear()


def test_resource_graph_has_a_table(page, scene, sign_in):
    sign_in(scene.owner)
    page.goto(f"{TEMPLATE}/resources")
    picture = page.get_by_role("img", name="2 resources with 1 agent")
    expect(picture).to_be_visible()
    expect(picture.get_by_text("JupyterLab", exact=True)).to_be_visible()
    page.get_by_text("2 resources as a table").click()
    expect(page.get_by_role("cell", name="workspace docker_container")).to_be_visible()
    expect(page.get_by_text("token: (secret)")).to_be_visible()


def test_user_is_found_while_typing_and_gets_access(page, scene, sign_in):
    sign_in(scene.owner)
    page.goto(f"{TEMPLATE}/permissions")
    page.get_by_label("Add a user").press_sequentially("oma")
    expect(page.locator("#people option")).to_have_count(1)
    page.get_by_label("Add a user").fill("omar")
    page.get_by_label("Role of the user").select_option("admin")
    page.get_by_role("button", name="Add the user").click()
    expect(page.get_by_text("omar may now administer it.")).to_be_visible()
    page.get_by_role("link", name="Remove mira from the access list").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove mira").click()
    expect(page.get_by_role("link", name="Remove mira from the access list")).to_have_count(0)
    entries = TemplateAccess.objects.filter(template=scene.docker, user__isnull=False)
    assert [(entry.user.username, entry.role) for entry in entries] == [("omar", "admin")]


def test_settings_are_saved_and_a_template_is_deleted(page, scene, sign_in):
    sign_in(scene.owner)
    page.goto(f"{TEMPLATE}/settings")
    page.get_by_label("Display name").fill("Containers")
    page.get_by_label("Developers may cancel builds").uncheck()
    page.get_by_role("button", name="Save the settings").click()
    expect(page.get_by_role("heading", name="Containers", level=1)).to_be_visible()
    page.get_by_label("Type docker to confirm").fill("docker")
    page.get_by_role("button", name="Delete docker").click()
    expect(page.get_by_text("docker is deleted.")).to_be_visible()
    template = Template.objects.get(pk=scene.docker.pk)
    assert (template.deleted, template.allow_user_cancel_workspace_jobs) == (True, False)


def test_audit_tab_shows_the_changes(page, scene, sign_in):
    sign_in(scene.owner)
    page.goto(f"{TEMPLATE}/audit")
    expect(page.get_by_text("contractors: use, Everyone: use")).to_be_visible()
    page.get_by_role("button", name="Deleted").click()
    expect(page.get_by_text("No matching events.")).to_be_visible()


def test_a_form_works_without_script(browser, live_api, scene, sign_in, context):
    sign_in(scene.owner)
    plain = browser.new_context(java_script_enabled=False, base_url=live_api.url, storage_state=context.storage_state())
    try:
        page = plain.new_page()
        page.goto(f"{TEMPLATE}/parameters")
        page.get_by_label("project").fill("apollo")
        page.get_by_role("button", name="Start a dry run").click()
        assert page.get_by_text("A dry run of quiet_lovelace3 is queued.").is_visible()
    finally:
        plain.close()


@pytest.mark.parametrize("width", [390, 1440])
def test_very_long_graph_scrolls_inside_its_box(width, page, scene, sign_in):
    sign_in(scene.owner)
    page.set_viewport_size({"width": width, "height": 844})
    page.goto(f"{TEMPLATE}/resources")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
