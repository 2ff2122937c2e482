"""A mixin for viewsets with compiled reads."""

import logging
from collections.abc import Mapping
from typing import Any, ClassVar

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from coderproj.base import filtering
from coderproj.base.errors import DomainError
from coderproj.identity.authentication import cached_actor
from coderproj.reads.compiled import Read, json_answer
from coderproj.web.bridge import WEBSOCKET

logger = logging.getLogger(__name__)

# Outcomes that the regular path reports: not found, not allowed, rate-limited, a bad query and so on.
EXPECTED = (DomainError, APIException, Http404, PermissionDenied)


class CompiledReads(GenericViewSet[Any]):
    """A mixin for viewsets with GET actions that use a ``compiled.Read``; put it before ``ApiViewSet``.

    ``compiled_reads`` maps these actions to their reads. For a cached caller they take the fast path: the viewset's own
    throttles and permissions, then the action, whose statement also proves the caller. Every outcome but a proven
    response goes to the regular path, Django REST framework's full cycle, which authenticates the caller and reports
    errors. These actions must therefore be safe to call twice.
    """

    compiled_reads: ClassVar[Mapping[str, Read]] = {}

    def compiled_answer(self, *arguments: Any) -> HttpResponse:
        """Return the JSON of the action's read as a response. Raises NotFound."""
        return json_answer(self.compiled_row(*arguments)[0])

    def compiled_row(self, *arguments: Any) -> tuple[Any, ...]:
        """Return the row of the action's read: JSON as bytes, then its other columns. Raises NotFound."""
        actor: Any = self.request.user
        return self.compiled_reads[self.action].row(actor, *arguments)

    def is_filtered(self) -> bool:
        """Return True if ``filterset_class`` filters the list; no read is compiled for filtered lists."""
        filter_set = getattr(self, "filterset_class", None) if self.action == "list" else None
        return filter_set is not None and filtering.is_filtered(filter_set, self.request.GET)

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = self._fast_path(request, args, kwargs) if request.method == "GET" else None
        return super().dispatch(request, *args, **kwargs) if response is None else response

    def _fast_path(self, request: HttpRequest, args: Any, kwargs: Any) -> HttpResponseBase | None:
        """Return the response of a compiled read to a cached caller; None if the regular path must respond."""
        self.action = action = self.action_map.get("get", "")
        if action not in self.compiled_reads or request.META.get(WEBSOCKET) or self.is_filtered():
            return None
        actor = cached_actor(request)
        if actor is None or any("\0" in value for value in kwargs.values()):
            return None
        self.args, self.kwargs = args, kwargs
        self.headers = self.default_response_headers
        self.request = proven = Request(request)
        proven.user = actor  # type: ignore[assignment]
        try:
            for permission in self.get_permissions():
                if not permission.has_permission(proven, self):
                    return None
            for throttle in self.get_throttles():
                if not throttle.allow_request(proven, self):
                    return None
            answer: HttpResponseBase = getattr(self, action)(proven, *args, **kwargs)
        except EXPECTED:
            return None
        except Exception:
            logger.exception("a compiled read of %s.%s failed", type(self).__name__, action)
            return None
        if not actor.proof.given or isinstance(answer, Response):
            return None
        return self.finalize_response(proven, answer, *args, **kwargs)  # type: ignore[arg-type]
