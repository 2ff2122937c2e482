"""A template that members can build from."""

import pytest

from coderproj.identity.actor import Actor
from templates_app.workspaces.services import workspaces
from tests.factories import make_organization, make_template, make_user
from tests.templates_app.workspaces.lives import begin, build, finish_build


@pytest.fixture
def organization():
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
def workspace(ada, organization, template):
    return begin(ada, organization, template)


@pytest.fixture
def running(workspace):
    """A running workspace whose deadline is in eight hours."""
    finish_build()
    workspace.refresh_from_db()
    return workspace


@pytest.fixture
def stopped(ada, running):
    """A stopped workspace that starts each hour."""
    workspaces.set_schedule(Actor.of(ada), running, "0 * * * *")
    build(ada, running, "stop")
    finish_build()
    running.refresh_from_db()
    return running
