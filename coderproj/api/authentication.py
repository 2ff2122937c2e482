"""Authentication of API requests by a session token in a header or a cookie."""

from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest
from django.http.request import split_domain_port, validate_host
from django.http.response import HttpResponseBase
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from coderproj.api.errors import CHALLENGE
from coderproj.base.errors import Forbidden
from coderproj.identity.actor import Actor
from coderproj.identity.authentication import SESSION_COOKIE, actor_for_token, carried_token, client_of
from coderproj.web import addresses

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
CROSS_SITE = "Pages of other sites can neither sign in nor use your session."
_ACCESS = urlsplit(settings.ACCESS_URL)
ACCESS_ORIGIN = f"{_ACCESS.scheme}://{_ACCESS.netloc}".lower()


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
    """Raise Forbidden for a request that was sent by another site's page. Clients that are not browsers send neither
    ``Origin`` nor ``Sec-Fetch-Site`` and are not affected."""
    site = request.META.get("HTTP_SEC_FETCH_SITE", "")
    origin = request.META.get("HTTP_ORIGIN", "")
    if site in {"cross-site", "same-site"} or (origin and not _is_own_origin(origin, request)):
        raise Forbidden(CROSS_SITE)


def _is_own_origin(origin: str, request: HttpRequest) -> bool:
    """Return True for the host of the request, and for the deployment's own URL: a proxy may replace the host.

    The host must be an address or one of ALLOWED_HOSTS: the name of another site can be made to lead to this server
    (DNS rebinding), and then origin and host are equal.
    """
    host = request.META.get("HTTP_HOST", "")
    if origin.lower() == ACCESS_ORIGIN:
        return True
    domain, _ = split_domain_port(host)
    known = validate_host(domain, settings.ALLOWED_HOSTS) or addresses.parse(host) is not None
    return known and same_origin(origin, host)


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
