"""The base class of all API views."""

from typing import Any, NoReturn

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from rest_framework.exceptions import NotAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from coderproj.api.errors import ROUTE_NOT_FOUND
from coderproj.api.parsers import Blank
from coderproj.api.permissions import Public
from coderproj.api.throttling import UnknownPathThrottle, headers_of
from coderproj.base.dialect import Dialect, dialect_of
from coderproj.base.errors import NotFound, SignInRequired
from coderproj.identity.actor import Actor
from coderproj.identity.limits import RateLimited


class ApiView(APIView):
    """A view with JSON responses for an authenticated actor.

    Every request counts against the rate limit, with or without sign-in, and every response has the rate limit headers.
    """

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if any("\0" in value for value in kwargs.values()):  # PostgreSQL cannot store it
            raise NotFound
        try:
            super().initial(request, *args, **kwargs)
        except (SignInRequired, NotAuthenticated):
            request.user = None  # type: ignore[assignment]
            self.check_throttles(request)
            raise

    def throttled(self, request: Request, wait: float | None) -> NoReturn:
        raise RateLimited(wait or 1)

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        response = super().finalize_response(request, response, *args, **kwargs)
        for name, value in headers_of(request._request).items():
            response[name] = value
        if not response.has_header("ETag"):  # answers depend on the caller and change at any time
            response.headers.setdefault("Cache-Control", "no-store")
        return response

    @property
    def actor(self) -> Actor:
        """The actor; only in views that require sign-in."""
        actor: Any = self.request.user
        assert isinstance(actor, Actor)
        return actor

    @property
    def dialect(self) -> Dialect:
        return dialect_of(self.request._request)

    @property
    def has_body(self) -> bool:
        """True if the body of the request contains a JSON value. Raises ParseError."""
        return not isinstance(self.request.data, Blank) and self.request.stream is not None


class RouteNotFound(ApiView):
    """Responds to all unknown paths below the API's root. Public, because it reveals nothing."""

    permission_classes = (Public,)
    authentication_classes = ()
    throttle_classes = (UnknownPathThrottle,)
    schema = None

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        self.http_method_names = [str(request.method).lower()]
        setattr(self, str(request.method).lower(), self._missing)
        return super().dispatch(request, *args, **kwargs)

    def _missing(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        raise NotFound(ROUTE_NOT_FOUND)
