"""A running workspace with an agent."""

import uuid

import pytest

from provisioning.engine.base import Agent, App, AppHealthcheck, BuildResult, Resource
from provisioning.models import WorkspaceAgent
from templates_app.agents.coordination.coordinator import Coordinator
from tests.factories import make_organization, make_template, make_user, make_workspace
from tests.templates_app.agents.callers import AgentClient


@pytest.fixture
def organization(db):
    return make_organization("acme", is_default=True)


@pytest.fixture
def owner(organization):
    """An owner of the site, who is a member of the organization."""
    return make_user("owner", organizations=(organization,), site_roles=("owner",))


@pytest.fixture
def ada(organization):
    """A member without roles."""
    return make_user("ada", organizations=(organization,))


@pytest.fixture
def template(owner, organization):
    return make_template(user=owner, organization=organization, name="web")


@pytest.fixture
def token():
    return str(uuid.uuid4())


@pytest.fixture
def built(token):
    """What each build of the workspace makes: an agent with two apps, one of them with a health check."""
    apps = (
        App(slug="code", url="http://localhost:1", healthcheck=AppHealthcheck("http://localhost:1/healthz", 5, 6)),
        App(slug="shell", command="bash"),
    )
    agent = Agent(
        name="main",
        auth_token=token,
        apps=apps,
        environment={"EDITOR": "vi"},
        startup_script="make up",
        startup_script_timeout_seconds=300,
        directory="/home/ada",
        motd_file="/etc/motd",
        shutdown_script="make down",
        shutdown_script_timeout_seconds=60,
        connection_timeout_seconds=120,
    )
    return BuildResult((Resource("dev", "vm", agents=(agent,)),))


@pytest.fixture
def workspace(ada, template, built):
    """A running workspace of ada."""
    return make_workspace(user=ada, template=template, name="dev", result=built, ttl_ms=8 * 3_600_000)


@pytest.fixture
def agent(workspace):
    """Its agent, as a row."""
    return WorkspaceAgent.objects.get()


@pytest.fixture
def program(agent, token):
    """The same as a program that calls the API."""
    return AgentClient(token)


@pytest.fixture
def without_renewals(monkeypatch):
    """A server that does not write each 30 seconds that its agents are connected. Its clock began in another test, so
    that could be at any moment."""

    async def renew(self):
        pass

    monkeypatch.setattr(Coordinator, "renew", renew)
