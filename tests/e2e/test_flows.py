"""Flows that need a real daemon or a server restart in the browser."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from coderproj.identity import tokens
from coderproj.identity.authentication import SESSION_COOKIE
from coderproj.web.server import Server
from provisioning.engine.base import Stage
from provisioning.log import writing
from provisioning.queue import jobs
from templates_app.models import Template
from tests.e2e.scene import Scene, found, line
from tests.vocabulary import run_daemon, tar_of

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]
ASKS_FOR_A_TOKEN = """
variable "token" {
  description = "The owner of the machine."
}

resource "terraform_data" "machine" {
  input = var.token
}
"""


@pytest.mark.terraform
def test_failed_import_is_retried_with_a_value_and_becomes_a_template(
    page, organization, owner, sign_in, tmp_path: Path
):
    sign_in(owner)
    page.goto("/templates/new")
    archive = {"name": "mine.tar", "mimeType": "application/x-tar", "buffer": tar_of({"main.tf": ASKS_FOR_A_TOKEN})}
    page.get_by_label("Choose an archive, or drop it here").set_input_files(archive)
    page.get_by_role("button", name="Upload and import").click()
    with run_daemon(tmp_path / "log"):
        expect(page.get_by_role("alert")).to_contain_text("missing parameter: token", timeout=30_000)
        page.get_by_role("link", name="Retry").click()
        page.get_by_label("token").fill("s3cr3t")
        page.get_by_role("button", name="Import again").click()
        expect(page.locator("#version-head").get_by_text("Succeeded", exact=True)).to_be_visible(timeout=30_000)
    expect(page.locator("#log").get_by_text(Stage.PERSISTENT)).to_be_visible()
    expect(page.locator("#version-side").get_by_text("terraform_data")).to_be_visible()
    page.get_by_label("Name", exact=True).fill("mine")
    page.get_by_role("button", name="Create the template").click()
    expect(page.get_by_text("mine is created")).to_be_visible()
    assert Template.objects.get(name="mine").active_version.job.status == "succeeded"


def test_followed_log_continues_after_a_server_restart(browser: Browser, scene: Scene):
    """Every line is shown once."""
    _, token = tokens.issue(user=scene.owner)

    def write(*texts: str) -> int:
        """Write lines and return the number of the last."""
        return writing.append(scene.lease.job_id, scene.lease.token, [line(Stage.PERSISTENT, text) for text in texts])

    first = Server()
    context = browser.new_context(base_url=first.url)
    try:
        with first.in_thread() as url:
            context.add_cookies([{"name": SESSION_COOKIE, "value": token, "url": url}])
            page = context.new_page()
            page.goto(f"/templates/acme/docker/versions/{scene.running.name}")
            write("before the restart")
            expect(page.get_by_text("before the restart")).to_be_visible()
        expect(page.locator(".live")).to_have_text("Reconnecting")
        last = write("while it was down", "and one more")
        with Server(port=int(url.rpartition(":")[2])).in_thread():
            expect(page.get_by_text("and one more")).to_be_visible(timeout=30_000)
            expect(page.locator(".live")).to_have_text("Live")
            write("after the restart")
            jobs.complete(scene.lease, found())
            expect(page.locator(".live")).to_have_text("Finished")
            numbers = [int(re.sub(r"\D", "", row.get_attribute("id") or "")) for row in page.locator(".line").all()]
            assert numbers == sorted(set(numbers))
            assert numbers[-4:] == [last - 2, last - 1, last, last + 1]
            page.goto("about:blank")
    finally:
        context.close()
