"""Agents that stay connected by requests instead of a WebSocket, such as a shell script, which cannot hold one.

The server holds each request for a while and answers; the agent sends the next at once. A chain of such requests is a
session. It counts as one connection, with the writes of a WebSocket and no more. Only requests prolong it: an agent
that falls silent is disconnected POLL_SECONDS + GAP_SECONDS after its last request at the latest. If the next request
reaches another web process, that one vouches for the agent from then on, with a write, and this one releases it; those
who watch the workspace notice nothing.
"""

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

from coderproj.base.errors import TooManyRequests
from coderproj.base.json_text import JSON_CONTENT_TYPE, to_json
from coderproj.web.environ import Receive, Scope, Send
from coderproj.web.replies import Headers, Reply, error_reply, failure, send_whole
from provisioning.log.following.hub import Hub
from provisioning.log.following.transports import wait_for_disconnect
from templates_app.agents.coordination.coordinator import REPLACED, STOPPING, Coordinator
from templates_app.agents.coordination.rights import OUTDATED
from templates_app.agents.coordination.rooms import GOING_AWAY, Peer, Room

# The server answers a request after this many seconds. Proxies close silent connections after 30 seconds or more.
POLL_SECONDS = 20.0
# The next request must arrive within this time.
GAP_SECONDS = 10.0
# Seconds after which an agent that was refused must not ask again sooner.
RETRY_SECONDS = 1


class Session:
    """A connection of an agent, made of requests. ``end`` is why it ended: the code and reason of a WebSocket, None if
    the agent left or fell silent."""

    def __init__(self, session_id: str) -> None:
        self.id = session_id
        self.end: tuple[int, str] | None = None
        self._open = 0
        self._left = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    def leave(self) -> None:
        """End the session."""
        self._left.set()

    @contextmanager
    def request(self) -> Iterator[None]:
        """Keep the session while the block runs, and GAP_SECONDS longer."""
        self._open += 1
        if self._timer is not None:
            self._timer.cancel()
        try:
            yield
        finally:
            self._open -= 1
            if not self._open:
                self._timer = asyncio.get_running_loop().call_later(GAP_SECONDS, self.leave)

    def abandon(self) -> None:
        """End the session of a client that has disconnected while it waited for the answer, unless another of its
        requests is open."""
        if self._open <= 1:
            self.leave()

    async def hold(self, coordinator: Coordinator, room: Room) -> None:
        """Connect the agent until it leaves or the coordinator ends the connection."""
        try:
            async with coordinator.agent(room, can_move=True) as peer:
                closing = asyncio.create_task(_until_closed(peer))
                leaving = asyncio.create_task(self._left.wait())
                try:
                    await asyncio.wait({closing, leaving}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for task in (closing, leaving):
                        task.cancel()
                    await asyncio.gather(closing, leaving, return_exceptions=True)
                    self.end = peer.end
        finally:
            if self._timer is not None:
                self._timer.cancel()


async def _until_closed(peer: Peer) -> None:
    """Discard the nodes of clients until the peer must close: an agent without a WebSocket has no tunnel."""
    while await peer.take() is not None:
        pass


class Polls:
    """The sessions of this process."""

    key: ClassVar[str] = "agent_polls"

    def __init__(self) -> None:
        self._sessions: dict[uuid.UUID, tuple[Session, asyncio.Task[None]]] = {}
        self._polls: dict[bytes, Poll] = {}

    async def start(self) -> None:
        """Nothing: the first request makes the first session."""

    async def end_streams(self, timeout: float) -> None:
        """Nothing: the coordinator ends all connections."""

    async def stop(self) -> None:
        tasks = [task for _, task in self._sessions.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def find(self, agent_id: uuid.UUID, session_id: str) -> tuple[Session, asyncio.Task[None]] | None:
        """Return the session with the task that holds it, None if it has ended or never was."""
        found = self._sessions.get(agent_id)
        return found if found is not None and found[0].id == session_id else None

    def poll_of(self, hashed_token: bytes, session_id: str) -> "Poll | None":
        """Return the authorized request that began a session, if the session goes on. The coordinator ends it when the
        token loses its validity, like a WebSocket."""
        poll = self._polls.get(hashed_token)
        if poll is None or poll.session_id != session_id:
            return None
        found = self.find(poll.agent_id, session_id)
        return poll if found is not None and found[0].end is None and not found[1].done() else None

    def find_or_begin(self, coordinator: Coordinator, poll: "Poll") -> tuple[Session, asyncio.Task[None]]:
        """Return the session with the task that holds it. A new one replaces an older connection of the agent."""
        found = self.find(poll.agent_id, poll.session_id)
        if found is not None:
            return found
        session = Session(poll.session_id)
        room = Room(poll.agent_id, poll.workspace_id, poll.organization_id, poll.owner_id)
        task = asyncio.create_task(session.hold(coordinator, room))
        entry = self._sessions[poll.agent_id] = session, task
        self._polls[poll.hashed_token] = poll

        def forget(_: object) -> None:
            if self._sessions.get(poll.agent_id) is entry:
                del self._sessions[poll.agent_id]
            if self._polls.get(poll.hashed_token) is poll:
                del self._polls[poll.hashed_token]

        task.add_done_callback(forget)
        return entry


@dataclass(frozen=True, slots=True)
class Poll:
    """An authorized request of an agent to be connected, or to leave if ``is_leaving``."""

    agent_id: uuid.UUID
    workspace_id: uuid.UUID
    organization_id: uuid.UUID
    owner_id: uuid.UUID
    hashed_token: bytes
    session_id: str
    is_leaving: bool = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send, headers: Headers) -> None:
        """Answer the request; ``headers`` are the common headers of all responses."""
        hub: Hub = scope["state"][Hub.key]
        try:
            with hub.stream_of(self.agent_id):
                reply = await self._reply(hub, scope, receive, headers)
        except TooManyRequests as error:
            reply = error_reply(error.status_code, error.message, [*headers, (b"retry-after", b"60")])
        if reply is not None:
            await send_whole(send, reply)

    async def _reply(self, hub: Hub, scope: Scope, receive: Receive, headers: Headers) -> Reply | None:
        """Wait, and return the reply; None if the client has disconnected."""
        polls: Polls = scope["state"][Polls.key]
        if self.is_leaving:
            found = polls.find(self.agent_id, self.session_id)
            if found is not None:
                session, task = found
                session.leave()
                await asyncio.wait({task})
            return _accepted(headers, is_connected=False)
        coordinator: Coordinator = scope["state"][Coordinator.key]
        await coordinator.attach(hub)
        session, task = polls.find_or_begin(coordinator, self)
        with session.request():
            going = asyncio.create_task(wait_for_disconnect(receive))
            try:
                await asyncio.wait({task, going}, timeout=POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            finally:
                is_gone = going.done()
                going.cancel()
                await asyncio.gather(going, return_exceptions=True)
            if is_gone:
                session.abandon()
                return None
        if not task.done():
            return _accepted(headers, is_connected=True)
        error = None if task.cancelled() else task.exception()
        return _ended(session, headers) if error is None else _failed(error)


def _accepted(headers: Headers, *, is_connected: bool) -> Reply:
    body = to_json({"is_connected": is_connected})
    kept = [(name, value) for name, value in headers if name not in (b"content-length", b"content-type")]
    own = [(b"content-type", JSON_CONTENT_TYPE.encode()), (b"content-length", b"%d" % len(body))]
    return Reply(200, [*kept, *own], body)


def _failed(error: BaseException) -> Reply:
    """Return the answer to a request that could not be connected. Raises what is not an error of the server's."""
    if not isinstance(error, Exception):
        raise error
    return failure(error)


def _ended(session: Session, headers: Headers) -> Reply:
    """Return the answer to a request whose session has ended: 403 for an agent of an earlier build, as at the next
    request; 409 if the agent has connected elsewhere; 503 if the server stops."""
    _, reason = session.end or (GOING_AWAY, STOPPING)
    if reason == OUTDATED:
        return error_reply(403, f"The agent may not connect. {reason}", headers)
    if reason == REPLACED:
        return error_reply(409, reason, headers)
    return error_reply(503, reason, [*headers, (b"retry-after", b"%d" % RETRY_SECONDS)])
