"""Endpoints for agents about themselves: ``/workspaceagents/me``."""

from typing import Any

from django.conf import settings
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from coderproj.api.viewsets import ApiViewSet
from coderproj.base.errors import DomainError, Forbidden, Invalid, NotFound
from coderproj.base.json_text import JSON_CONTENT_TYPE
from coderproj.identity.git_keys import key_pair_of
from coderproj.web.environ import STREAMS
from coderproj.web.replies import Handover
from provisioning.models import WorkspaceAgent
from provisioning.models.resources import AgentLifecycle
from templates_app.agents.coordination.polls import Poll
from templates_app.agents.coordination.sockets import CoordinationStream
from templates_app.agents.serializers.answers import (
    GitKeySerializer,
    ManifestSerializer,
    PresenceAnswerSerializer,
    ReportAnswerSerializer,
)
from templates_app.agents.serializers.bodies import (
    HealthsBody,
    LifecycleBody,
    PresenceBody,
    StatisticsBody,
    VersionBody,
)
from templates_app.agents.services import agents, statistics
from templates_app.agents.tokens import AgentCaller
from templates_app.agents.views.authentication import AgentAuthentication, AgentThrottle, WithAgentToken
from templates_app.agents.views.websockets import require_websocket

SECOND = 1_000_000_000
NULL: dict[str, Any] = {"type": "object", "nullable": True, "description": "Always null."}
GIT_URL = OpenApiParameter("url", str, required=True, description="The address of a git repository.")
WITHOUT_BODY = {204: None}


class NoGitProvider(NotFound):
    message = "This deployment has no git provider for this address."


class WithoutStreams(DomainError):
    """The server runs Django alone, such as in a test."""

    status_code = 501
    message = "This server cannot hold a request."


class OwnAgentViewSet(ApiViewSet):
    """An agent, for itself. Its token is the permission."""

    authentication_classes = (AgentAuthentication,)
    permission_classes = (WithAgentToken,)
    throttle_classes = (AgentThrottle,)
    serializer_classes = {
        "manifest": ManifestSerializer,
        "git_key": GitKeySerializer,
        "report": ReportAnswerSerializer,
        "presence": PresenceAnswerSerializer,
    }
    body_classes = {
        "store_version": VersionBody,
        "store_healths": HealthsBody,
        "store_lifecycle": LifecycleBody,
        "report": StatisticsBody,
        "presence": PresenceBody,
    }

    @property
    def caller(self) -> AgentCaller:
        caller: Any = self.request.user
        assert isinstance(caller, AgentCaller)
        return caller

    @extend_schema(operation_id="agent_manifest")
    def manifest(self, request: Request) -> Response:
        """Return what an agent needs to know about itself: its script, directory, environment and apps."""
        return self.respond(WorkspaceAgent.objects.prefetch_related("apps").get(pk=self.caller.id))

    @extend_schema(operation_id="store_agent_version", responses={200: NULL})
    def store_version(self, request: Request) -> HttpResponse:
        """Store the version of the agent's program, a semantic version with a leading v."""
        agents.store_version(self.caller, self.read_body()["version"])
        return null()

    @extend_schema(operation_id="store_app_healths", responses={200: NULL})
    def store_healths(self, request: Request) -> HttpResponse:
        """Store the health of apps, all or none. Each needs a health check."""
        agents.store_healths(self.caller, self.read_body()["healths"])
        return null()

    @extend_schema(operation_id="store_agent_lifecycle", responses=WITHOUT_BODY)
    def store_lifecycle(self, request: Request) -> Response:
        """Store the state of the agent's startup script."""
        agents.store_lifecycle(self.caller, AgentLifecycle(self.read_body()["state"]))
        return Response(status=204)

    @extend_schema(operation_id="report_agent_statistics")
    def report(self, request: Request) -> Response:
        """Report traffic since the last report, which counts as use of the workspace. The answer has the interval of
        reports; those that come much sooner are not stored."""
        body = self.read_body()
        report = statistics.Report(
            connections_by_protocol=body["conns_by_proto"],
            connections=body["num_comms"],
            rx_packets=body["rx_packets"],
            rx_bytes=body["rx_bytes"],
            tx_packets=body["tx_packets"],
            tx_bytes=body["tx_bytes"],
        )
        statistics.record(self.caller, report)
        return self.respond({"report_interval": settings.AGENT_STATS_SECONDS * SECOND})

    @extend_schema(operation_id="coordinate_agent", responses={101: None})
    def coordinate(self, request: Request) -> HttpResponseBase:
        """Connect as the agent, over a WebSocket: the agent sends its node and receives those of its clients. 403 once
        a newer build of the workspace has begun."""
        caller = self.caller
        if caller.is_outdated:
            raise outdated()
        require_websocket(request)
        ids = (caller.id, caller.workspace_id, caller.organization_id, caller.owner_id)
        return Handover(CoordinationStream(*ids, caller_id=caller.id))

    @extend_schema(operation_id="keep_agent_connected")
    def presence(self, request: Request) -> HttpResponseBase:
        """Connect as an agent that cannot hold a WebSocket. The answer comes after some seconds; the agent sends the
        next request at once, with the same session, and is connected meanwhile. An end of the connection while the
        agent waits is the end of the session, like ``is_leaving``. 403 once a newer build of the workspace has begun,
        409 if the agent has connected elsewhere."""
        body, caller = self.read_body(), self.caller
        if caller.is_outdated:
            raise outdated()
        if not request.META.get(STREAMS):
            raise WithoutStreams
        ids = (caller.id, caller.workspace_id, caller.organization_id, caller.owner_id)
        poll = Poll(*ids, caller.hashed_token, session_id=body["session"], is_leaving=body["is_leaving"])
        return Handover(poll)

    @extend_schema(operation_id="agent_git_credentials", parameters=[GIT_URL], responses=WITHOUT_BODY)
    def git_credentials(self, request: Request) -> Response:
        """Return 404 for every address: the deployment has no git providers."""
        if not request.GET.get("url"):
            raise Invalid.field("url", "This field is required.")
        raise NoGitProvider

    @extend_schema(operation_id="agent_git_key")
    def git_key(self, request: Request) -> Response:
        """Return the SSH key pair of the workspace's owner, for git."""
        public, private = key_pair_of(self.caller.owner_id)
        return self.respond({"public_key": public, "private_key": private})


def outdated() -> Forbidden:
    """Return the error for an agent of an earlier build (contract, agent coordination)."""
    return Forbidden("The agent may not connect.", detail="The build is outdated: a newer one has begun.")


def null() -> HttpResponse:
    """Return the response with the body ``null`` (contract, reports of agents)."""
    return HttpResponse(b"null\n", content_type=JSON_CONTENT_TYPE)
