"""Times in responses: RFC 3339 in UTC with ``Z``, without trailing zeros in the fraction (contract, times)."""

import re

import pytest

from coderproj.api.permissions import Public, SignedIn
from templates_app import reads
from tests.api import ApiClient
from tests.factories import make_organization, make_user, make_version
from tests.routes import api_routes
from tests.world import rolled_back_world

TIME = re.compile(rb'"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[^"]*"')
RIGHT = re.compile(rb'"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,5}[1-9])?Z"')
READS = [route for route in api_routes() if "GET" in route.methods and {SignedIn, Public} & route.permissions]


@pytest.fixture(scope="module")
def times(django_db_setup, django_db_blocker) -> dict[str, list[bytes]]:
    """The times in the response of every read, by route pattern."""
    found: dict[str, list[bytes]] = {}
    with django_db_blocker.unblock(), rolled_back_world(1) as world:
        api = ApiClient(world.owner)
        for route in READS:
            try:
                path = world.path(route.pattern)
            except KeyError:
                continue
            found[route.pattern] = TIME.findall(api.get(path).raw)
    return found


def test_all_times_in_responses_have_the_format(times):
    assert sum(map(len, times.values())) > 100
    wrong = {pattern: [time for time in found if not RIGHT.fullmatch(time)] for pattern, found in times.items()}
    assert {pattern: found for pattern, found in wrong.items() if found} == {}


@pytest.mark.django_db
def test_log_bound_on_february_29():
    reads.LOG_OF_VERSION.statements.clear()  # the first bounds are compiled in
    organization = make_organization()
    version = make_version(user=make_user(site_roles=("owner",)), organization=organization)
    answer = ApiClient(version.created_by).get(f"templateversions/{version.pk}/logs?after=1709164800")
    assert answer.status_code == 200
