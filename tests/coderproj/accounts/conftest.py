"""Fixtures: a deployment with one user for each role."""

from types import SimpleNamespace

import pytest

from tests.api import ApiClient
from tests.factories import make_organization, make_user


@pytest.fixture
def org():
    return make_organization("acme", is_default=True)


@pytest.fixture
def other_org():
    return make_organization("other")


@pytest.fixture
def users(org, other_org):
    """``owner``, ``admin`` (of the organization) and ``member`` are members of ``org``; ``stranger`` administers
    another organization; the other site roles have no organization."""
    return SimpleNamespace(
        owner=make_user("owner", organizations=(org,), site_roles=("owner",)),
        user_admin=make_user("useradmin", site_roles=("user-admin",)),
        template_admin=make_user("templateadmin", site_roles=("template-admin",)),
        auditor=make_user("auditor", site_roles=("auditor",)),
        admin=make_user("admin", organizations=(org,), organization_roles=("organization-admin",)),
        member=make_user("member", organizations=(org,)),
        stranger=make_user("stranger", organizations=(other_org,), organization_roles=("organization-admin",)),
    )


@pytest.fixture
def api(users):
    """An API client for each user, under the same name."""
    return SimpleNamespace(**{name: ApiClient(user) for name, user in vars(users).items()})


@pytest.fixture
def statuses(users):
    """Return a function that runs ``call(client)`` as every user and returns the status codes by name."""

    def by_name(call):
        return {name: call(ApiClient(user)).status_code for name, user in vars(users).items()}

    return by_name
