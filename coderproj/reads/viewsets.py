"""A mixin for viewsets with compiled reads."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar

import psycopg
from django.core.exceptions import PermissionDenied, SynchronousOnlyOperation
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from coderproj.base import filtering
from coderproj.base.errors import DomainError
from coderproj.database.event_loop import AllBusy
from coderproj.database.prepared import Prepared, Row
from coderproj.identity.authentication import CachedActor, cached_actor
from coderproj.reads.compiled import Read, Runner, json_answer
from coderproj.web.environ import WEBSOCKET, NeedsThread

logger = logging.getLogger(__name__)

# Outcomes that the regular path reports: not found, not allowed, rate-limited, a bad query and so on.
EXPECTED = (DomainError, APIException, Http404, PermissionDenied)
# Runs a statement with its parameters on the event loop, as ``database.event_loop.LoopDatabase.first_row``.
LoopRunner = Callable[[Prepared, list[bytes | None]], Awaitable[Row | None]]


class RowNeeded(Exception):
    """An action on the event loop needs the first row of a statement."""

    def __init__(self, statement: Prepared, parameters: list[bytes | None]) -> None:
        super().__init__()
        self.statement, self.parameters = statement, parameters


class Replay:
    """A runner of statements for an action that the event loop calls again with each further row."""

    def __init__(self) -> None:
        self._rows: list[tuple[Prepared, list[bytes | None], Row | None]] = []
        self._next = 0

    def __call__(self, statement: Prepared, parameters: list[bytes | None]) -> Row | None:
        """Return the row of the next statement. Raises RowNeeded if the event loop has yet to run it, and NeedsThread
        if the action now asks for another one than before."""
        if self._next == len(self._rows):
            raise RowNeeded(statement, parameters)
        known, with_parameters, row = self._rows[self._next]
        if known is not statement or with_parameters != parameters:
            raise NeedsThread
        self._next += 1
        return row

    def add(self, needed: RowNeeded, row: Row | None) -> None:
        """Add a row; the action is called from the start."""
        self._rows.append((needed.statement, needed.parameters, row))
        self._next = 0


class CompiledReads(GenericViewSet[Any]):
    """A mixin for viewsets with GET actions that use a ``compiled.Read``; put it before ``ApiViewSet``.

    ``compiled_reads`` maps these actions to their reads. For a cached caller they take the fast path: the viewset's own
    throttles and permissions, then the action, whose statement also proves the caller. Every outcome but a proven
    response goes to the regular path, Django REST framework's full cycle, which authenticates the caller and reports
    errors. These actions must therefore be safe to call twice.
    """

    compiled_reads: ClassVar[Mapping[str, Read]] = {}
    # Runs the action's statements: in this thread, or on the event loop.
    run_statement: Runner = staticmethod(Prepared.first_row)

    def compiled_answer(self, *arguments: Any) -> HttpResponse:
        """Return the JSON of the action's read as a response. Raises NotFound."""
        return json_answer(self.compiled_row(*arguments)[0])

    def compiled_row(self, *arguments: Any) -> Row:
        """Return the row of the action's read: JSON as bytes, then its other columns. Raises NotFound."""
        return self.row_of(self.compiled_reads[self.action], *arguments)

    def row_of(self, read: Read, *arguments: Any) -> Row:
        """Return the row of any read for the caller. Raises NotFound."""
        actor: Any = self.request.user
        return read.row(actor, *arguments, run=self.run_statement)

    def is_filtered(self) -> bool:
        """Return True if ``filterset_class`` filters the list; no read is compiled for filtered lists."""
        filter_set = getattr(self, "filterset_class", None) if self.action == "list" else None
        return filter_set is not None and filtering.is_filtered(filter_set, self.request.GET)

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method == "GET":
            self.args, self.kwargs = args, kwargs
            if (proven := self._admit(request)) and (response := self._try_action(proven)):
                return response
        return super().dispatch(request, *args, **kwargs)

    async def respond_on_loop(
        self, request: HttpRequest, kwargs: Mapping[str, str], run: LoopRunner
    ) -> HttpResponseBase | None:
        """Take the fast path on the event loop: call the action again with each row that it needs.

        Returns None if a thread must handle the request from the start.
        """
        self.args, self.kwargs = (), dict(kwargs)
        self.run_statement = replay = Replay()
        try:
            proven = self._admit(request)
            while proven is not None:
                try:
                    return self._try_action(proven)
                except RowNeeded as needed:
                    replay.add(needed, await run(needed.statement, needed.parameters))
        except (NeedsThread, AllBusy, psycopg.OperationalError):
            pass  # a thread waits, or tries again and reports the error
        except Exception:
            logger.exception("the event loop could not run a compiled read of %s", type(self).__name__)
        return None

    def _admit(self, request: HttpRequest) -> Request | None:
        """Return the request of a cached caller whom permissions and throttles admit; None for the regular path."""
        self.action = action = self.action_map.get("get", "")
        self.request = proven = Request(request)
        if action not in self.compiled_reads or request.META.get(WEBSOCKET) or self.is_filtered():
            return None
        actor = cached_actor(request)
        if actor is None or any("\0" in value for value in self.kwargs.values()):
            return None
        self.headers = self.default_response_headers
        proven.user = actor  # type: ignore[assignment]
        try:
            for permission in self.get_permissions():
                if not permission.has_permission(proven, self):
                    return None
            for throttle in self.get_throttles():
                if not throttle.allow_request(proven, self):
                    return None
        except NeedsThread:
            raise
        except EXPECTED:
            return None
        except Exception:
            logger.exception("the checks of a compiled read of %s.%s failed", type(self).__name__, action)
            return None
        return proven

    def _try_action(self, proven: Request) -> HttpResponseBase | None:
        """Return the action's response if a statement has proven the actor; None for the regular path."""
        actor: CachedActor = proven.user  # type: ignore[assignment]
        try:
            answer: HttpResponseBase = getattr(self, self.action)(proven, *self.args, **self.kwargs)
        except (RowNeeded, NeedsThread):
            raise
        except SynchronousOnlyOperation:  # on the event loop: the action runs a query of its own
            raise NeedsThread from None
        except EXPECTED:
            return None
        except Exception:
            logger.exception("a compiled read of %s.%s failed", type(self).__name__, self.action)
            return None
        if not actor.proof.given or isinstance(answer, Response):
            return None
        return self.finalize_response(proven, answer, *self.args, **self.kwargs)  # type: ignore[arg-type]
