"""Fixtures for all tests."""

import gc
import time
from types import SimpleNamespace

import pytest
from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.urls import get_resolver

from coderproj.base.contributions import contributions, declared_by
from coderproj.identity import limits
from templates_app.statistics import usage
from tests import chromium, cleanup
from tests.factories import make_organization, make_user
from tests.live import _running_server, live_api  # noqa: F401 - fixtures
from tests.security.recorder import Recorder, measured, pytest_addoption  # noqa: F401 - a fixture and a hook

# Slow tests start first, so that all test processes end at about the same time.
SLOW = (
    "test_nothing_is_lost_through_twenty_faults",
    "test_demo_runs_only_on_a_server_of_this_installation",
    "test_nothing_stored_runs_on_any_page",
    "test_start_stop_and_restart_on_one_port",
    "test_odd_values_in_any_field_cause_no_failure",
)


def pytest_configure(config: pytest.Config) -> None:
    """Record promises. Fail before the first test if browser tests are selected and there is no browser."""
    config.pluginmanager.register(Recorder(config))
    if not hasattr(config, "workerinput") and chromium.is_needed(config):
        try:
            chromium.program()
        except FileNotFoundError as error:
            raise pytest.UsageError(str(error)) from None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.name not in SLOW)


def pytest_collection_finish() -> None:
    """Let the garbage collector skip modules and tests, and collect less often: it took a fifth of the suite's time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


@pytest.fixture(autouse=True, scope="session")
def _fast_cleanup():
    with pytest.MonkeyPatch.context() as monkeypatch:
        cleanup.patch(monkeypatch)
        yield


@pytest.fixture(autouse=True)
def _fast_passwords(settings):
    """Use a fast password hasher."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(autouse=True)
def _no_rate_limits(settings):
    """Turn rate limits off. Tests of the limits set them."""
    settings.RATELIMIT_API = settings.RATELIMIT_LOGIN = settings.RATELIMIT_UPLOADS = settings.RATELIMIT_ACCOUNT = 0


@pytest.fixture(autouse=True)
def _one_minute(monkeypatch):
    """Stop the clock of the rate limits in the middle of a minute: a hit of the previous minute counts less, so a test
    that runs across the end of a minute would get other numbers."""
    middle = time.time() // limits.WINDOW_SECONDS * limits.WINDOW_SECONDS + limits.WINDOW_SECONDS / 2
    monkeypatch.setattr(limits.counters, "_clock", lambda: middle)
    monkeypatch.setattr(limits, "time", SimpleNamespace(time=lambda: middle))


@pytest.fixture(autouse=True)
def _lazy_static_files(settings):
    """Find static files on request: scanning them for each test client takes longer than most tests."""
    settings.WHITENOISE_AUTOREFRESH = True


@pytest.fixture(autouse=True)
def _uncached_statistics(monkeypatch):
    """Turn off the cache of usage figures, so that tests see changes at once."""
    monkeypatch.setattr(usage, "CACHE_SECONDS", 0)


@pytest.fixture(autouse=True)
def _clear_content_type_cache():
    """Clear Django's cache, which keeps content types of rolled-back transactions."""
    ContentType.objects.clear_cache()


@pytest.fixture
def contribute():
    """``contribute(kind, path)`` adds a contribution for the length of a test. With ``alone=True`` it replaces the
    contributions of that kind from the installed apps."""
    get_resolver().url_patterns  # noqa: B018 - imports all modules before the contribution is added
    with pytest.MonkeyPatch.context() as monkeypatch:

        def add(kind: str, path: str, *, alone: bool = False) -> None:
            for config in apps.get_app_configs() if alone else ():
                rest = {name: value for name, value in declared_by(config).items() if name != kind}
                monkeypatch.setattr(config, "contributions", rest, raising=False)
            config = apps.get_app_config("coderproj")
            monkeypatch.setattr(config, "contributions", {**declared_by(config), kind: path}, raising=False)
            contributions.cache_clear()

        yield add
    contributions.cache_clear()


# ---------------------------------------------------------------------- users
@pytest.fixture
def organization(db):
    """``acme``, the default organization."""
    return make_organization("acme", is_default=True)


@pytest.fixture
def owner(organization):
    """``ada``, an owner."""
    return make_user("ada", organizations=(organization,), site_roles=("owner",))


@pytest.fixture
def member(organization):
    """``mira``, a member of the organization without roles."""
    return make_user("mira", organizations=(organization,))
