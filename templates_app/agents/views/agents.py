"""Endpoints of agents for users."""

import uuid

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from coderproj.api.schema import path_id
from coderproj.api.viewsets import ApiViewSet
from coderproj.base.errors import DomainError, Forbidden, NotFound
from coderproj.base.identifiers import path_uuid
from coderproj.reads.viewsets import CompiledReads
from coderproj.web.replies import Handover
from provisioning.models import WorkspaceAgent
from templates_app.agents import reads
from templates_app.agents.coordination.rights import may_connect
from templates_app.agents.coordination.sockets import CoordinationStream
from templates_app.agents.relays import relay_map
from templates_app.agents.serializers.answers import ConnectionSerializer
from templates_app.agents.services import agents
from templates_app.agents.views.websockets import require_websocket
from templates_app.workspaces.serializers.answers import BuildAgentSerializer

AGENT_ID = [path_id("workspaceagent")]


class NotReachable(DomainError):
    """The server has no connection of its own to agents (400 by contract, as for an agent that is not connected)."""

    message = "The server cannot reach the agent."
    NO_TUNNEL = "This server has no tunnel to agents. Clients connect to them directly, such as coder ssh."

    def __init__(self) -> None:
        super().__init__(detail=self.NO_TUNNEL)


class AgentViewSet(CompiledReads, ApiViewSet):
    """Agents of workspaces, by their id."""

    lookup_url_kwarg = "workspaceagent"
    serializer_class = BuildAgentSerializer
    serializer_classes = {"connection": ConnectionSerializer}
    compiled_reads = {"retrieve": reads.AGENT}

    @property
    def agent_id(self) -> uuid.UUID:
        """The id in the path. Raises DomainError for an invalid id."""
        return path_uuid("workspaceagent", self.kwargs["workspaceagent"])

    def find_agent(self) -> WorkspaceAgent:
        """Return the agent, with its workspace and build. Raises NotFound and IsDescription."""
        return agents.find(self.actor, self.agent_id)

    @extend_schema(operation_id="workspace_agent", parameters=AGENT_ID)
    def retrieve(self, request: Request, workspaceagent: str) -> HttpResponse:
        """Return an agent with its apps and the status of its connection."""
        try:
            return self.compiled_answer(self.agent_id)
        except NotFound:
            raise agents.missing(self.actor, self.agent_id) from None

    @extend_schema(operation_id="workspace_agent_connection", parameters=AGENT_ID)
    def connection(self, request: Request, workspaceagent: str) -> Response:
        """Return how to connect to an agent: the map of relays."""
        self.find_agent()
        return self.respond({"derp_map": relay_map()})

    @extend_schema(operation_id="coordinate_with_agent", parameters=AGENT_ID, responses={101: None})
    def coordinate(self, request: Request, workspaceagent: str) -> HttpResponseBase:
        """Connect to an agent as a client, over a WebSocket: the client sends its node and receives the agent's. Only
        users who may open connections into the workspace; 400 for agents of earlier builds."""
        agent = self.find_agent()
        workspace = agent.resource.job.workspace_build.workspace
        if not may_connect(self.actor, workspace.organization_id, workspace.owner_id):
            raise Forbidden("You may see this workspace, but not connect to it.")
        agents.require_current(agent)
        require_websocket(request)
        ids = (agent.pk, workspace.pk, workspace.organization_id, workspace.owner_id)
        return Handover(CoordinationStream(*ids, caller_id=self.actor.id, key_id=self.actor.key_id))

    @extend_schema(operation_id="workspace_agent_terminal", parameters=AGENT_ID, responses={101: None})
    def terminal(self, request: Request, workspaceagent: str) -> Response:
        """Refuse a terminal: the server has no tunnel to agents."""
        self.find_agent()
        raise NotReachable

    @extend_schema(operation_id="workspace_agent_listening_ports", parameters=AGENT_ID, responses={204: None})
    def listening_ports(self, request: Request, workspaceagent: str) -> Response:
        """Refuse the list of ports: the server has no tunnel to agents."""
        self.find_agent()
        raise NotReachable
