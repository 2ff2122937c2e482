"""Who may stay connected: agents of the current build, and clients with the right to open connections."""

import uuid
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

from coderproj.identity.actor import Actor
from coderproj.identity.authentication import ACTORS_SQL, valid_actors
from coderproj.identity.rbac import Action, Resource, allowed
from templates_app.agents.coordination.presence import batches
from templates_app.agents.coordination.rooms import GOING_AWAY, POLICY, Room
from templates_app.agents.tokens import CURRENT_SQL

OUTDATED = "A newer build of the workspace has begun."
# Returns the rows of a statement with its parameters.
Rows = Callable[[str, Any], Awaitable[list[tuple[Any, ...]]]]


def may_connect(actor: Actor | None, organization_id: uuid.UUID, owner_id: uuid.UUID) -> bool:
    """Return True if the actor may open connections into the workspace."""
    return actor is not None and allowed(
        actor, Action.CREATE, Resource.WORKSPACE_EXECUTION, organization_id=organization_id, owner_id=owner_id
    )


async def check(rooms: Mapping[uuid.UUID, Room], agent_ids: Collection[uuid.UUID], rows: Rows) -> None:
    """Close the sockets of agents whose build is outdated or whose owner is not active, with their clients, and those
    of clients who lost the right."""
    for ids in batches([agent_id for agent_id in agent_ids if agent_id in rooms]):
        current = {row[0] for row in await rows(CURRENT_SQL, [ids])}
        for agent_id in ids:
            if agent_id not in current and agent_id in rooms:
                rooms[agent_id].close(GOING_AWAY, OUTDATED, lost_right=True)
    clients = [
        (room, client)
        for agent_id in agent_ids
        if (room := rooms.get(agent_id)) is not None
        for client in room.clients.values()
    ]
    actors: dict[str, Actor] = {}
    for keys in batches(sorted({client.key_id for _, client in clients})):
        actors |= valid_actors(await rows(ACTORS_SQL, [keys]))
    for room, client in clients:
        if not may_connect(actors.get(client.key_id), room.organization_id, room.owner_id):
            client.close(POLICY, "You may not connect to this workspace any more.", lost_right=True)
