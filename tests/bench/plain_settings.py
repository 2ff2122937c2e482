"""The product's settings with the plain routes, and with a rate limit that is checked but never reached."""

from coderproj.settings import *  # noqa: F403

ROOT_URLCONF = "tests.bench.plain"
RATELIMIT_API = 10**9
