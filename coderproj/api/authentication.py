"""Authentication of API requests by a session token in a header or a cookie."""

from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from coderproj.api.errors import CHALLENGE
from coderproj.base.errors import Forbidden
from coderproj.identity.actor import Actor
from coderproj.identity.authentication import SESSION_COOKIE, actor_for_token, carried_token, client_of

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class TokenAuthentication(BaseAuthentication):
    """Reads the session token from the session cookie, else from the header, else from the cookie of apps. An empty
    token counts as missing (contract, authentication).

    Only the log WebSocket reads it from the query parameter.
    """

    def authenticate(self, request: Request) -> tuple[Actor, str] | None:
        token, from_cookie = carried_token(request._request)
        if not token:
            return None
        if from_cookie and request.method not in SAFE_METHODS:
            reject_cross_site(request._request)
        return actor_for_token(token, client_of(request._request)), token

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


def reject_cross_site(request: HttpRequest) -> None:
    """Raise Forbidden for a write that is authenticated by cookie and sent by another site's page."""
    site = request.META.get("HTTP_SEC_FETCH_SITE", "")
    origin = request.META.get("HTTP_ORIGIN", "")
    if site in {"cross-site", "same-site"} or (origin and not same_origin(origin, request.META.get("HTTP_HOST", ""))):
        raise Forbidden("Pages of other sites cannot use your session.")


def same_origin(origin: str, host: str) -> bool:
    """Return True if an ``Origin`` has this host; False for ``null`` and invalid values."""
    try:
        return bool(host) and urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:
        return False


def set_session_cookie(request: HttpRequest, response: HttpResponseBase, token: str) -> None:
    """Set the session cookie for browsers."""
    response.set_cookie(
        SESSION_COOKIE,
        token,
        path="/",
        httponly=True,
        samesite="Lax",
        secure=settings.SECURE or request.is_secure(),
    )
