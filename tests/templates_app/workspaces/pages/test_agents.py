"""Agents and apps on the page of a workspace, and their health in lists."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings

from provisioning.engine import base
from provisioning.models import WorkspaceAgent, WorkspaceApp
from templates_app.agents.models import AgentStatistic
from templates_app.workspaces.pages import agents
from tests.factories import make_user
from tests.pages import browser, text_of
from tests.templates_app.workspaces.pages.conftest import AGENT, build, create, finish_build

pytestmark = pytest.mark.django_db
PAGE = "/@ada/dev"
OTHER_PROGRAM = "v0.15.3+7aa5d2f"


def card(response) -> str:
    """Return the text of the card of agents."""
    page = response.content.decode()
    assert 'id="agents"' in page
    part = page.partition('id="agents"')[2].partition("</section>")[0]
    return " ".join(re.sub(r"<[^>]*>", " ", part.partition(">")[2]).split())


def connect(**fields) -> None:
    """Let all agents be connected."""
    now = datetime.now(UTC)
    times = {"first_connected_at": now, "last_connected_at": now, "alive_until": now + timedelta(hours=1)}
    WorkspaceAgent.objects.update(**times | fields)


def made_with(*apps: base.App, agents_count: int = 1, **fields) -> base.Resource:
    found = tuple(
        base.Agent(name=f"agent{number}", operating_system="linux", architecture="amd64", apps=apps, **fields)
        for number in range(agents_count)
    )
    return base.Resource(name="dev", type="docker_container", agents=found)


def run(user, template, resource: base.Resource, name: str = "dev"):
    """Create a running workspace with a resource."""
    workspace = create(user, template, name)
    finish_build(resources=(resource,))
    workspace.refresh_from_db()
    return workspace


# ---------------------------------------------------------------------- states
def test_page_follows_the_connection_of_an_agent(ada, running):
    def attributes() -> tuple[str, str]:
        page = browser(ada).get(PAGE).content.decode()
        return re.search(r'data-status="(\w+)" data-lifecycle="(\w+)"', page).groups()

    assert attributes() == ("connecting", "created")
    WorkspaceAgent.objects.update(connection_timeout_seconds=60, created_at=datetime.now(UTC) - timedelta(minutes=5))
    assert attributes() == ("timeout", "created")
    connect(lifecycle_state="ready")
    assert attributes() == ("connected", "ready")
    WorkspaceAgent.objects.update(disconnected_at=datetime.now(UTC) + timedelta(seconds=1))
    assert attributes() == ("disconnected", "ready")


def test_page_names_version_system_resource_and_traffic(ada, organization, running):
    connect(version=OTHER_PROGRAM)
    reader = make_user("tom", organizations=(organization,), site_roles=("template-admin",))
    agent = WorkspaceAgent.objects.get(resource__job__workspace_build__workspace=running)
    for age, received in ((600, 1), (60, 2048)):
        AgentStatistic.objects.create(
            created_at=datetime.now(UTC) - timedelta(seconds=age),
            agent=agent,
            workspace=running,
            template=running.template,
            user=ada,
            connections=3,
            rx_bytes=received,
            tx_bytes=1024,
        )
    text = card(browser(ada).get(PAGE))
    for part in ("main", "Connected", "linux/amd64", OTHER_PROGRAM, "docker_container.dev"):
        assert part in text
    assert "2.0\xa0KB in, 1.0\xa0KB out, 3 connections, 1m ago".replace("\xa0", " ") in text.replace("\xa0", " ")
    assert "Latest traffic" not in card(browser(reader).get(PAGE))


def test_agents_of_a_stopped_or_starting_workspace_have_no_state(ada, stopped):
    assert 'id="agents"' not in browser(ada).get(PAGE).content.decode()
    build(ada, stopped, "start")
    assert 'id="agents"' not in browser(ada).get(PAGE).content.decode()


def test_workspace_without_agents_says_so(ada, template):
    run(ada, template, base.Resource(name="home", type="docker_volume"))
    assert "the template declares no agent" in card(browser(ada).get(PAGE))


def test_troubleshooting_is_linked_if_it_is_a_web_page(ada, template, settings):
    settings.AGENT_TROUBLESHOOTING_URL = "https://help.example.test/agents"
    run(ada, template, made_with(troubleshooting_url="https://help.example.test/own"))
    assert "https://help.example.test/own" in browser(ada).get(PAGE).content.decode()
    WorkspaceAgent.objects.update(troubleshooting_url="")
    assert "https://help.example.test/agents" in browser(ada).get(PAGE).content.decode()
    WorkspaceAgent.objects.update(troubleshooting_url="javascript:alert(1)")
    page = browser(ada).get(PAGE).content.decode()
    assert "javascript:" not in page
    assert "Troubleshooting" not in card(browser(ada).get(PAGE))


def test_page_is_read_again_when_a_time_limit_passes(ada, running):
    assert "load delay:" not in browser(ada).get(PAGE).content.decode()
    WorkspaceAgent.objects.update(connection_timeout_seconds=90)
    # As long as the agent may still take, less what the test has taken.
    delay = re.search(r"load delay:(\d+)s", browser(ada).get(PAGE).content.decode())
    assert 45 <= int(delay[1]) <= 90
    connect()
    assert "load delay:" not in browser(ada).get(PAGE).content.decode()


def test_numbers_of_agents_and_apps_are_bounded(ada, template, monkeypatch):
    monkeypatch.setattr(agents, "AGENTS_SHOWN", 2)
    monkeypatch.setattr(agents, "APPS_SHOWN", 1)
    apps = (base.App(slug="one"), base.App(slug="two"), base.App(slug="three"))
    resource = made_with(agents_count=3)
    resource = base.Resource("dev", "vm", agents=(base.Agent("first", apps=apps), *resource.agents))
    run(ada, template, resource)
    text = card(browser(ada).get(PAGE))
    assert "the first 2; the API has 2 more" in text
    assert "The API has 2 more apps." in text
    assert "agent0" in text
    assert "agent1" not in text


# ---------------------------------------------------------------------- how to connect
def test_commands_are_shown_to_those_who_may_connect(ada, owner, organization, running):
    connect(version=OTHER_PROGRAM)
    reader = make_user("tom", organizations=(organization,), site_roles=("template-admin",))
    text = card(browser(ada).get(PAGE))
    for command in (
        f"coder login {settings.ACCESS_URL}",
        "coder ssh dev",
        "coder port-forward dev --tcp 8080:8080",
        "coder config-ssh",
        "ssh coder.dev.main",
    ):
        assert command in text
    text = card(browser(owner).get(PAGE))
    assert "coder ssh ada/dev" in text
    assert "config-ssh" not in text
    text = card(browser(reader).get(PAGE))
    assert "coder ssh" not in text
    assert "How to connect" not in text


def test_commands_name_the_agent_of_several(ada, template):
    run(ada, template, made_with(agents_count=2))
    connect(version=OTHER_PROGRAM)
    text = card(browser(ada).get(PAGE))
    assert "coder ssh dev.agent0" in text
    assert "coder ssh dev.agent1" in text


def test_commands_are_quoted_for_a_shell(ada, template):
    resource = base.Resource("dev", "vm", agents=(base.Agent("a"), base.Agent("b; rm -r ~")))
    run(ada, template, resource)
    connect(version=OTHER_PROGRAM)
    page = browser(ada).get(PAGE).content.decode()
    assert "coder ssh &#x27;dev.b; rm -r ~&#x27;" in page


def test_no_command_is_shown_for_an_agent_that_has_no_tunnel(ada, running, settings):
    connect(version=settings.BUILD_VERSION)
    text = card(browser(ada).get(PAGE))
    assert "has no SSH and no tunnel" in text
    assert "coder login" not in text
    WorkspaceAgent.objects.update(version="")
    text = card(browser(ada).get(PAGE))
    assert "known once the agent has connected" in text
    assert "coder login" not in text
    settings.AGENT_BINARIES = "/srv/agents"
    assert "coder ssh dev" in card(browser(ada).get(PAGE))


def test_page_never_contains_a_token(ada, owner, template):
    token = "8a6e2c9c-3f57-4a3c-9d1c-5a4f3e6b7d10"
    run(ada, template, made_with(auth_token=token, environment={"SECRET": "hidden-value"}))
    for user in (ada, owner):
        page = browser(user).get(PAGE).content.decode()
        assert token not in page
        assert "hidden-value" not in page


# ---------------------------------------------------------------------- apps
@pytest.mark.parametrize(
    ("url", "is_link"),
    [
        ("https://code.example.test/", True),
        ("HTTPS://code.example.test/", True),
        ("vscode://coder.coder-remote/open?owner=ada", True),
        ("jetbrains-gateway://connect#host=a", True),
        ("javascript:alert(1)", False),
        (" javascript:alert(1)", False),
        ("java\nscript:alert(1)", False),
        ("data:text/html,x", False),
        ("ms-msdt:/id", False),
        ("file:///etc/passwd", False),
        ("//code.example.test", False),
        ("http://[::1", False),
        ("", False),
    ],
)
def test_external_apps_are_linked_if_their_address_is_safe(ada, template, url, is_link):
    run(ada, template, made_with(base.App(slug="code", display_name="Code", url=url, external=True)))
    page = browser(ada).get(PAGE).content.decode()
    assert ('class="app-chip" href=' in page) == is_link
    assert ("not one that browsers open" in page) != is_link


def test_external_apps_are_no_links_for_those_who_may_only_read(ada, organization, template):
    run(ada, template, made_with(base.App(slug="code", url="https://code.example.test/", external=True)))
    reader = make_user("tom", organizations=(organization,), site_roles=("template-admin",))
    response = browser(reader).get(PAGE)
    assert 'class="app-chip" href=' not in response.content.decode()
    assert "Opened by those who may connect" in card(response)


def test_other_apps_say_how_they_are_reached(ada, template):
    apps = (
        base.App(slug="web", url="http://localhost:13337/?folder=x"),
        base.App(slug="shell", command="bash"),
        base.App(slug="nothing"),
        base.App(slug="wrong", url="http://localhost:99999999"),
    )
    run(ada, template, made_with(*apps))
    connect(version=OTHER_PROGRAM)
    text = card(browser(ada).get(PAGE))
    assert "coder port-forward dev --tcp 13337:13337" in text
    assert "Then open http://localhost:13337/?folder=x" in text
    assert "coder ssh dev Then run bash" in text
    assert text.count("It has no address") == 2
    connect(version=settings.BUILD_VERSION)
    text = card(browser(ada).get(PAGE))
    assert "port-forward" not in text
    assert "On port 13337 of the machine" in text
    assert "Runs in a terminal" in text


def test_health_of_apps_is_shown(ada, template):
    check = base.AppHealthcheck("http://localhost:1/healthz", 5, 6)
    run(ada, template, made_with(base.App(slug="web", healthcheck=check), base.App(slug="shell", command="bash")))
    text = card(browser(ada).get(PAGE))
    assert "web Checking" in text
    assert "shell No health check" in text
    WorkspaceApp.objects.filter(slug="web").update(health="unhealthy")
    assert "web Unhealthy" in card(browser(ada).get(PAGE))


# ---------------------------------------------------------------------- lists
def test_list_shows_the_worst_of_all_agents(ada, template):
    apps = (base.App(slug="one"), base.App(slug="two"))
    run(ada, template, made_with(*apps, agents_count=2))
    client = browser(ada)

    def badge() -> str:
        page = client.get("/workspaces").content.decode()
        return re.sub(r"<[^>]*>", "", page.partition('<span class="health">')[2].partition("</td>")[0]).strip()

    assert badge() == "2 of 2 agents connecting"
    connect(lifecycle_state="ready")
    assert badge() == ""
    WorkspaceApp.objects.filter(slug="one").update(health="unhealthy")
    assert badge() == "2 apps unhealthy"
    WorkspaceAgent.objects.filter(name="agent0").update(lifecycle_state="starting")
    assert badge() == "1 of 2 agents starting up"
    WorkspaceAgent.objects.filter(name="agent0").update(lifecycle_state="start_error")
    assert badge() == "1 of 2 agents failed to start up"
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    WorkspaceAgent.objects.filter(name="agent1").update(last_connected_at=long_ago, alive_until=None)
    assert badge() == "1 of 2 agents disconnected"
    build(ada, ada.workspaces.get(), "stop")
    finish_build(resources=())
    assert badge() == ""


def test_list_finds_workspaces_by_their_agents(ada, template):
    for name in ("one", "two"):
        run(ada, template, base.Resource("dev", "vm", agents=(AGENT,)), name)
    connect()
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    of_one = WorkspaceAgent.objects.filter(resource__job__workspace_build__workspace__name="one")
    of_one.update(last_connected_at=long_ago, alive_until=None)
    page = browser(ada).get("/workspaces", {"q": "has-agent:disconnected"})
    assert "one" in text_of(page)
    assert "Agent disconnected" in text_of(page)
    assert "/@ada/two" not in page.content.decode()
