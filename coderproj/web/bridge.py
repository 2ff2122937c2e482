"""Runs Django, which is synchronous, below an ASGI server: pages and API on a fixed pool of threads.

Django's responses are complete before they are sent, so an ordinary request crosses from the event loop to its thread
once, and back once. General adapters do not give three guarantees that are needed here: a client that disconnects
during an upload does not look like the end of the body, a client that stops reading does not occupy a thread, and a
view can hand an authorized request over to a stream (``Handover``).
"""

import asyncio
import functools
import io
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Iterable, MutableMapping
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from django.conf import settings
from django.http import HttpResponse
from django.http.response import HttpResponseBase

from coderproj.base.envelope import INTERNAL_ERROR, envelope
from coderproj.base.json_text import JSON_CONTENT_TYPE, to_json
from coderproj.web import addresses
from coderproj.web.bodies import PIECE, RequestBody, prepare_unmeasured
from coderproj.web.threads import NoThread, Threads

logger = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
Environ = dict[str, Any]
RequestHandler = Callable[[Environ, Any], HttpResponseBase]
Result = TypeVar("Result")

# In the environ: true if the request asks for a WebSocket; true if the request can be handed over to a stream.
WEBSOCKET = "coderproj.websocket"
STREAMS = "coderproj.streams"
# A body up to this size is read before a thread is used.
INLINE_BODY = 64 * 1024
# Seconds without progress, in sending or receiving, after which a client's request is dropped.
STALL = 60.0
FORWARDED_PROTO = "HTTP_X_FORWARDED_PROTO"
REQUEST_ID, BUILD_VERSION = b"x-coder-request-id", b"x-coder-build-version"
WITHOUT_BODY = frozenset({204, 304})


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


class ClientDisconnected(ConnectionResetError):
    """The client disconnected, or made no progress for STALL seconds."""


class DjangoBridge:
    """An ASGI application that calls ``handler``, Django's WSGI handler, on one of ``threads`` threads."""

    def __init__(self, handler: RequestHandler, threads: int) -> None:
        self.handler = handler
        self.threads = Threads(threads)

    def close(self) -> None:
        """End the threads after their current requests."""
        self.threads.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request of type ``http``."""
        exchange = Exchange(self.handler, scope, receive, send)
        try:
            await exchange.read_short_body()
        except TimeoutError:
            await send_whole(send, error_reply(408, "The request body did not arrive in time."))
            return
        except ConnectionResetError:
            return
        reply = await self._run(exchange)
        if reply is None:
            return
        if reply.stream is not None:
            await reply.stream(scope, receive, send, reply.headers)
        elif reply.body is None:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            await send_whole(send, reply)

    async def websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request of type ``websocket``: a view hands it over, or it is rejected with a JSON error."""
        if (await receive())["type"] != "websocket.connect":
            return
        reply = await self._run(Exchange(self.handler, scope, receive, send))
        if reply is None:
            return
        if reply.stream is not None:
            await reply.stream(scope, receive, send, reply.headers)
        else:
            await refuse_websocket(scope, send, reply)

    async def _run(self, exchange: "Exchange") -> Reply | None:
        try:
            return await self.threads.run(exchange.run)
        except NoThread as error:
            logger.error("No thread for a request: %s", error)
            return error_reply(503, "The server has no thread for this request.")
        finally:
            exchange.abandon()


class Exchange:
    """One request. Methods without ``async`` run in its thread."""

    def __init__(self, handler: RequestHandler, scope: Scope, receive: Receive, send: Send) -> None:
        self.handler = handler
        self.scope = scope
        self.receive = receive
        self.send = send
        self.loop = asyncio.get_running_loop()
        self.environ = build_environ(scope)
        self.input: io.BufferedIOBase = io.BytesIO()
        self.status = 0
        self.headers: Headers = []
        self.disconnected = False
        self.waiting: Future[Any] | None = None
        self.watcher: asyncio.Task[None] | None = None

    # ------------------------------------------------------------------ the request's body
    async def read_short_body(self) -> None:
        """Read a short body now: a slow client must not occupy a thread. A long body is read while the view runs.

        Raises TimeoutError, and ConnectionResetError if the client disconnected.
        """
        chunked = "HTTP_TRANSFER_ENCODING" in self.environ
        announced = int(self.environ.get("CONTENT_LENGTH") or 0)
        if not chunked and not announced:
            return
        head, more = b"", True
        if announced <= INLINE_BODY and "HTTP_EXPECT" not in self.environ:
            head, more = await self._read_head()
        if more:
            self.input = io.BufferedReader(RequestBody(self._next_piece, head), PIECE)
        else:
            self.input = io.BytesIO(head)
            self.environ["CONTENT_LENGTH"] = str(len(head))

    async def _read_head(self) -> tuple[bytes, bool]:
        head = bytearray()
        more = True
        while more and len(head) <= INLINE_BODY:
            async with asyncio.timeout(STALL):
                message = await self.receive()
            head += body_of(message)
            more = message.get("more_body", False)
        return bytes(head), more

    async def _receive(self) -> Message:
        return await self.receive()

    def _next_piece(self) -> tuple[bytes, bool]:
        """Return the next piece of the body and whether more follows. Raises an OSError if there is none."""
        message = self._in_loop(self._receive())
        return body_of(message), message.get("more_body", False)

    # ------------------------------------------------------------------ the response
    def run(self) -> Reply | None:
        """Call Django and return its response. A streaming response is sent from here.

        Returns None if the client has disconnected. Raises an exception if a response fails after its start, so that
        the server closes the connection.
        """
        try:
            if isinstance(self.input, io.BufferedReader) and not self.environ.get("CONTENT_LENGTH"):
                self.input = prepare_unmeasured(self.environ, self.input, settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
            self.environ["wsgi.input"] = self.input
            response = self.handler(self.environ, ignore_start)
            try:
                return self._answer(response)
            finally:
                response.close()
        except ClientDisconnected:
            return None
        except Exception:
            if self.watcher is not None:
                raise
            request_id = str(uuid.uuid4())
            logger.exception("request %s failed outside of Django", request_id)
            return error_reply(500, INTERNAL_ERROR, [(REQUEST_ID, request_id.encode())])

    def _answer(self, response: HttpResponseBase) -> Reply:
        self.status = response.status_code
        self.headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in response.items()]
        cookies = response.cookies.values()
        self.headers += [(b"set-cookie", cookie.OutputString().encode("latin-1")) for cookie in cookies]
        if isinstance(response, Handover):
            return Reply(self.status, self.headers, b"", response.stream)
        if self.scope["type"] == "websocket" and self.status < 400:
            return error_reply(400, "This path cannot be followed over a WebSocket.", self.headers)
        measured = any(name == b"content-length" for name, _ in self.headers)
        if self.environ["REQUEST_METHOD"] == "HEAD" or self.status in WITHOUT_BODY:
            return Reply(self.status, self.headers, b"")
        if response.streaming and self.scope["type"] == "http":
            return self._send_pieces(response, measured)
        body = b"".join(response)
        if not measured:
            self.headers.append((b"content-length", b"%d" % len(body)))
        return Reply(self.status, self.headers, body)

    def _send_pieces(self, response: HttpResponseBase, measured: bool) -> Reply:
        """Send each piece as soon as it is ready. Combine small pieces of a response with a known length (a file)."""
        pending = bytearray()
        for piece in response:
            pending += piece
            if pending and (not measured or len(pending) >= PIECE):
                self._in_loop(self._send_piece(bytes(pending)))
                pending.clear()
        if self.watcher is None:
            if not measured:
                self.headers.append((b"content-length", b"%d" % len(pending)))
            return Reply(self.status, self.headers, bytes(pending))
        if pending:
            self._in_loop(self._send_piece(bytes(pending)))
        return Reply(self.status, self.headers, None)

    async def _send_piece(self, piece: bytes) -> None:
        if self.watcher is None:
            self.watcher = asyncio.create_task(self._watch())
            await self.send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await self.send({"type": "http.response.body", "body": piece, "more_body": True})

    async def _watch(self) -> None:
        """Detect a disconnect while nothing is being sent."""
        while (await self.receive())["type"] != "http.disconnect":
            pass
        self.disconnected = True

    # ------------------------------------------------------------------ between thread and event loop
    def _in_loop(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine that talks to the client. Raises ClientDisconnected or the coroutine's exception."""
        if self.disconnected:
            work.close()
            raise ClientDisconnected
        self.waiting = waiting = asyncio.run_coroutine_threadsafe(work, self.loop)
        deadline = time.monotonic() + STALL
        while not self.disconnected and time.monotonic() < deadline:
            try:
                return waiting.result(1.0)
            except CancelledError:
                break
            except TimeoutError:
                continue
        waiting.cancel()
        self.disconnected = True
        raise ClientDisconnected

    def abandon(self) -> None:
        """Make all further communication of the thread with the client fail. Called from the event loop."""
        self.disconnected = True
        if self.watcher is not None:
            self.watcher.cancel()
        if self.waiting is not None:
            self.waiting.cancel()


def ignore_start(status: str, headers: list[tuple[str, str]]) -> None:
    """Do nothing, as ``start_response`` (PEP 3333): Django's handler returns the response, which has both as well."""


def body_of(message: Message) -> bytes:
    """Return the bytes of a body message. Raises ConnectionResetError for a disconnect: a body must be complete."""
    if message["type"] == "http.disconnect":
        raise ConnectionResetError("The client disconnected before its request was complete.")
    body: bytes = message.get("body", b"")
    return body


def build_environ(scope: Scope) -> Environ:
    """Return the WSGI environ (PEP 3333) of an ASGI scope of type ``http`` or ``websocket``.

    Drops headers whose names have an underscore, because they could imitate other headers, and ``X-Forwarded-Proto``
    unless a trusted proxy sent it. ``addresses.caller`` reads ``X-Forwarded-For``. Texts are bytes decoded as latin-1,
    as PEP 3333 demands.
    """
    server = scope.get("server") or ("localhost", 80)
    client = scope.get("client") or ("", 0)
    environ: Environ = {
        "REQUEST_METHOD": scope.get("method", "GET"),
        "SCRIPT_NAME": scope.get("root_path", ""),
        "PATH_INFO": scope["path"].encode("utf-8", "surrogateescape").decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{scope.get('http_version', '1.1')}",
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1] or 0),
        "REMOTE_ADDR": client[0],
        "REMOTE_PORT": str(client[1]),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": {"ws": "http", "wss": "https"}.get(scope["scheme"], scope["scheme"]),
        "wsgi.input_terminated": True,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        STREAMS: True,
        WEBSOCKET: scope["type"] == "websocket",
    }
    for raw_name, raw_value in scope["headers"]:
        if b"_" in raw_name:
            continue
        key = environ_key(raw_name)
        value = raw_value.decode("latin-1")
        if key in environ:
            value = f"{environ[key]}{'; ' if key == 'HTTP_COOKIE' else ','}{value}"
        environ[key] = value
    if FORWARDED_PROTO in environ and not addresses.is_trusted(environ["REMOTE_ADDR"], settings.TRUSTED_PROXIES):
        del environ[FORWARDED_PROTO]
    return environ


@functools.lru_cache(maxsize=256)
def environ_key(raw_name: bytes) -> str:
    """Return a header's name in the environ."""
    name = raw_name.decode("latin-1").upper().replace("-", "_")
    return name if name in ("CONTENT_LENGTH", "CONTENT_TYPE") else f"HTTP_{name}"


def error_reply(status: int, message: str, headers: Iterable[tuple[bytes, bytes]] = ()) -> Reply:
    """Return an error in the envelope, made without Django, with the headers of every response."""
    body = to_json(envelope(message))
    common = {REQUEST_ID: str(uuid.uuid4()).encode(), BUILD_VERSION: settings.BUILD_VERSION.encode(), **dict(headers)}
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
