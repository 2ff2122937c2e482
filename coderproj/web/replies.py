"""Replies: Django's responses and our own errors, as ASGI messages."""

import logging
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from django.http import HttpResponse

from coderproj.base.envelope import INTERNAL_ERROR, envelope
from coderproj.base.json_text import JSON_CONTENT_TYPE, to_json
from coderproj.web.environ import Receive, Scope, Send

logger = logging.getLogger(__name__)

Headers = list[tuple[bytes, bytes]]
REQUEST_ID = b"x-coder-request-id"


class Stream(Protocol):
    """An ASGI application that answers an authorized request; ``headers`` must be part of its response."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send, headers: Headers) -> None: ...


class Handover(HttpResponse):
    """The response of a view that lets ``stream`` answer the request.

    Only for requests whose environ has ``STREAMS``. The stream uses no thread and no database connection.
    """

    def __init__(self, stream: Stream) -> None:
        super().__init__()
        del self["Content-Type"]
        self.stream = stream


@dataclass(frozen=True, slots=True)
class Reply:
    """Django's response. ``body`` is None if it has already been sent in pieces."""

    status: int
    headers: Headers
    body: bytes | None
    stream: Stream | None = None


def error_reply(status: int, message: str, headers: Iterable[tuple[bytes, bytes]] = ()) -> Reply:
    """Return an error in the envelope, made without Django, with a request id and the security header."""
    body = to_json(envelope(message))
    common = {REQUEST_ID: str(uuid.uuid4()).encode(), **dict(headers)}
    return Reply(
        status,
        [
            *((name, value) for name, value in common.items() if name not in (b"content-length", b"content-type")),
            (b"content-type", JSON_CONTENT_TYPE.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"x-content-type-options", b"nosniff"),
        ],
        body,
    )


def failure(error: Exception) -> Reply:
    """Log an error outside of Django and return the reply for it."""
    request_id = str(uuid.uuid4())
    logger.error("request %s failed outside of Django", request_id, exc_info=error)
    return error_reply(500, INTERNAL_ERROR, [(REQUEST_ID, request_id.encode())])


async def send_whole(send: Send, reply: Reply) -> None:
    """Send a reply over HTTP."""
    await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
    await send({"type": "http.response.body", "body": reply.body or b"", "more_body": False})


async def refuse_websocket(scope: Scope, send: Send, reply: Reply) -> None:
    """Answer the opening request of a WebSocket with an ordinary HTTP reply."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008})
        return
    await send({"type": "websocket.http.response.start", "status": reply.status, "headers": reply.headers})
    await send({"type": "websocket.http.response.body", "body": reply.body or b"", "more_body": False})
