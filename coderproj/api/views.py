"""The base of every API view."""

from typing import Any, NoReturn

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from rest_framework.exceptions import NotAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView

from coderproj.api.dialect import Dialect, dialect_of
from coderproj.api.errors import ROUTE_NOT_FOUND
from coderproj.api.parsers import Blank
from coderproj.api.permissions import Public
from coderproj.api.throttling import headers_of
from coderproj.base.envelope import envelope
from coderproj.base.errors import DomainError, NotFound, SignInRequired
from coderproj.identity.actor import Actor
from coderproj.identity.authentication import remembered_actor
from coderproj.identity.limits import RateLimited
from coderproj.web.bridge import WEBSOCKET


class ApiView(APIView):
    """A view that answers JSON to an authenticated actor.

    ``self.body(Serializer)`` is the validated body. Every request counts against the rate limit, also one that is not
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

    def body(self, serializer_class: type[BaseSerializer[Any]]) -> dict[str, Any]:
        """The validated body. Raises Invalid with a problem for each bad field."""
        data = self.request.data
        if not isinstance(data, dict):
            raise DomainError("Request body must be a JSON object.")
        serializer = serializer_class(data=data, context=self.get_serializer_context())
        serializer.is_valid(raise_exception=True)
        validated: dict[str, Any] = serializer.validated_data
        return validated

    def get_serializer_context(self) -> dict[str, Any]:
        return {"request": self.request, "view": self}

    def answer(self, message: str, status: int = 200) -> Response:
        """An answer that only confirms."""
        return Response(envelope(message), status=status)


_response_headers: dict[type, dict[str, str]] = {}


class CompiledReadView(ApiView):
    """A view whose ``get`` answers from a ``compiled.Read``.

    For a caller who is remembered, GET takes a short way: the view's own throttles, permissions and ``get``, in which
    the read proves the caller. Whatever does not succeed there goes the long way from the start, as if nothing had
    been: errors, unknown callers and answers that no read has proved. So ``get`` must be safe to call twice.

    It leaves no rings of objects behind: what a request was made of is freed when it is answered, and its memory used
    again while it is in the processor's caches.
    """

    def head(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
        # Django would keep the bound ``get`` under this name, a ring with the view.
        response: HttpResponseBase = self.get(request, *args, **kwargs)  # type: ignore[attr-defined]
        return response

    @property
    def default_response_headers(self) -> dict[str, str]:
        """Those of Django REST framework, which finds them out for each answer, though a class has always the same."""
        headers = _response_headers.get(type(self))
        if headers is None:
            headers = _response_headers[type(self)] = super().default_response_headers
        return headers.copy()

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        answer = self._short_way(request, args, kwargs) if request.method == "GET" else None
        return answer or super().dispatch(request, *args, **kwargs)

    def _short_way(self, request: HttpRequest, args: Any, kwargs: Any) -> HttpResponseBase | None:
        actor = None if request.META.get(WEBSOCKET) else remembered_actor(request)
        if actor is None or any("\0" in value for value in kwargs.values()):
            return None
        self.args, self.kwargs = args, kwargs
        self.headers = self.default_response_headers
        self.request = short = Request(request)
        short.parser_context.clear()  # a ring with the request
        short.user = actor  # type: ignore[assignment]
        try:
            for permission in self.get_permissions():
                if not permission.has_permission(short, self):
                    return None
            for throttle in self.get_throttles():
                if not throttle.allow_request(short, self):
                    return None
            answer: HttpResponseBase = self.get(short, *args, **kwargs)  # type: ignore[attr-defined]
        except Exception:  # noqa: BLE001 - the long way says what is wrong
            return None
        if not actor.proof.given or isinstance(answer, Response):
            return None
        return self.finalize_response(short, answer, *args, **kwargs)  # type: ignore[arg-type]


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
