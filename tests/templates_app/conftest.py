"""Whom the tests of templates and versions over the API are about."""

import pytest

from tests.api import ApiClient
from tests.factories import make_user


@pytest.fixture
def admin(organization):
    """``ada``, who manages the organization and has no role beyond it."""
    return make_user("ada", organizations=(organization,), organization_roles=("organization-admin",))


@pytest.fixture
def api(admin):
    return ApiClient(admin)
