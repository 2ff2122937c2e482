"""The number of queries of each read: the same for one and three rows, and equal to ``query_counts.json``.

After an intended change, update the file: ``UPDATE_QUERY_COUNTS=1 pytest tests/test_query_counts.py -n 0``.
"""

import json
import os
from pathlib import Path

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from coderproj.api.permissions import Public, SignedIn
from coderproj.reads.answer_cache import ANSWER_CACHE
from tests.api import ApiClient
from tests.routes import Route, api_routes
from tests.shared_setup import computed_once
from tests.world import World, rolled_back_world

BASELINE = Path(__file__).with_name("query_counts.json")
UPDATING = bool(os.environ.get("UPDATE_QUERY_COUNTS"))
HOW = "if the change is intended, update the file: UPDATE_QUERY_COUNTS=1 pytest tests/test_query_counts.py -n 0"
# Paths that never answer a plain GET with 200: WebSockets, and what needs a tunnel to agents.
WITHOUT_ANSWER = {
    "workspaceagents/<str:workspaceagent>/coordinate",
    "workspaceagents/<str:workspaceagent>/listening-ports",
    "workspaceagents/<str:workspaceagent>/pty",
}
# Without the routes for daemons and agents, which have other credentials.
READS = [
    route
    for route in api_routes()
    if "GET" in route.methods and {SignedIn, Public} & route.permissions and route.pattern not in WITHOUT_ANSWER
]


def counts() -> dict[str, int]:
    return json.loads(BASELINE.read_text()) if BASELINE.exists() else {}


def queries_of(world: World, route: Route) -> list[str]:
    """Return the statements of a read after a first one."""
    api = ApiClient(world.owner)
    path = world.path(route.pattern)
    answer = api.get(path)
    assert answer.status_code == 200, answer.raw
    ANSWER_CACHE.clear()  # a cached answer would hide the queries
    with CaptureQueriesContext(connection) as captured:
        api.get(path)
    return [query["sql"] for query in captured.captured_queries]


@pytest.fixture(scope="module")
def measured(django_db_setup, django_db_blocker, tmp_path_factory) -> dict[int, dict[str, list[str] | Exception]]:
    """The statements of every read, or the exception, by the number of rows."""
    with django_db_blocker.unblock():
        return computed_once(tmp_path_factory, "queries-of-reads", lambda: {count: measure(count) for count in (1, 3)})


def measure(count: int) -> dict[str, list[str] | Exception]:
    """Return the statements by route pattern, in a world with ``count`` objects of each type."""
    found: dict[str, list[str] | Exception] = {}
    with rolled_back_world(count) as world:
        for route in READS:
            try:
                found[route.pattern] = queries_of(world, route)
            except (AssertionError, KeyError) as error:  # affects only this route
                found[route.pattern] = error
    return found


@pytest.mark.django_db
@pytest.mark.parametrize("route", READS, ids=str)
def test_query_count_of_a_read(route: Route, measured):
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


def test_file_lists_exactly_the_reads():
    assert set(counts()) == {route.pattern for route in READS}, HOW
