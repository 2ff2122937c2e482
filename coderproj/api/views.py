"""The base of every API view."""

from typing import Any, NoReturn

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from rest_framework.exceptions import NotAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from coderproj.api.dialect import Dialect, dialect_of
from coderproj.api.errors import ROUTE_NOT_FOUND
from coderproj.api.parsers import Blank
from coderproj.api.permissions import Public
from coderproj.api.throttling import headers_of
from coderproj.base.errors import NotFound, SignInRequired
from coderproj.identity.actor import Actor
from coderproj.identity.limits import RateLimited


class ApiView(APIView):
    """A view that answers JSON to an authenticated actor.

    Every request counts against the rate limit, also one that is not
    signed in, and its answer says where the caller stands.
    """

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if any("\0" in value for value in kwargs.values()):  # PostgreSQL has no such text
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
        return response

    @property
    def actor(self) -> Actor:
        """Who is asking; only on views that require sign-in."""
        actor: Any = self.request.user
        assert isinstance(actor, Actor)
        return actor

    @property
    def dialect(self) -> Dialect:
        return dialect_of(self.request._request)

    @property
    def has_body(self) -> bool:
        """Whether the request brought a JSON value. Raises ParseError."""
        return not isinstance(self.request.data, Blank) and self.request.stream is not None


class RouteNotFound(ApiView):
    """Every path under the API's root that no route claims, for everybody: it gives nothing away."""

    permission_classes = (Public,)
    authentication_classes = ()
    schema = None

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        self.http_method_names = [str(request.method).lower()]
        setattr(self, str(request.method).lower(), self._missing)
        return super().dispatch(request, *args, **kwargs)

    def _missing(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        raise NotFound(ROUTE_NOT_FOUND)
