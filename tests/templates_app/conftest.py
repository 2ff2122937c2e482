"""The users and organizations of the tests of templates and versions."""

import pytest

from tests.api import ApiClient
from tests.factories import make_user


@pytest.fixture
def admin(organization):
    """``ada``, an administrator of the organization without site roles."""
    return make_user("ada", organizations=(organization,), organization_roles=("organization-admin",))


@pytest.fixture
def api(admin):
    return ApiClient(admin)
