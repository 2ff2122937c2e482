"""Watch workspaces: server-sent events on the event loop, without a thread or a connection for each watcher.

The process has one LISTEN connection, opened with the first watcher. Per watched workspace, a topic waits for
notifications. It reads the workspace once for all its watchers, and then whether each of them may still read it. A
watcher that waits needs no statement; once a minute, one statement checks the rights of all watchers.

The status of an agent can change without a write: a time limit passes. Each read says when the next one is due. The
process looks then, with one statement for all workspaces that are due, and reads those where a status has changed.
"""

import asyncio
import logging
import math
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

from coderproj.base.errors import TooManyRequests
from coderproj.identity.actor import Actor
from coderproj.identity.authentication import ACTORS_SQL, valid_actors
from coderproj.identity.rbac import Action, Resource, allowed
from coderproj.reads.serializers import json_object
from coderproj.web.environ import Receive, Scope, Send
from coderproj.web.replies import Headers, error_reply, send_whole
from provisioning.log.following.hub import Hub
from provisioning.log.following.listener import listen
from provisioning.log.following.store import conninfo
from provisioning.log.following.transports import STALL, piece, until_first_ends, wait_for_disconnect
from templates_app.workspaces import agent_times
from templates_app.workspaces.agent_times import AgentTimes
from templates_app.workspaces.events import TEMPLATE, WORKSPACE_CHANNEL
from templates_app.workspaces.models import Workspace
from templates_app.workspaces.serializers.answers import WorkspaceSerializer
from templates_app.workspaces.watch_events import FAILED, NO_RIGHT, PING, STOPPING, UNREADABLE, data_event, start

logger = logging.getLogger(__name__)

PING_SECONDS = 15.0
# Rights are checked with each event, and at least this often: a stream ends within a minute after their loss.
CHECK_SECONDS = 50.0
PER_STATEMENT = 1000
# Seconds for which limits that pass are gathered before a look, and before one that failed is repeated. The longest
# wait for a limit.
GATHER_SECONDS, RETRY_SECONDS, LONGEST_WAIT = 0.5, 5.0, 86_400.0


@cache
def _workspace_sql() -> tuple[str, tuple[Any, ...], int]:
    """Return the statement that reads a workspace as JSON, its parameters, and the place of the id among them."""
    mark = uuid.uuid4()
    rows = Workspace.objects.with_build().filter(pk=mark).order_by()
    fields = json_object(WorkspaceSerializer()), *agent_times.columns()
    sql, parameters = rows.values_list(*fields).query.sql_with_params()
    return sql, parameters, parameters.index(mark)


@dataclass(frozen=True, slots=True)
class Watched:
    """A workspace, with what rights and events depend on. None of it changes."""

    id: uuid.UUID
    template_id: uuid.UUID
    organization_id: uuid.UUID
    owner_id: uuid.UUID

    def is_readable_for(self, actor: Actor | None) -> bool:
        return actor is not None and allowed(
            actor, Action.READ, Resource.WORKSPACE, organization_id=self.organization_id, owner_id=self.owner_id
        )


class Watcher:
    """One stream. It holds the newest event only: a client that reads slowly skips older ones. Its last event is an
    ``error``, which says why it ends."""

    def __init__(self, key_id: str) -> None:
        self.key_id = key_id
        self._event: bytes | None = None
        self._is_over = False
        self._changed = asyncio.Event()
        self._ping_at = asyncio.get_running_loop().time() + PING_SECONDS

    @property
    def has_event(self) -> bool:
        return self._event is not None

    def put(self, event: bytes) -> None:
        if not self._is_over:
            self._event = event
            self._changed.set()

    def end(self, error: bytes) -> None:
        """End the stream after an event that says why. It replaces an event that has not been sent."""
        self.put(error)
        self._is_over = True

    async def next_event(self) -> bytes | None:
        """Wait for the next event, a ping if one is due; None at the end."""
        if self._is_over and self._event is None:
            return None
        try:
            async with asyncio.timeout_at(self._ping_at):
                await self._changed.wait()
        except TimeoutError:
            self._ping_at += PING_SECONDS
            return PING
        self._changed.clear()
        event, self._event = self._event, None
        return event


class Topic:
    """A watched workspace with its watchers. ``look_at`` is when a status of its agents can change by itself, in the
    time of the event loop."""

    def __init__(self, watched: Watched, watchers: "Watchers") -> None:
        self.watched = watched
        self.watchers: set[Watcher] = set()
        self.wake = asyncio.Event()
        self.look_at = math.inf
        self._statuses: str | None = None
        self._all = watchers
        self.task = asyncio.create_task(self._publish())

    async def _publish(self) -> None:
        """Read the workspace after each notification. Those that arrive meanwhile cause one more read."""
        while True:
            await self.wake.wait()
            self.wake.clear()
            try:
                workspace, times = await self._all.read(self.watched.id)
                actors = await self._all.actors({watcher.key_id for watcher in self.watchers})
            except Exception:
                logger.exception("A watched workspace cannot be read")
                self.end(FAILED)
                continue
            for watcher in self.watchers:
                if not self.watched.is_readable_for(actors.get(watcher.key_id)):
                    watcher.end(NO_RIGHT)
                elif workspace is None:
                    watcher.end(UNREADABLE)
                else:
                    watcher.put(data_event(workspace))
            self._statuses = times.statuses
            self.expect(times)

    def expect(self, times: AgentTimes) -> None:
        """Wait until the next limit. If the watchers do not know the statuses of the agents, publish the workspace."""
        if self._statuses is None:
            self._statuses = times.statuses
        if self._statuses != times.statuses:
            self.wake.set()
        loop = asyncio.get_running_loop()
        self.look_at = math.inf if times.seconds is None else loop.time() + min(times.seconds, LONGEST_WAIT)
        self._all.look_by(self.look_at)

    def end(self, error: bytes) -> None:
        """End all streams."""
        for watcher in self.watchers:
            watcher.end(error)


class Watchers:
    """All watchers of this process. Uses the pool and the limits of the hub of logs."""

    key: ClassVar[str] = "workspace_watchers"

    def __init__(self) -> None:
        self._hub: Hub | None = None
        self._topics: dict[uuid.UUID, Topic] = {}
        self._is_listening = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._look_at = math.inf
        self._has_limit = asyncio.Event()
        self.queries = 0

    async def start(self) -> None:
        """Nothing: the first watcher opens the connection."""

    async def attach(self, hub: Hub) -> None:
        """Wait until notifications arrive. The first call starts to listen."""
        if self._hub is None:
            self._hub = hub
            listening = listen(conninfo(), {WORKSPACE_CHANNEL: self._wake}, connected=self._connected)
            work = (listening, self._keep_checking(), self._keep_looking(), self._end_with(hub))
            self._tasks = [asyncio.create_task(one) for one in work]
        await self._is_listening.wait()

    @contextmanager
    def watch(self, watched: Watched, key_id: str) -> Iterator[Watcher]:
        """Yield a watcher that receives the events of the workspace while the block runs."""
        topic = self._topics.get(watched.id)
        if topic is None:
            topic = self._topics[watched.id] = Topic(watched, self)
        watcher = Watcher(key_id)
        topic.watchers.add(watcher)
        if self._hub is not None and self._hub.stopping.is_set():
            watcher.end(STOPPING)
        try:
            yield watcher
        finally:
            topic.watchers.discard(watcher)
            if not topic.watchers and self._topics.get(watched.id) is topic:
                del self._topics[watched.id]
                topic.task.cancel()

    async def end_streams(self, timeout: float) -> None:
        """Make every stream end. The hub of logs counts them, and waits for them."""
        for topic in self._topics.values():
            topic.end(STOPPING)

    async def stop(self) -> None:
        await self.end_streams(0)
        tasks = [*self._tasks, *(topic.task for topic in self._topics.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._hub, self._tasks = None, []
        self._is_listening.clear()

    # ------------------------------------------------------------------ reading
    async def read(self, workspace_id: uuid.UUID) -> tuple[bytes | None, AgentTimes]:
        """Return the workspace as JSON, None if it does not exist, with the times of its agents."""
        sql, parameters, place = _workspace_sql()
        rows = await self._rows(sql, [*parameters[:place], workspace_id, *parameters[place + 1 :]])
        if not rows:
            return None, AgentTimes("", None)
        ((workspace, statuses, seconds),) = rows
        return workspace.encode(), AgentTimes(statuses, seconds)

    async def times(self, workspace_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, AgentTimes]:
        """Return the times of the agents of those workspaces that exist."""
        sql, parameters, place = agent_times.times_sql()
        ids = list(workspace_ids)
        found: dict[uuid.UUID, AgentTimes] = {}
        for first in range(0, len(ids), PER_STATEMENT):
            values = [*parameters[:place], ids[first : first + PER_STATEMENT], *parameters[place + 1 :]]
            found |= {row[0]: AgentTimes(*row[1:]) for row in await self._rows(sql, values)}
        return found

    async def actors(self, key_ids: Collection[str]) -> dict[str, Actor]:
        """Return the actors of those keys that are valid now."""
        keys = sorted(key_ids)
        found: dict[str, Actor] = {}
        for first in range(0, len(keys), PER_STATEMENT):
            found |= valid_actors(await self._rows(ACTORS_SQL, [keys[first : first + PER_STATEMENT]]))
        return found

    async def _rows(self, sql: str, parameters: list[Any]) -> list[tuple[Any, ...]]:
        assert self._hub is not None
        self.queries += 1
        return await self._hub.store.rows(sql, parameters)

    def learn(self, workspace_id: uuid.UUID, times: AgentTimes) -> None:
        """Take in the times of a watched workspace, as the first event of a watcher has shown it."""
        self._topics[workspace_id].expect(times)

    # ------------------------------------------------------------------ background
    def _wake(self, payload: str) -> None:
        if payload.startswith(TEMPLATE):
            template = payload.removeprefix(TEMPLATE)
            for topic in self._topics.values():
                if str(topic.watched.template_id) == template:
                    topic.wake.set()
            return
        try:
            found = self._topics.get(uuid.UUID(payload))
        except ValueError:
            return
        if found is not None:
            found.wake.set()

    def _connected(self) -> None:
        """Read all workspaces again: notifications may have been lost."""
        self._is_listening.set()
        for topic in self._topics.values():
            topic.wake.set()

    async def _keep_checking(self) -> None:
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            try:
                await self.check_rights()
            except Exception:
                logger.exception("The rights of watchers cannot be checked")

    async def check_rights(self) -> None:
        """End the streams whose callers have lost the right to read."""
        listed = [(topic.watched, watcher) for topic in self._topics.values() for watcher in topic.watchers]
        actors = await self.actors({watcher.key_id for _, watcher in listed})
        for watched, watcher in listed:
            if not watched.is_readable_for(actors.get(watcher.key_id)):
                watcher.end(NO_RIGHT)

    def look_by(self, moment: float) -> None:
        """Look at this time of the event loop, or before."""
        if moment < self._look_at:
            self._look_at = moment
            self._has_limit.set()

    async def _keep_looking(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._has_limit.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(None if self._look_at == math.inf else self._look_at):
                    await self._has_limit.wait()
                    continue  # an earlier limit
            await asyncio.sleep(GATHER_SECONDS)
            due = [topic for topic in self._topics.values() if topic.look_at <= loop.time()]
            try:
                await self.look(due)
            except Exception:
                logger.exception("The time limits of agents cannot be looked at")
                for topic in due:
                    topic.look_at = loop.time() + RETRY_SECONDS
            self._look_at = min((topic.look_at for topic in self._topics.values()), default=math.inf)

    async def look(self, topics: Collection[Topic]) -> None:
        """Publish the workspaces where a status of an agent has changed, and learn when the next limits pass."""
        if topics:
            found = await self.times([topic.watched.id for topic in topics])
            for topic in topics:
                topic.expect(found.get(topic.watched.id, AgentTimes("", None)))

    async def _end_with(self, hub: Hub) -> None:
        await hub.stopping.wait()
        await self.end_streams(0)


STREAM_SERVICES = [Watchers]


@dataclass(frozen=True, slots=True)
class WatchStream:
    """An authorized request to watch a workspace."""

    watched: Watched
    user_id: uuid.UUID
    key_id: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send, headers: Headers) -> None:
        """Answer the request; ``headers`` are the common headers of all responses."""
        hub: Hub = scope["state"][Hub.key]
        watchers: Watchers = scope["state"][Watchers.key]
        try:
            with hub.stream_of(self.user_id):
                await self._serve(hub, watchers, receive, send, headers)
        except TooManyRequests as error:
            await send_whole(send, error_reply(error.status_code, error.message, [*headers, (b"retry-after", b"60")]))

    async def _serve(self, hub: Hub, watchers: Watchers, receive: Receive, send: Send, headers: Headers) -> None:
        """Send events until the client disconnects or may no longer read the workspace."""
        await until_first_ends(self._send(hub, watchers, send, headers), wait_for_disconnect(receive))

    async def _send(self, hub: Hub, watchers: Watchers, send: Send, headers: Headers) -> None:
        await watchers.attach(hub)
        with watchers.watch(self.watched, self.key_id) as watcher:
            await send(start(headers))
            await send(piece(PING))
            # Read after the watcher was added, or a change in between would be missed.
            try:
                workspace, times = await watchers.read(self.watched.id)
            except Exception:
                logger.exception("A watched workspace cannot be read")
                watcher.end(FAILED)
            else:
                if workspace is None:
                    watcher.end(UNREADABLE)
                elif not watcher.has_event:
                    watcher.put(data_event(workspace))
                watchers.learn(self.watched.id, times)
            while (event := await watcher.next_event()) is not None:
                async with asyncio.timeout(STALL):
                    await send(piece(event))
        await send({"type": "http.response.body", "body": b"", "more_body": False})
