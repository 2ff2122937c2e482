"""How many queries each read takes: the same for one row and for three, and as many as ``query_counts.json`` says.

After a change that is meant, write the file anew: ``UPDATE_QUERY_COUNTS=1 pytest tests/test_query_counts.py -n 0``.
"""

import json
import os
from pathlib import Path

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from coderproj.api.permissions import Public, SignedIn
from coderproj.reads.kept import KEPT_ANSWERS
from tests.api import ApiClient
from tests.routes import Route, api_routes
from tests.shared_work import computed_once
from tests.world import World, passing_world

BASELINE = Path(__file__).with_name("query_counts.json")
UPDATING = bool(os.environ.get("UPDATE_QUERY_COUNTS"))
HOW = "write the file anew if that is meant: UPDATE_QUERY_COUNTS=1 pytest tests/test_query_counts.py -n 0"
# What a daemon asks with its key is not a read of this kind.
READS = [
    route
    for route in api_routes()
    if "GET" in route.methods and {SignedIn, Public} & set(route.view.permission_classes)
]


def counts() -> dict[str, int]:
    return json.loads(BASELINE.read_text()) if BASELINE.exists() else {}


def queries_of(world: World, route: Route) -> list[str]:
    """The statements of a read that has been made before."""
    api = ApiClient(world.owner)
    path = world.path(route.pattern)
    answer = api.get(path)
    assert answer.status_code == 200, answer.raw
    KEPT_ANSWERS.clear()  # what is kept in memory does not show what making it takes
    with CaptureQueriesContext(connection) as captured:
        api.get(path)
    return [query["sql"] for query in captured.captured_queries]


@pytest.fixture(scope="module")
def measured(django_db_setup, django_db_blocker, tmp_path_factory) -> dict[int, dict[str, list[str] | Exception]]:
    """The statements of every read, or why there are none, by the number of rows."""
    with django_db_blocker.unblock():
        return computed_once(tmp_path_factory, "queries-of-reads", lambda: {count: measure(count) for count in (1, 3)})


def measure(count: int) -> dict[str, list[str] | Exception]:
    """By the pattern of the route, in a world with so many of everything."""
    found: dict[str, list[str] | Exception] = {}
    with passing_world(count) as world:
        for route in READS:
            try:
                found[route.pattern] = queries_of(world, route)
            except (AssertionError, KeyError) as error:  # of this route alone
                found[route.pattern] = error
    return found


@pytest.mark.django_db
@pytest.mark.parametrize("route", READS, ids=str)
def test_a_read_takes_as_many_queries_as_ever(route: Route, measured):
    few, many = (measured[count][route.pattern] for count in (1, 3))
    for outcome in (few, many):
        if isinstance(outcome, Exception):
            raise outcome
    listing = "\n".join(many)
    assert len(few) == len(many), f"{len(few)} queries for one row, {len(many)} for three:\n{listing}"
    if UPDATING:
        known = {route.pattern for route in READS}
        updated = {**{name: number for name, number in counts().items() if name in known}, route.pattern: len(many)}
        BASELINE.write_text(json.dumps(dict(sorted(updated.items())), indent=2) + "\n")
    expected = counts().get(route.pattern)
    assert len(many) == expected, f"{len(many)} queries, not {expected}; {HOW}\n{listing}"


def test_the_file_knows_exactly_the_reads():
    assert set(counts()) == {route.pattern for route in READS}, HOW
