"""Watching workspaces on a running server."""

import asyncio
import json
import uuid

import httpx
import pytest

from coderproj.identity import tokens
from coderproj.identity.actor import Actor
from provisioning.engine.base import BuildResult, Transition
from provisioning.models import DEFAULT_TAGS
from provisioning.protocol.leases import Worker
from provisioning.queue import claims, jobs
from templates_app.models import Template
from templates_app.services import templates
from templates_app.workspaces import watching
from templates_app.workspaces.models import Workspace, WorkspaceBuild
from templates_app.workspaces.services import builds, workspaces
from templates_app.workspaces.services.jobs import build_input
from tests.api import ApiClient
from tests.factories import claim, make_user, make_version, make_workspace
from tests.templates_app.workspaces.views.streams import HEADER, watch, watchers_of
from tests.vocabulary import wait_until


@pytest.fixture
def workspace(live_api, ada, template):
    return make_workspace(user=ada, template=template, name="dev")


def acquire():
    """Claim the waiting build, and make its payload as for a daemon. Return the lease."""
    job = claims.claim(Worker(uuid.uuid4(), ["echo"], DEFAULT_TAGS, None), lease_seconds=60)
    build_input(job)
    return job.lease


def test_stream_begins_with_a_ping_and_the_workspace(live_api, ada, workspace):
    """WAT-02, WAT-03, WAT-04."""
    with watch(live_api, workspace, ada) as stream:
        response = stream.response
        assert response.status_code == 200
        assert response.headers["Content-Type"].startswith("text/event-stream")
        assert response.headers["Cache-Control"] == "no-cache"
        assert response.headers["Connection"] == "keep-alive"
        assert response.headers["X-Accel-Buffering"] == "no"
        assert stream.next() == ("ping", None)
        kind, data = stream.next()
        assert (kind, data) == ("data", ApiClient(ada).get(f"workspaces/{workspace.pk}").body)


def test_pings_repeat(live_api, ada, workspace, monkeypatch):
    """WAT-02."""
    monkeypatch.setattr(watching, "PING_SECONDS", 0.05)
    with watch(live_api, workspace, ada) as stream:
        assert [stream.next()[0] for _ in range(5)] == ["ping", "data", "ping", "ping", "ping"]


def test_life_of_a_workspace(live_api, ada, owner, organization, template, workspace):
    """WAT-01, WAT-05: an event with the new state after each change."""
    actor = Actor.of(ada)

    def status(word):
        return lambda data: data["latest_build"]["status"] == word

    with watch(live_api, workspace, ada) as stream:
        assert stream.data()["latest_build"]["status"] == "running"
        builds.create(actor, workspace, builds.NewBuild(Transition.STOP))
        assert stream.until(status("pending"))["latest_build"]["transition"] == "stop"
        lease = acquire()
        stream.until(status("stopping"))
        jobs.complete(lease, BuildResult())
        stream.until(status("stopped"))
        builds.create(actor, workspace, builds.NewBuild(Transition.START))
        lease = acquire()
        stream.until(status("starting"))
        jobs.fail(lease, "the plan failed")
        assert stream.until(status("failed"))["latest_build"]["job"]["error"] == "the plan failed"
        build = builds.create(actor, workspace, builds.NewBuild(Transition.START))
        stream.until(status("pending"))
        builds.cancel(actor, WorkspaceBuild.objects.get(pk=build.pk))
        stream.until(status("canceled"))
        workspaces.rename(actor, Workspace.objects.get(), "renamed")
        stream.until(lambda data: data["name"] == "renamed")
        workspaces.set_schedule(actor, Workspace.objects.get(), "0 9 * * 1")
        stream.until(lambda data: data.get("autostart_schedule"))
        workspaces.set_ttl(actor, Workspace.objects.get(), 3_600_000)
        stream.until(lambda data: data.get("ttl_ms") == 3_600_000)
        newer = make_version(user=owner, organization=organization, template=template)
        templates.promote(Actor.of(owner), Template.objects.get(pk=template.pk), newer.pk)
        stream.until(lambda data: data["outdated"])
        templates.update(Actor.of(owner), Template.objects.get(pk=template.pk), {"display_name": "Web"})
        stream.until(lambda data: data["template_display_name"] == "Web")
        builds.create(actor, Workspace.objects.get(), builds.NewBuild(Transition.DELETE))
        jobs.complete(claim(), BuildResult())
        stream.until(status("deleted"))


def test_other_workspaces_cause_no_event(live_api, ada, template, workspace):
    other = make_workspace(user=ada, template=template, name="other")
    with watch(live_api, workspace, ada) as stream:
        stream.data()
        workspaces.rename(Actor.of(ada), other, "changed")
        workspaces.rename(Actor.of(ada), Workspace.objects.get(pk=workspace.pk), "mine")
        assert stream.data()["name"] == "mine"


def test_many_watchers_of_one_workspace(live_api, ada, owner, workspace):
    """WAT-07: one event each, with two statements for all of them; none while nothing happens."""
    watchers = watchers_of(live_api)
    _, token = tokens.issue(user=ada)
    url = f"{live_api.url}/api/v2/workspaces/{workspace.pk}/watch"

    async def read(client, seen, opened):
        count, names = 0, []
        async with client.stream("GET", url, headers={HEADER: token}) as response:
            async for line in response.aiter_lines():
                if line.startswith("data: "):
                    names.append(json.loads(line.removeprefix("data: "))["name"])
                    count += 1
                    opened.release()
                    if names[-1] == "changed":
                        seen.append(count)
                        return

    async def run():
        seen, opened = [], asyncio.Semaphore(0)
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(timeout=20, limits=limits) as client:
            tasks = [asyncio.create_task(read(client, seen, opened)) for _ in range(100)]
            for _ in range(100):
                await opened.acquire()
            before = watchers.queries
            await asyncio.sleep(0.3)
            idle = watchers.queries - before
            await asyncio.to_thread(rename)
            await asyncio.gather(*tasks)
            return seen, idle, watchers.queries - before

    def rename():
        from django.db import connection

        try:
            workspaces.rename(Actor.of(owner), Workspace.objects.get(), "changed")
        finally:
            connection.close()

    seen, idle, queries = asyncio.run(run())
    assert seen == [2] * 100
    assert (idle, queries) == (0, 2)


def test_a_lost_connection_is_made_up_for(live_api, ada, workspace):
    from django.db import connection

    with watch(live_api, workspace, ada) as stream:
        stream.data()
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'coderproj-listener' AND datname = current_database()"
            )
        Workspace.objects.update(name="quietly")  # without a notification
        assert stream.until(lambda data: data["name"] == "quietly")


def test_leaving_frees_everything(live_api, ada, workspace):
    watchers = watchers_of(live_api)
    with watch(live_api, workspace, ada) as stream:
        stream.data()
        live_api.wait_for_streams(1)
    live_api.wait_for_streams(0)
    wait_until(lambda: not watchers._topics)


def test_streams_of_a_user_are_bounded(live_api, ada, workspace, monkeypatch):
    monkeypatch.setattr(live_api.hub, "_streams_per_user", 1)
    with watch(live_api, workspace, ada) as stream:
        stream.data()
        with watch(live_api, workspace, ada) as second:
            assert second.response.status_code == 429
            assert second.response.headers["Retry-After"] == "60"


def test_who_may_watch(live_api, ada, organization, workspace):
    stranger = make_user()
    member = make_user(organizations=(organization,))
    for user in (stranger, member):
        with watch(live_api, workspace, user) as stream:
            assert stream.response.status_code == 404
    answer = httpx.get(f"{live_api.url}/api/v2/workspaces/{workspace.pk}/watch")
    assert answer.status_code == 401


def test_websocket_is_refused(live_api, ada, workspace):
    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import connect

    _, token = tokens.issue(user=ada)
    url = f"{live_api.ws_url}/api/v2/workspaces/{workspace.pk}/watch"
    with pytest.raises(InvalidStatus) as refused:
        connect(url, proxy=None, additional_headers={HEADER: token})
    assert refused.value.response.status_code == 400


def test_server_without_streams_sends_the_workspace_once(db, ada, template):
    workspace = make_workspace(user=ada, template=template)
    answer = ApiClient(ada).get(f"workspaces/{workspace.pk}/watch")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/event-stream")
    assert answer.raw.startswith(b'event: ping\n\nevent: data\ndata: {"id":')
    assert answer.raw.endswith(b"}\n\n")


# ---------------------------------------------------------------------- logs
def test_log_of_a_build_is_followed_over_all_carriers(live_api, ada, template):
    """BLD-17: the stream ends with the build."""
    from websockets.sync.client import connect

    from provisioning.engine.base import LogLevel
    from provisioning.log import writing

    workspace = make_workspace(user=ada, template=template, finished=False)
    build = workspace.latest_build
    _, token = tokens.issue(user=ada)
    path = f"/api/v2/workspacebuilds/{build.pk}/logs"
    lease = claim()
    writing.note(build.job, LogLevel.INFO, "first")
    with connect(f"{live_api.ws_url}{path}?follow", proxy=None, additional_headers={HEADER: token}) as socket:
        first = json.loads(socket.recv(timeout=5))
        writing.note(build.job, LogLevel.INFO, "second")
        second = json.loads(socket.recv(timeout=5))
        jobs.complete(lease, BuildResult())
        assert list(socket) == []
    assert socket.close_code == 1000
    assert [first["output"], second["output"]] == ["first", "second"]
    headers = {HEADER: token, "Accept": "application/json"}
    assert httpx.get(f"{live_api.url}{path}?follow", headers=headers).json() == [first, second]
    assert httpx.get(f"{live_api.url}{path}", headers=headers).json() == [first, second]
    events = httpx.get(f"{live_api.url}{path}?follow", headers={**headers, "Accept": "text/event-stream"}).text
    assert "id: 2\ndata: {" in events
    assert events.endswith("event: end\ndata: {}\n\n")
    stranger = make_user()
    _, other = tokens.issue(user=stranger)
    assert httpx.get(f"{live_api.url}{path}?follow", headers={HEADER: other}).status_code == 404
