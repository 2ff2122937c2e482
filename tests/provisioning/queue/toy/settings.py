"""The settings of an installation with the test app."""

from coderproj.settings import *  # noqa: F403
from coderproj.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.provisioning.queue.toy.apps.ToyConfig"]
