"""Workspaces for tests of pages."""

import pytest

from coderproj.identity.actor import Actor
from coderproj.identity.models import User
from provisioning.engine import base
from provisioning.queue import jobs
from templates_app.models import Template
from templates_app.workspaces.models import Workspace, WorkspaceBuild
from templates_app.workspaces.services import builds, workspaces
from templates_app.workspaces.services.values import NamedValue
from tests.factories import claim, make_template

AGENT = base.Agent(name="main", operating_system="linux", architecture="amd64", apps=(base.App(slug="editor"),))
MACHINE = base.Resource(name="dev", type="docker_container", agents=(AGENT,), daily_cost=7)
HOME = base.Resource(name="home", type="docker_volume")
PARAMETERS = (
    base.RichParameter(name="region", default_value="eu", type="string"),
    base.RichParameter(name="cpu", default_value="2", type="number", mutable=True, validation_monotonic="increasing"),
    base.RichParameter(name="once", default_value="", type="string", mutable=True, ephemeral=True),
)
IMPORTED = base.ImportResult(
    start=base.PlanResult(resources=(MACHINE, HOME), rich_parameters=PARAMETERS),
    stop=base.PlanResult(resources=(HOME,), rich_parameters=PARAMETERS),
)


@pytest.fixture
def template(owner, organization):
    """A template with a machine, which exists while a workspace runs, and a volume, which is kept."""
    return make_template(
        user=owner, organization=organization, name="web", display_name="Web machines", result=IMPORTED
    )


def create(user: User, template: Template, name: str = "dev", **fields) -> Workspace:
    """Create a workspace of a user, which waits for its first build."""
    new = workspaces.NewWorkspace(name, template_id=template.pk, **fields)
    return workspaces.create(Actor.of(user), template.organization, user, new)


def finish_build(*, error: str = "", resources=(MACHINE, HOME)) -> WorkspaceBuild:
    """Claim the waiting build and end it."""
    lease = claim()
    if error:
        jobs.fail(lease, error)
    else:
        jobs.complete(lease, base.BuildResult(tuple(resources)))
    return WorkspaceBuild.objects.get(job_id=lease.job_id)


def build(user: User, workspace: Workspace, transition: str) -> WorkspaceBuild:
    return builds.create(Actor.of(user), workspace, builds.NewBuild(base.Transition(transition)))


@pytest.fixture
def running(ada, template) -> Workspace:
    """A running workspace of a member, with values for its parameters."""
    values = [NamedValue("region", "us"), NamedValue("cpu", "4")]
    workspace = create(ada, template, ttl_ms=8 * 3_600_000, rich_values=values)
    finish_build()
    workspace.refresh_from_db()
    return workspace


@pytest.fixture
def stopped(ada, running) -> Workspace:
    build(ada, running, "stop")
    finish_build(resources=(HOME,))
    running.refresh_from_db()
    return running
