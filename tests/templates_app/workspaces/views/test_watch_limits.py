"""Watching agents whose status changes without a write: a time limit passes (WAT-01)."""

import asyncio
import uuid
from datetime import timedelta

import pytest

from coderproj.database.clock import database_time
from provisioning.engine.base import Agent, BuildResult, Resource
from provisioning.models import WorkspaceAgent
from provisioning.models.resources import INACTIVE, agent_status, seconds_of_status_expression
from templates_app.workspaces import agent_times, watching
from templates_app.workspaces.events import announce
from templates_app.workspaces.models import Workspace
from templates_app.workspaces.watching import Watchers
from tests.factories import make_workspace
from tests.templates_app.workspaces.views.streams import watch, watchers_of
from tests.vocabulary import wait_until

TIMEOUT = 120


@pytest.fixture
def workspace(live_api, ada, template):
    agents = Agent(name="main", connection_timeout_seconds=TIMEOUT), Agent(name="other")
    result = BuildResult((Resource("dev", "vm", agents=agents),))
    return make_workspace(user=ada, template=template, name="dev", result=result)


@pytest.fixture
def impatient(monkeypatch):
    """Looks soon, whenever a limit is due. The tests move times into the past instead of waiting."""
    monkeypatch.setattr(watching, "LONGEST_WAIT", 0.05)
    monkeypatch.setattr(watching, "GATHER_SECONDS", 0.05)


def set_times(**ages):
    """Set times of the agent ``main`` to some seconds ago, without a notification. None stays None."""
    now = database_time()
    values = {name: None if age is None else now - timedelta(seconds=age) for name, age in ages.items()}
    WorkspaceAgent.objects.filter(name="main").update(**values)


def connected(age=0.0, alive_until=-32.0):
    set_times(first_connected_at=500, last_connected_at=age, alive_until=alive_until)


def statuses(data):
    (resource,) = data["latest_build"]["resources"]
    return {agent["name"]: agent["status"] for agent in resource["agents"]}


@pytest.mark.usefixtures("impatient")
def test_an_agent_that_never_connects(live_api, ada, owner, workspace):
    """All watchers are told."""
    with watch(live_api, workspace, ada) as stream, watch(live_api, workspace, owner) as second:
        for one in (stream, second):
            assert statuses(one.data()) == {"main": "connecting", "other": "connecting"}
        set_times(created_at=TIMEOUT + 1)
        for one in (stream, second):
            assert statuses(one.data()) == {"main": "timeout", "other": "connecting"}


@pytest.mark.usefixtures("impatient")
def test_an_agent_for_which_nobody_vouches_any_more(live_api, ada, workspace):
    connected()
    with watch(live_api, workspace, ada) as stream:
        assert statuses(stream.data())["main"] == "connected"
        connected(age=60, alive_until=INACTIVE.total_seconds() + 1)
        assert statuses(stream.data())["main"] == "disconnected"


@pytest.mark.usefixtures("impatient")
def test_renewals_cause_no_event(live_api, ada, workspace):
    """A look finds that the limit has moved. Nothing is sent until something changes."""
    watchers = watchers_of(live_api)
    connected()
    with watch(live_api, workspace, ada) as stream:
        stream.data()
        before = watchers.queries
        connected()
        wait_until(lambda: watchers.queries >= before + 3)
        Workspace.objects.update(name="changed")
        announce(workspace.pk)
        assert stream.data()["name"] == "changed"


@pytest.mark.usefixtures("impatient")
def test_the_first_event_of_a_later_watcher_does_not_hide_a_change(live_api, ada, owner, workspace, monkeypatch):
    """It shows the new status before the look does."""
    with watch(live_api, workspace, ada) as stream:
        assert statuses(stream.data())["main"] == "connecting"
        monkeypatch.setattr(Watchers, "look", lambda self, topics: asyncio.sleep(0))
        set_times(created_at=TIMEOUT + 1)
        with watch(live_api, workspace, owner) as second:
            assert statuses(second.data())["main"] == "timeout"
            assert statuses(stream.data())["main"] == "timeout"


def test_a_look_is_one_statement_for_all_workspaces(live_api, ada, template, workspace, monkeypatch):
    """None while no limit is due. Workspaces without a limit need none at all."""
    monkeypatch.setattr(watching, "GATHER_SECONDS", 0.05)
    watchers = watchers_of(live_api)
    second = make_workspace(user=ada, template=template, name="second", result=BuildResult())
    with watch(live_api, workspace, ada) as one, watch(live_api, second, ada) as two:
        assert (one.data()["name"], two.data()["name"]) == ("dev", "second")
        topics = list(watchers._topics.values())
        limits = {topic.watched.id: topic.look_at for topic in topics}
        loop = watchers._tasks[0].get_loop()
        assert loop.time() + TIMEOUT - 60 < limits[workspace.pk] <= loop.time() + TIMEOUT
        assert limits[second.pk] == float("inf")
        before = watchers.queries
        asyncio.run_coroutine_threadsafe(watchers.look(topics), loop).result(10)
        assert watchers.queries == before + 1


@pytest.mark.usefixtures("impatient")
def test_looks_go_on_after_an_error(live_api, ada, workspace, monkeypatch, caplog):
    monkeypatch.setattr(watching, "RETRY_SECONDS", 0.05)
    with watch(live_api, workspace, ada) as stream:
        stream.data()
        with monkeypatch.context() as changed:
            changed.setattr(agent_times, "times_sql", lambda: ("SELECT 1 / 0", (), 0))
            wait_until(lambda: "cannot be looked at" in caplog.text)
        set_times(created_at=TIMEOUT + 1)
        assert statuses(stream.data())["main"] == "timeout"


@pytest.mark.parametrize(
    ("ages", "left"),
    [
        ({"created_at": 20}, TIMEOUT - 20),
        ({"created_at": TIMEOUT + 20}, None),
        ({"first_connected_at": 50, "last_connected_at": 2}, 4),
        ({"first_connected_at": 2}, 4),
        ({"first_connected_at": 50, "last_connected_at": 50, "alive_until": -20}, 26),
        ({"first_connected_at": 50, "last_connected_at": 50, "alive_until": 20}, None),
        ({"first_connected_at": 50, "last_connected_at": 2, "disconnected_at": 1, "alive_until": -20}, None),
        ({"first_connected_at": 50, "last_connected_at": 2, "disconnected_at": 10, "alive_until": -20}, 26),
    ],
)
def test_seconds_of_a_status(workspace, ages, left):
    """The status is the same just before, and another one just after."""
    set_times(**ages)
    rows = WorkspaceAgent.objects.annotate(left=seconds_of_status_expression())
    found = rows.get(name="main")
    now = database_time()
    if left is None:
        assert found.left is None
        assert agent_status(found, now) == agent_status(found, now + timedelta(days=3650))
    else:
        assert left - 30 < found.left <= left
        change = max(one for one in (left, found.left))
        later = now + timedelta(seconds=change)
        assert agent_status(found, later + timedelta(seconds=1)) != agent_status(found, now)
    assert rows.get(name="other").left is None


def test_times_of_a_workspace_that_does_not_exist(live_api, workspace):
    watchers = watchers_of(live_api)

    async def read():
        await watchers.attach(live_api.hub)
        return await watchers.times([workspace.pk, uuid.uuid4()])

    found = asyncio.run_coroutine_threadsafe(read(), live_api.hub._listener.get_loop()).result(10)
    assert list(found) == [workspace.pk]
    assert found[workspace.pk].statuses.count("connecting") == 2
