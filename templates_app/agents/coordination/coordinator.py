"""The coordinator of a web process: rooms of agents and clients, and notifications to other processes.

The first socket starts it: it opens a LISTEN connection, which also holds the process's lock. Nothing is stored of what
peers exchange. A process that has a client but not its agent asks for the agent's node, and one to which an agent
connects asks for the clients' nodes.
"""

import asyncio
import json
import logging
import secrets
import uuid
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, ClassVar

from coderproj.base.errors import TooManyRequests
from provisioning.log.following.hub import Hub
from provisioning.log.following.listener import listen
from provisioning.log.following.store import conninfo
from templates_app.agents.coordination import presence, rights
from templates_app.agents.coordination.messages import WITH_NODE, BadMessage, Kind, Message
from templates_app.agents.coordination.rooms import GOING_AWAY, NORMAL, Peer, Room
from templates_app.workspaces.events import WORKSPACE_CHANNEL

logger = logging.getLogger(__name__)

# Payloads are JSON: the number of the process that sent it, the kind, the agent, and what the kind needs.
CHANNEL = "agent_nodes"
# Bytes of a notification, a limit of PostgreSQL.
MAX_PAYLOAD = 7999
# Clients of one agent that this process serves.
MAX_CLIENTS = 256
# Seconds between looks for agents of processes that died.
WITHDRAW_SECONDS = 3.0
# Rights are checked when a workspace changes, and at least this often (decision 23).
CHECK_SECONDS = 50.0
# Changes within this time are checked together.
GATHER_SECONDS = 0.2
# After a check that failed.
RETRY_SECONDS = 1.0
REPLACED = "A newer connection of this agent has replaced this one."
STOPPING = "The server stops."


class Coordinator:
    """All sockets of agents and clients of this process. Uses the pool and the limits of the hub of logs."""

    key: ClassVar[str] = "agent_coordination"

    def __init__(self) -> None:
        self.number = secrets.randbelow(2**31 - 1) + 1
        self.rooms: dict[uuid.UUID, Room] = {}
        self._of_workspace: dict[str, set[uuid.UUID]] = {}
        self.queries = 0
        self._hub: Hub | None = None
        self._is_listening = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._outgoing: dict[tuple[str, ...], tuple[str, str]] = {}
        self._has_outgoing = asyncio.Event()
        self._changed: set[uuid.UUID] = set()
        self._has_changes = asyncio.Event()
        self._must_renew = asyncio.Event()

    # ------------------------------------------------------------------ the life of the service
    async def start(self) -> None:
        """Nothing: the first socket opens the connection."""

    async def attach(self, hub: Hub) -> None:
        """Wait until notifications arrive. The first call starts to listen."""
        if self._hub is None:
            self._hub = hub
            channels = {CHANNEL: self._receive, WORKSPACE_CHANNEL: self._workspace_changed}
            lock = (presence.LOCK_SQL, (self.number,))
            listening = listen(conninfo(), channels, connected=self._connected, first=lock)
            work = (listening, self._keep_publishing(), self._keep_renewing(), self._keep_withdrawing())
            self._tasks = [asyncio.create_task(one) for one in (*work, self._keep_checking(), self._end_with(hub))]
        await self._is_listening.wait()

    async def end_streams(self, timeout: float) -> None:
        """Make every socket close. One statement records that all agents of this process have disconnected."""
        connected = [room for room in self.rooms.values() if room.agent is not None]
        for room in self.rooms.values():
            room.close(GOING_AWAY, STOPPING)
        for room in connected:
            room.agent = None
        if connected and self._hub is not None:
            with _surviving("Agents cannot be recorded as disconnected"):
                await self._rows(presence.DISCONNECT_SQL, [[room.agent_id for room in connected], self.number])
            for room in connected:
                self._announce(room)

    async def stop(self) -> None:
        await self.end_streams(0)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._hub, self._tasks = None, []
        self._is_listening.clear()

    async def _end_with(self, hub: Hub) -> None:
        """End everything with the hub, whose pool is closed afterwards."""
        await hub.stopping.wait()
        await self.end_streams(0)
        await self._publish()
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()

    # ------------------------------------------------------------------ sockets
    @asynccontextmanager
    async def agent(self, made: Room, *, can_move: bool = False) -> AsyncIterator[Peer]:
        """Connect an agent while the block runs. An older socket of the same agent is closed. ``can_move``: while it
        is connected, the agent can move to another process. Watchers get no event for that."""
        peer = Peer(is_greeted=False)
        with self._visited(made) as room:
            try:
                async with room.lock:
                    self._admit(peer)
                    before, room.agent = room.agent, peer
                    if before is not None:
                        before.close(NORMAL, REPLACED)
                    parameters = {"agent": room.agent_id, "process": self.number, "vouched": presence.VOUCHED}
                    connected = await self._rows(presence.CONNECT_SQL, {**parameters, "can_move": can_move})
                    ((peer.connected_at, has_moved),) = connected or ((0.0, False),)
                for client in room.clients.values():
                    if client.node is not None:
                        peer.put(client.id, client.node)
                self._send(Kind.CONNECTED, room, peer, {"at": peer.connected_at})
                if has_moved:
                    self._check_soon(room)
                else:
                    self._announce(room)  # which this process hears as well, and checks the agent
                yield peer
            finally:
                async with room.lock:
                    if room.agent is peer:  # otherwise a newer socket has replaced it, and nothing is to be recorded
                        room.agent = None
                        if await self._rows(presence.DISCONNECT_SQL, [[room.agent_id], self.number]):
                            self._announce(room)

    @contextmanager
    def client(self, made: Room, key_id: str) -> Iterator[Peer]:
        """Connect a client of an agent while the block runs. Raises TooManyRequests."""
        with self._visited(made) as room:
            if len(room.clients) >= MAX_CLIENTS:
                raise TooManyRequests(f"The agent has {MAX_CLIENTS} clients. Close one of them first.")
            peer = Peer(is_greeted=True, key_id=key_id)
            self._admit(peer)
            room.clients[peer.id] = peer
            if room.agent is None:
                self._send(Kind.WANTED, room, peer)
            elif room.agent.node is not None:
                peer.put(room.agent.id, room.agent.node)
            self._check_soon(room)
            try:
                yield peer
            finally:
                del room.clients[peer.id]

    def pass_on(self, room: Room, peer: Peer, node: bytes) -> None:
        """Pass a node of a connected agent or client on to those who wait for it."""
        peer.node = node
        if room.agent is peer:
            room.tell_clients(peer.id, node)
            self._send(Kind.AGENT, room, peer)
        elif peer.id in room.clients:
            if room.agent is not None:
                room.agent.put(peer.id, node)
            else:
                self._send(Kind.CLIENT, room, peer)

    @contextmanager
    def _visited(self, made: Room) -> Iterator[Room]:
        """Yield the room of the agent, ``made`` if there is none yet. The last to leave removes it."""
        room = self.rooms.setdefault(made.agent_id, made)
        room.visitors += 1
        workspace = str(room.workspace_id)
        self._of_workspace.setdefault(workspace, set()).add(room.agent_id)
        try:
            yield room
        finally:
            room.visitors -= 1
            if not room.visitors and self.rooms.get(made.agent_id) is room:
                del self.rooms[made.agent_id]
                self._of_workspace[workspace].discard(made.agent_id)
                if not self._of_workspace[workspace]:
                    del self._of_workspace[workspace]

    def _admit(self, peer: Peer) -> None:
        """Close a socket that was opened while the server stops."""
        if self._hub is not None and self._hub.stopping.is_set():
            peer.close(GOING_AWAY, STOPPING)

    # ------------------------------------------------------------------ other processes
    def _send(self, kind: Kind, room: Room, peer: Peer, more: dict[str, Any] | None = None) -> None:
        """Tell the other processes. Of several messages of one kind and peer that wait, the last counts."""
        message = {"from": self.number, "kind": kind, "agent": str(room.agent_id), "peer": peer.id, **(more or {})}
        text = json.dumps(message)
        if kind in WITH_NODE and peer.node is not None:
            text = f'{text[:-1]}, "node": {peer.node.decode()}}}'
        self._queue((kind, peer.id), CHANNEL, text)

    def _announce(self, room: Room) -> None:
        """Notify watchers of the workspace."""
        self._queue((WORKSPACE_CHANNEL, str(room.workspace_id)), WORKSPACE_CHANNEL, str(room.workspace_id))

    def _queue(self, key: tuple[str, ...], channel: str, payload: str) -> None:
        """Let a notification wait, instead of an earlier one with the same key. One that PostgreSQL would refuse is
        dropped: others are sent in the same statement."""
        size = len(payload.encode(errors="surrogatepass"))
        if size > MAX_PAYLOAD or not payload.isprintable():
            logger.warning("a notification on %s is dropped: %d bytes, or not plain text", channel, size)
            return
        self._outgoing[key] = channel, payload
        self._has_outgoing.set()

    async def _keep_publishing(self) -> None:
        while True:
            await self._has_outgoing.wait()
            await self._publish()

    async def _publish(self) -> None:
        """Send what waits for other processes."""
        self._has_outgoing.clear()
        sent, self._outgoing = list(self._outgoing.values()), {}
        if sent:
            columns = [channel for channel, _ in sent], [payload for _, payload in sent]
            with _surviving("Nodes cannot be sent to other processes"):
                await self._rows(presence.NOTIFY_SQL, columns)

    def _receive(self, payload: str) -> None:
        """Act on a message of another process."""
        try:
            message = Message.read(payload)
        except BadMessage:
            logger.warning("a notification about nodes is malformed")
            return
        room = self.rooms.get(message.agent_id)
        if message.sender == self.number or room is None:
            return
        match message.kind:
            case Kind.AGENT:
                room.tell_clients(message.peer_id, message.node)
            case Kind.CLIENT:
                if room.agent is not None:
                    room.agent.put(message.peer_id, message.node)
            case Kind.CONNECTED:
                # While the agent connects here, its time is not known; the next renewal decides then.
                if room.agent is not None and 0 < room.agent.connected_at < message.at:
                    room.agent.close(NORMAL, REPLACED)
                self._send_clients(room)
            case Kind.WANTED:
                self._send_agent(room)

    def _send_agent(self, room: Room) -> None:
        if room.agent is not None and room.agent.node is not None:
            self._send(Kind.AGENT, room, room.agent)

    def _send_clients(self, room: Room) -> None:
        for client in room.clients.values():
            if client.node is not None:
                self._send(Kind.CLIENT, room, client)

    def _connected(self) -> None:
        """Make up for notifications that may have been lost, and vouch for the agents again."""
        self._is_listening.set()
        for room in self.rooms.values():
            if room.agent is not None:
                self._send_agent(room)
                self._send(Kind.CONNECTED, room, room.agent, {"at": room.agent.connected_at})
            else:
                self._send_clients(room)
                for client in room.clients.values():
                    self._send(Kind.WANTED, room, client)
        self._changed.update(self.rooms)
        self._has_changes.set()
        self._must_renew.set()

    # ------------------------------------------------------------------ presence
    async def _keep_renewing(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(presence.RENEWAL_SECONDS):
                    await self._must_renew.wait()
            self._must_renew.clear()
            with _surviving("Agents cannot be vouched for"):
                await self.renew()

    async def renew(self) -> None:
        """Vouch for the agents of this process. Sockets of agents that another process serves by now are closed."""
        agents = ((room.agent_id, room.agent) for room in self.rooms.values())
        held = {agent_id: agent for agent_id, agent in agents if agent is not None and agent.connected_at}
        for ids in presence.batches(list(held)):
            parameters = {"vouched": presence.VOUCHED, "process": self.number, "agents": ids}
            renewed = {row[0] for row in await self._rows(presence.RENEW_SQL, parameters)}
            for agent_id in ids:
                if agent_id not in renewed:
                    held[agent_id].close(NORMAL, REPLACED)
            # Agents that disconnected meanwhile: their end was recorded before the renewal.
            gone = [agent_id for agent_id in renewed if not self._holds(agent_id)]
            if gone:
                await self._rows(presence.DISCONNECT_SQL, [gone, self.number])

    def _holds(self, agent_id: uuid.UUID) -> bool:
        """Return True if the agent has a socket here."""
        room = self.rooms.get(agent_id)
        return room is not None and room.agent is not None

    async def _keep_withdrawing(self) -> None:
        while True:
            with _surviving("Agents of processes that died cannot be withdrawn"):
                await self.withdraw()
            await asyncio.sleep(WITHDRAW_SECONDS)

    async def withdraw(self) -> None:
        """Withdraw what processes that died vouched for, and notify watchers of the workspaces."""
        for (workspace_id,) in await self._rows(presence.WITHDRAW_SQL, []):
            self._queue((WORKSPACE_CHANNEL, str(workspace_id)), WORKSPACE_CHANNEL, str(workspace_id))

    # ------------------------------------------------------------------ rights
    def _workspace_changed(self, payload: str) -> None:
        changed = self._of_workspace.get(payload)
        if changed is not None:
            self._changed.update(changed)
            self._has_changes.set()

    def _check_soon(self, room: Room) -> None:
        """Check those who have joined: what changed between the view's check and now was not told to them."""
        self._changed.add(room.agent_id)
        self._has_changes.set()

    async def _keep_checking(self) -> None:
        loop = asyncio.get_running_loop()
        check_at = loop.time() + CHECK_SECONDS
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(check_at):
                    await self._has_changes.wait()
                    await asyncio.sleep(GATHER_SECONDS)
            self._has_changes.clear()
            changed, self._changed = self._changed, set()
            if loop.time() >= check_at:
                changed, check_at = set(self.rooms), loop.time() + CHECK_SECONDS
            try:
                await self.check(changed)
            except Exception:
                logger.exception("The rights of agents and clients cannot be checked")
                self._changed |= changed  # a right that is lost must not wait for the next look at all
                self._has_changes.set()
                await asyncio.sleep(RETRY_SECONDS)

    async def check(self, agent_ids: Collection[uuid.UUID]) -> None:
        """Close the sockets of agents whose build is outdated or whose owner is not active, with their clients, and
        those of clients who lost the right."""
        await rights.check(self.rooms, agent_ids, self._rows)

    async def _rows(self, sql: str, parameters: Any) -> list[tuple[Any, ...]]:
        assert self._hub is not None
        self.queries += 1
        return await self._hub.store.rows(sql, parameters)


@contextmanager
def _surviving(what: str) -> Iterator[None]:
    """Log an exception in the block instead of raising it: the loop around it must go on."""
    try:
        yield
    except Exception:
        logger.exception(what)
