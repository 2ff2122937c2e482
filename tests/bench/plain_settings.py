"""The product's settings with the plain routes beside its own, and limits out of the way but at work."""

from coderproj.settings import *  # noqa: F403

ROOT_URLCONF = "tests.bench.plain"
RATELIMIT_API = 10**9
