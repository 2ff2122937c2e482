"""A deployment with one person of each kind."""

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
def people(org, other_org):
    """``owner`` and ``admin`` (of the organization) and ``member`` are members; ``stranger`` administers another
    organization; the holders of site roles are in none."""
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
def api(people):
    """Clients by the same names."""
    return SimpleNamespace(**{name: ApiClient(user) for name, user in vars(people).items()})


@pytest.fixture
def statuses(people):
    """Calls ``call(client)`` as everybody: the status by name."""

    def by_name(call):
        return {name: call(ApiClient(user)).status_code for name, user in vars(people).items()}

    return by_name
