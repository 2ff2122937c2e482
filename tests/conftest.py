"""What every test stands on."""

import pytest

from tests.live import _running_server, live_api  # noqa: F401 - fixtures


@pytest.fixture(autouse=True)
def _quick_passwords(settings):
    """Hashing is meant to be slow; tests are not."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(autouse=True)
def _no_rate_limits(settings):
    """Tests make more requests than people do; those of the limits set them."""
    settings.RATELIMIT_API = settings.RATELIMIT_LOGIN = settings.RATELIMIT_UPLOADS = 0
