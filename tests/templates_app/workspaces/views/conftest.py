"""Callers of each relation to a workspace, whose responses are compared with the OpenAPI document."""

import pytest

from tests.contract.described import DescribedApiClient
from tests.factories import make_organization, make_user, make_workspace


@pytest.fixture
def workspace(ada, template):
    """A running workspace of ada."""
    return make_workspace(user=ada, template=template, name="dev")


@pytest.fixture
def api(ada):
    """The workspace's owner."""
    return DescribedApiClient(ada)


@pytest.fixture
def callers(owner, ada, organization):
    """By relation to ada's workspaces: a client."""
    other = make_organization("other")
    users = {
        "owner": owner,
        "workspace owner": ada,
        "organization admin": make_user(organizations=(organization,), organization_roles=("organization-admin",)),
        "template admin": make_user(organizations=(organization,), site_roles=("template-admin",)),
        "user admin": make_user(organizations=(organization,), site_roles=("user-admin",)),
        "auditor": make_user(organizations=(organization,), site_roles=("auditor",)),
        "member": make_user(organizations=(organization,)),
        "stranger": make_user(organizations=(other,)),
    }
    return {name: DescribedApiClient(user) for name, user in users.items()}
