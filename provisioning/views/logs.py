"""Views of logs: read or follow."""

import uuid
from abc import ABC, abstractmethod
from itertools import chain
from typing import Any

from django.http import HttpRequest, HttpResponse, QueryDict, StreamingHttpResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.views import APIView

from coderproj.api.authentication import same_origin
from coderproj.base.errors import DomainError, Forbidden, Invalid
from coderproj.base.json_text import JSON_CONTENT_TYPE
from coderproj.identity.authentication import SESSION_COOKIE, SESSION_HEADER
from coderproj.reads.compiled import FinalRead
from coderproj.reads.viewsets import CompiledReads
from coderproj.web.environ import STREAMS, WEBSOCKET
from coderproj.web.replies import Handover
from provisioning.log.following.transports import LogStream, Transport
from provisioning.log.reading import LogPage, log_chunks
from provisioning.log.window import LogWindow, last_event_id, log_window

EVENT_STREAM = "text/event-stream"


class FollowableLogs(APIView, ABC):
    """Mixin for a viewset whose ``list`` returns the log of one job; it comes before ``ApiViewSet`` in the bases.

    Returns the window of ``after`` and ``before`` as a JSON array or, with ``follow``, with a stream that ends
    with the job. A server without streams returns the current log instead.
    """

    @abstractmethod
    def get_job_id(self) -> uuid.UUID:
        """Return the job's id if the caller may read its log. Raises DomainError."""

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        """Accept the session token in the query of a WebSocket: browsers cannot set its headers."""
        if request.META.get(WEBSOCKET) and not request.COOKIES.get(SESSION_COOKIE):
            token = request.META.get(SESSION_HEADER) or request.GET.get(SESSION_COOKIE, "")
            request.META[SESSION_HEADER] = token
        return super().initialize_request(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Reject WebSockets from pages of other sites: the browser sends the session cookie with them."""
        origin = request.META.get("HTTP_ORIGIN")
        foreign = origin is not None and not same_origin(origin, request.META.get("HTTP_HOST", ""))
        if request.META.get(WEBSOCKET) and foreign:
            raise Forbidden("Pages of other sites may not open this WebSocket.")
        super().initial(request, *args, **kwargs)

    def list(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
        query: QueryDict = request._request.GET
        try:
            window = log_window(query)
        except Invalid:
            self.get_job_id()  # check access first: an unreadable log is not revealed by other errors
            raise
        websocket = bool(request.META.get(WEBSOCKET))
        if not (websocket or (window.follow and request.META.get(STREAMS))):
            return self.read_log(window)
        job_id = self.get_job_id()
        if not window.follow:
            raise DomainError("WebSockets can only follow the log. Add ?follow to the URL.")
        return Handover(self._stream(request, job_id, window, websocket))

    def read_log(self, window: LogWindow) -> HttpResponseBase:
        """Return the log as it is now, without following. Raises DomainError."""
        return log_response(self.get_job_id(), window)

    def _stream(self, request: Request, job_id: uuid.UUID, window: LogWindow, websocket: bool) -> LogStream:
        user_id: uuid.UUID = request.user.pk  # type: ignore[assignment]
        after = max(window.after_id or 0, 0)
        transport = Transport.ARRAY
        if websocket:
            transport = Transport.WEBSOCKET
        elif EVENT_STREAM in request.META.get("HTTP_ACCEPT", ""):
            transport = Transport.EVENTS
            after = max(after, last_event_id(request.META.get("HTTP_LAST_EVENT_ID", "")))
        return LogStream(job_id, user_id, transport, after, window.after_time)


class CompiledLog(CompiledReads, FollowableLogs):
    """A followable log of an object that has a job, whose ``list`` is a read of ``provisioning.reads.read_log_of``."""

    @property
    @abstractmethod
    def object_id(self) -> uuid.UUID:
        """The object's id in the path. Raises DomainError for an invalid id."""

    def get_job_id(self) -> uuid.UUID:
        read = self.compiled_reads["list"]
        assert isinstance(read, FinalRead)
        job_id: uuid.UUID
        (job_id,) = self.row_of(read.visible, self.object_id)
        return job_id

    def read_log(self, window: LogWindow) -> HttpResponseBase:
        bounds = (window.after_id, window.before_id, window.after_time, window.before_time)
        page, job_id, _ = self.compiled_row(self.object_id, *bounds)
        return log_response(job_id, window, LogPage.of(page))


def log_response(job_id: uuid.UUID, window: LogWindow, first: LogPage | None = None) -> HttpResponseBase:
    """Return the window of the job's log as a JSON array, streamed unless it is short. ``first`` is the first page, if
    it was read already."""
    chunks = log_chunks(job_id, window, first)
    if first is not None and first.full:  # on the event loop, which must not wait for the second page
        return StreamingHttpResponse(chunks, content_type=JSON_CONTENT_TYPE)
    head = next(chunks) + next(chunks)
    if head.endswith(b"]\n"):
        return HttpResponse(head, content_type=JSON_CONTENT_TYPE)
    return StreamingHttpResponse(chain((head,), chunks), content_type=JSON_CONTENT_TYPE)
