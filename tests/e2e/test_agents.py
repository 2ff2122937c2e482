"""Agents on the page of a workspace in a browser: their states change while the page is open."""

import re
import uuid
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from playwright.sync_api import Page, expect

from provisioning.engine.base import Agent, App, AppHealthcheck, BuildResult, Resource
from provisioning.models import WorkspaceAgent, WorkspaceApp
from tests.e2e.conftest import NARROW, carry_session
from tests.factories import make_template, make_workspace
from tests.templates_app.agents.callers import Socket

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]
LONG = 30_000
PAGE = "/@mira/dev"
OTHER_PROGRAM = "v0.15.3+7aa5d2f"


class Machine:
    """A machine whose agent reports to the server."""

    def __init__(self, api, token: str) -> None:
        self.token = token
        self.socket = f"{api.ws_url}/api/v2/workspaceagents/me/coordinate"
        self._root = f"{api.url}/api/v2/workspaceagents/me"

    def report(self, path: str, body: object) -> None:
        headers = {"Coder-Session-Token": self.token}
        httpx.post(f"{self._root}/{path}", json=body, headers=headers, timeout=30).raise_for_status()


@pytest.fixture
def machine(live_api, scene) -> Machine:
    """The machine of a running workspace of mira."""
    token = str(uuid.uuid4())
    apps = (
        App("code", "Editor", url="http://localhost:13337", healthcheck=AppHealthcheck("http://localhost:13337", 5, 6)),
        App("docs", "Handbook", url="https://docs.example.test/", external=True),
    )
    agent = Agent("main", "linux", "amd64", auth_token=token, apps=apps, connection_timeout_seconds=3600)
    result = BuildResult((Resource("a_container_with_quite_a_long_name", "kubernetes_deployment_v1", agents=(agent,)),))
    template = make_template(user=scene.owner, organization=scene.organization, name="machines")
    make_workspace(user=scene.member, template=template, name="dev", result=result)
    return Machine(live_api, token)


def shows(page: Page, part: str, word: str) -> None:
    expect(page.locator(f'#agents [data-shows="{part}"]').first).to_have_text(word, timeout=LONG)


def test_states_change_while_the_page_is_open(page, machine, scene, sign_in, looks_right):
    sign_in(scene.member)
    page.goto(PAGE)
    shows(page, "status", "Connecting")
    shows(page, "health", "Checking")
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    with Socket(machine.socket, machine.token):
        shows(page, "status", "Connected")
        machine.report("report-lifecycle", {"state": "starting"})
        shows(page, "lifecycle", "Starting")
        machine.report("report-lifecycle", {"state": "ready"})
        shows(page, "lifecycle", "Ready")
        app = WorkspaceApp.objects.get(slug="code")
        machine.report("app-health", {"healths": {str(app.pk): "healthy"}})
        shows(page, "health", "Healthy")
        machine.report("app-health", {"healths": {str(app.pk): "unhealthy"}})
        shows(page, "health", "Unhealthy")
        expect(page.locator("#announcement")).to_have_text("App Editor: Unhealthy")
        assert requests == []  # the stream was enough
        looks_right(page)
        machine.report("version", {"version": OTHER_PROGRAM})
        machine.report("report-lifecycle", {"state": "starting"})
        shows(page, "version", OTHER_PROGRAM)
        expect(page.locator("#agents").get_by_text("coder ssh dev", exact=True)).to_be_visible(timeout=LONG)
        looks_right(page)
    shows(page, "status", "Disconnected")
    expect(page.locator("#agents .agent-note").get_by_text("The agent is not reachable.")).to_be_visible()
    expect(page.locator("#agents").get_by_role("link", name="Handbook")).to_be_visible()
    looks_right(page)


def test_failed_startup_is_explained_when_it_happens(page, machine, scene, sign_in, looks_right):
    sign_in(scene.member)
    page.goto(PAGE)
    note = page.get_by_text("The startup script ended with an error.")
    expect(note).to_be_hidden()
    with Socket(machine.socket, machine.token):
        shows(page, "status", "Connected")
        machine.report("report-lifecycle", {"state": "start_error"})
        shows(page, "lifecycle", "Startup failed")
        expect(note).to_be_visible()
        looks_right(page)


def test_time_limit_passes_while_the_page_is_open(page, machine, scene, sign_in):
    created_at = datetime.now(UTC) - timedelta(seconds=3595)
    WorkspaceAgent.objects.update(created_at=created_at)
    sign_in(scene.member)
    page.goto(PAGE)
    shows(page, "status", "Timed out")
    expect(page.get_by_text("The agent has not connected within 1h 00m.")).to_be_visible()


def test_hidden_tab_closes_its_stream_and_catches_up_later(page, machine, scene, sign_in, live_api):
    def hide(is_hidden: bool) -> None:
        value = "true" if is_hidden else "false"
        page.evaluate(f"Object.defineProperty(document, 'hidden', {{ value: {value}, configurable: true }})")
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")

    sign_in(scene.member)
    page.goto(PAGE)
    live_api.wait_for_streams(1)
    hide(True)
    live_api.wait_for_streams(0)
    WorkspaceAgent.objects.update(lifecycle_state="ready")  # without a notification
    hide(False)
    shows(page, "lifecycle", "Ready")


def test_commands_are_copied_by_keyboard_and_selected_without_script(page, machine, scene, sign_in, browser, live_api):
    machine.report("version", {"version": OTHER_PROGRAM})
    sign_in(scene.member)
    page.goto(PAGE)
    button = page.get_by_role("button", name="Copy the command: Open a shell")
    button.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#announcement")).to_have_text("Copied")
    context = browser.new_context(base_url=live_api.url, java_script_enabled=False)
    try:
        carry_session(context, live_api.url, scene.member)
        plain = context.new_page()
        plain.goto(PAGE)
        command = plain.get_by_text("coder ssh dev", exact=True)
        expect(command).to_be_visible()
        expect(command).to_have_css("user-select", "all")
        expect(plain.locator("#agents").get_by_text("Connecting")).to_be_visible()
    finally:
        context.close()


def test_names_of_resources_are_not_cut_on_narrow_screens(page, machine, scene, sign_in):
    sign_in(scene.member)
    page.set_viewport_size(NARROW)
    page.goto(PAGE)
    for text in ("a_container_with_quite_a_long_name", "kubernetes_deployment_v1"):
        shown = page.locator("#resources").get_by_text(text, exact=True)
        expect(shown).to_be_visible()
        assert shown.evaluate("(one) => one.scrollWidth <= one.clientWidth")  # both are blocks


def test_another_build_is_shown_at_once(page, machine, scene, sign_in, context):
    sign_in(scene.member)
    page.goto(PAGE)
    shows(page, "status", "Connecting")
    other = context.new_page()
    other.goto(f"{PAGE}/stop")
    other.get_by_role("button", name=re.compile("Stop")).click()
    expect(page.locator("#workspace-head h1").get_by_text("Pending", exact=True)).to_be_visible(timeout=LONG)
    other.close()
