"""What every test stands on."""

import pytest


@pytest.fixture(autouse=True)
def _quick_passwords(settings):
    """Hashing is meant to be slow; tests are not."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
