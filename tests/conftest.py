"""What every test stands on."""

import pytest
from django.contrib.contenttypes.models import ContentType

from templates_app.statistics import usage
from tests import chromium, emptying
from tests.factories import make_organization, make_user
from tests.live import _running_server, live_api  # noqa: F401 - fixtures

# What takes long begins early, so that the processes of a run end together.
LONG = (
    "test_nothing_is_lost_through_twenty_faults",
    "test_the_demonstration_shows_the_main_job_on_servers_of_ours_alone",
    "test_nothing_stored_runs_on_any_page",
    "test_everything_comes_up_on_one_port_stops_cleanly_and_starts_again",
    "test_odd_values_in_every_field_of_every_body",
)


def pytest_configure(config: pytest.Config) -> None:
    """Fail before the first test if browser tests are selected and there is no browser."""
    if not hasattr(config, "workerinput") and chromium.is_needed(config):
        try:
            chromium.program()
        except FileNotFoundError as error:
            raise pytest.UsageError(str(error)) from None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.name not in LONG)


@pytest.fixture(autouse=True, scope="session")
def _quick_emptying():
    with pytest.MonkeyPatch.context() as monkeypatch:
        emptying.patch(monkeypatch)
        yield


@pytest.fixture(autouse=True)
def _quick_passwords(settings):
    """Hashing is meant to be slow; tests are not."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(autouse=True)
def _no_rate_limits(settings):
    """Tests make more requests than people do; those of the limits set them."""
    settings.RATELIMIT_API = settings.RATELIMIT_LOGIN = settings.RATELIMIT_UPLOADS = 0


@pytest.fixture(autouse=True)
def _static_files_when_asked_for(settings):
    """Every test's client would look for all of them first, which takes longer than most tests. Servers did so once."""
    settings.WHITENOISE_AUTOREFRESH = True


@pytest.fixture(autouse=True)
def _statistics_of_now(monkeypatch):
    """Lists may show figures of some seconds ago; tests look at once."""
    monkeypatch.setattr(usage, "FRESH_SECONDS", 0)


@pytest.fixture(autouse=True)
def _no_content_types_of_earlier_tests():
    """Django remembers them for the process, also those whose transaction was rolled back."""
    ContentType.objects.clear_cache()


# ---------------------------------------------------------------------- whom many tests are about
@pytest.fixture
def organization(db):
    """``acme``, the default organization."""
    return make_organization("acme", is_default=True)


@pytest.fixture
def owner(organization):
    """``ada``, who may do everything."""
    return make_user("ada", organizations=(organization,), site_roles=("owner",))


@pytest.fixture
def member(organization):
    """``mira``, who belongs to the organization and has no role in it."""
    return make_user("mira", organizations=(organization,))
