"""Settings of a server that runs during a test, on the test's database and routes."""

import os

from coderproj.settings import *  # noqa: F403
from coderproj.settings import DATABASES

ROOT_URLCONF = "tests.provisioning.log.following.urls"
DATABASES["default"]["NAME"] = os.environ["TEST_DATABASE_NAME"]
