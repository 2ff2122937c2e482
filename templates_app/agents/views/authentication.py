"""Authentication of agents: by their token in the header or the cookie of sessions, and by nothing else."""

import uuid
from typing import TYPE_CHECKING

from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from coderproj.api.authentication import SAFE_METHODS, reject_cross_site
from coderproj.api.errors import CHALLENGE
from coderproj.api.throttling import ApiThrottle
from coderproj.identity.authentication import SESSION_COOKIE, SESSION_HEADER
from templates_app.agents.tokens import AgentCaller, authenticate

if TYPE_CHECKING:  # a runtime import would be circular
    from rest_framework.views import APIView


class AgentAuthentication(BaseAuthentication):
    """Authenticates agents. The cookie comes first, as for users; tokens in query strings are ignored, because
    proxies log those (contract, W46)."""

    def authenticate(self, request: Request) -> tuple[AgentCaller, None]:
        cookie = request._request.COOKIES.get(SESSION_COOKIE, "")
        if cookie and request.method not in SAFE_METHODS:
            reject_cross_site(request._request)
        return authenticate(cookie or request.META.get(SESSION_HEADER, "")), None

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


class WithAgentToken(BasePermission):
    """Allows every agent with a valid token."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        return isinstance(request.user, AgentCaller)


class AgentThrottle(ApiThrottle):
    """Limits requests per agent and path, and requests without a valid token per address."""

    name = "agent"

    def caller_of(self, request: Request) -> uuid.UUID | str:
        user: object = request.user
        return user.id if isinstance(user, AgentCaller) else super().caller_of(request)

    def path_of(self, request: Request) -> str:
        return super().path_of(request) if isinstance(request.user, AgentCaller) else ""
