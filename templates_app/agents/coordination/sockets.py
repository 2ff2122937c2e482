"""The WebSockets of agents and clients, which views hand over to the event loop."""

import asyncio
import uuid
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

from coderproj.base.errors import TooManyRequests
from coderproj.web.environ import Receive, Scope, Send
from coderproj.web.protocols import ABORT, KEEP_ALIVE
from coderproj.web.replies import Headers, error_reply, refuse_websocket
from provisioning.log.following.hub import Hub
from provisioning.log.following.transports import until_first_ends
from templates_app.agents.coordination.announcements import Announcer
from templates_app.agents.coordination.coordinator import Coordinator
from templates_app.agents.coordination.nodes import BadNode, NodeReader, NodeTooLong, packed
from templates_app.agents.coordination.rooms import POLICY, TOO_LONG, UNSUPPORTED, Peer, Room

# A peer that answers no ping is gone. Agents and clients answer at once, whatever runs on their machines.
PING_SECONDS, PONG_SECONDS = 10.0, 15.0
# The socket is closed if the peer reads nothing for this many seconds.
STALL = 30.0
# Messages that a peer can send at once, and per second in the long run; further ones wait.
BURST, PER_SECOND = 50, 10.0


@dataclass(frozen=True, slots=True)
class CoordinationStream:
    """An authorized request to coordinate: of an agent, or of the client with this key."""

    agent_id: uuid.UUID
    workspace_id: uuid.UUID
    organization_id: uuid.UUID
    owner_id: uuid.UUID
    # What open streams are counted for: the agent, or the client's user.
    caller_id: uuid.UUID
    key_id: str | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send, headers: Headers) -> None:
        """Answer the request; ``headers`` are the common headers of all responses."""
        hub: Hub = scope["state"][Hub.key]
        coordinator: Coordinator = scope["state"][Coordinator.key]
        announcer: Announcer = scope["state"][Announcer.key]
        room = Room(self.agent_id, self.workspace_id, self.organization_id, self.owner_id)
        own = [(name, value) for name, value in headers if name.startswith(b"x-coder-")]
        try:
            with hub.stream_of(self.caller_id):
                await coordinator.attach(hub)
                announcer.attach(hub, coordinator.number)
                is_client = self.key_id is not None
                with coordinator.client(room, self.key_id or "") if is_client else nullcontext() as client:
                    await send({"type": "websocket.accept", "headers": own})
                    if KEEP_ALIVE in scope["extensions"]:
                        await send({"type": KEEP_ALIVE, "ping": PING_SECONDS, "pong": PONG_SECONDS})
                    if client is not None:
                        await self._serve(coordinator, announcer, client, receive, send)
                        return
                    async with coordinator.agent(room) as agent:
                        await self._serve(coordinator, announcer, agent, receive, send)
        except TooManyRequests as error:
            reply = error_reply(error.status_code, error.message, [*headers, (b"retry-after", b"60")])
            await refuse_websocket(scope, send, reply)

    async def _serve(
        self, coordinator: Coordinator, announcer: Announcer, peer: Peer, receive: Receive, send: Send
    ) -> None:
        """Pass nodes on until the peer disconnects or the coordinator ends the socket."""
        room = coordinator.rooms[self.agent_id]

        def pass_on(node: bytes) -> None:
            announcer.announce(peer, agent_id=self.agent_id, owner_id=self.caller_id, node=node)
            if peer.end is None:
                coordinator.pass_on(room, peer, node)

        peer.when_ended = lambda: announcer.forget(peer)
        try:
            await until_first_ends(_send_nodes(peer, send), _read_nodes(peer, receive, pass_on))
        finally:
            announcer.forget(peer)


async def _read_nodes(peer: Peer, receive: Receive, pass_on: Callable[[bytes], None]) -> None:
    """Read until the peer disconnects. What is not a node makes the socket close."""
    loop = asyncio.get_running_loop()
    reader = NodeReader()
    allowed, counted_at = float(BURST), loop.time()
    while (message := await receive())["type"] != "websocket.disconnect":
        data = message.get("bytes")
        try:
            if data is None:
                peer.close(UNSUPPORTED, "Nodes are sent in binary messages.")
                break
            for node in reader.feed(data):
                pass_on(node)
        except NodeTooLong as error:
            peer.close(TOO_LONG, str(error))
            break
        except BadNode as error:
            peer.close(POLICY, str(error))
            break
        now = loop.time()
        allowed, counted_at = min(allowed + (now - counted_at) * PER_SECOND, BURST) - 1, now
        if allowed < 0:  # the server reads nothing meanwhile, so the peer cannot send more
            await asyncio.sleep(-allowed / PER_SECOND)
    else:
        return
    await asyncio.Event().wait()  # until the other task has closed the socket


async def _send_nodes(peer: Peer, send: Send) -> None:
    """Send nodes until the socket must close, and close it. Raises TimeoutError if the peer does not read."""
    try:
        while (nodes := await peer.take()) is not None:
            for message in packed(nodes):
                async with asyncio.timeout(STALL):
                    await send({"type": "websocket.send", "bytes": message})
        assert peer.end is not None
        code, reason = peer.end
        async with asyncio.timeout(STALL):
            await send({"type": "websocket.close", "code": code, "reason": reason})
    except TimeoutError:
        await send({"type": ABORT})
        raise
