"""The ends of watch streams: an event says why (WAT-06)."""

import asyncio

import pytest

from coderproj.identity.actor import Actor
from coderproj.identity.models import ApiKey, Membership
from templates_app.workspaces import watching
from templates_app.workspaces.events import announce
from templates_app.workspaces.models import Workspace, WorkspaceBuild
from templates_app.workspaces.services import workspaces
from templates_app.workspaces.watching import Watcher, Watchers
from tests.factories import make_workspace
from tests.templates_app.workspaces.views.streams import watch, watchers_of
from tests.vocabulary import wait_until


@pytest.fixture
def workspace(live_api, ada, template):
    return make_workspace(user=ada, template=template, name="dev")


@pytest.mark.parametrize("loss", ["key", "membership", "suspension"])
@pytest.mark.parametrize("cause", ["event", "check"])
def test_watcher_who_loses_the_right(live_api, ada, owner, workspace, loss, cause):
    """WAT-06: with the next event, or by the check of each minute; others go on."""
    with watch(live_api, workspace, owner) as other, watch(live_api, workspace, ada) as stream:
        assert other.data()
        assert stream.data()
        match loss:
            case "key":
                ApiKey.objects.filter(user=ada).delete()
            case "membership":
                Membership.objects.filter(user=ada).delete()
            case "suspension":
                type(ada).objects.filter(pk=ada.pk).update(status="suspended")
        if cause == "event":
            workspaces.rename(Actor.of(owner), Workspace.objects.get(), "secret")
        else:
            watchers = watchers_of(live_api)
            loop = watchers._tasks[0].get_loop()
            asyncio.run_coroutine_threadsafe(watchers.check_rights(), loop).result(10)
        assert stream.error() == {
            "message": "You can no longer read this workspace.",
            "detail": "Sign in again, or ask for access to it.",
        }
        if cause == "check":
            workspaces.rename(Actor.of(owner), Workspace.objects.get(), "secret")
        assert other.until(lambda data: data["name"] == "secret")


def test_workspace_that_cannot_be_read(live_api, ada, owner, template, workspace, monkeypatch):
    """Only its watchers are told; those who ask again are answered."""
    other = make_workspace(user=ada, template=template, name="other")
    read = Watchers.read

    async def broken(self, workspace_id):
        if workspace_id == workspace.pk:
            raise ValueError("an unexpected value")
        return await read(self, workspace_id)

    with watch(live_api, workspace, ada) as stream, watch(live_api, other, ada) as second:
        stream.data()
        second.data()
        with monkeypatch.context() as changed:
            changed.setattr(Watchers, "read", broken)
            for one in (workspace, other):
                workspaces.rename(Actor.of(owner), Workspace.objects.get(pk=one.pk), f"{one.name}-2")
            assert stream.error()["detail"] == "The server could not read it. Watch it again."
            assert second.until(lambda data: data["name"] == "other-2")
            with watch(live_api, workspace, ada) as third:
                assert third.error()["message"] == "The workspace cannot be read."
        with watch(live_api, workspace, ada) as fourth:
            assert fourth.data()["name"] == "dev-2"


def test_workspace_whose_row_is_gone(live_api, ada, workspace):
    with watch(live_api, workspace, ada) as stream:
        stream.data()
        Workspace.objects.update(latest_build=None)
        WorkspaceBuild.objects.all().delete()
        Workspace.objects.all().delete()
        announce(workspace.pk)
        assert stream.error() == {"message": "The workspace cannot be read.", "detail": "It does not exist any more."}


def test_stopping_server_says_so(live_api, ada, owner, workspace):
    watchers = watchers_of(live_api)
    with watch(live_api, workspace, ada) as stream, watch(live_api, workspace, owner) as second:
        stream.data()
        second.data()
        loop = watchers._tasks[0].get_loop()
        asyncio.run_coroutine_threadsafe(watchers.end_streams(1), loop).result(10)
        for one in (stream, second):
            assert one.error() == {"message": "The server is stopping.", "detail": "Watch the workspace again."}


def test_error_replaces_what_a_slow_client_has_not_read():
    async def run():
        watcher = Watcher("key")
        watcher.put(b"an older event")
        watcher.end(b"first")
        watcher.end(b"second")
        watcher.put(b"too late")
        return [await watcher.next_event() for _ in range(3)]

    assert asyncio.run(run()) == [b"first", None, None]


def test_failed_check_of_rights_does_not_end_the_checks(live_api, ada, workspace, monkeypatch):
    checked = []

    async def check(self):
        checked.append(self)
        raise ValueError("an unexpected value")

    monkeypatch.setattr(watching, "CHECK_SECONDS", 0.05)
    monkeypatch.setattr(Watchers, "check_rights", check)
    with watch(live_api, workspace, ada) as stream:
        stream.data()
        watchers = watchers_of(live_api)
        loop = watchers._tasks[0].get_loop()
        checking = asyncio.run_coroutine_threadsafe(keep_checking(watchers), loop)
        wait_until(lambda: len(checked) >= 3)
        checking.cancel()


async def keep_checking(watchers):
    await watchers._keep_checking()
