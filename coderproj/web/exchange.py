"""One request and its response, between the event loop and the request's thread."""

import asyncio
import contextlib
import functools
import io
import time
from collections.abc import Callable, Hashable
from typing import IO, Any

from django.conf import settings
from django.http.response import HttpResponseBase

from coderproj.web import addresses, callers
from coderproj.web.bodies import PIECE, Allowance, Arrival, Outbox, OutboxFull
from coderproj.web.environ import CLIENT_IS_GONE, Environ, Receive, Scope, Send, build_environ
from coderproj.web.replies import Handover, Headers, Reply, error_reply, failure

RequestHandler = Callable[[Environ, Any], HttpResponseBase]
# Seconds between attempts to add to a full outbox.
FULL_SECONDS = 0.05
# Seconds that a request whose body has not been received waits for a thread.
TURN_SECONDS = 30.0
WITHOUT_BODY = frozenset({204, 304})


class ClientDisconnected(ConnectionResetError):
    """The client disconnected before its response was complete."""


class Busy(Exception):
    """The server does not handle the request now. ``reply`` says why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.reply = error_reply(status, message, [(b"retry-after", b"1")])


class Exchange:
    """One request. ``run``, ``send_response`` and ``client_is_gone`` are called in its thread."""

    def __init__(self, handler: RequestHandler, scope: Scope, receive: Receive, send: Send) -> None:
        self.handler = handler
        self.scope = scope
        self.receive = receive
        self.send = send
        self.loop = asyncio.get_running_loop()
        self.environ = build_environ(scope)
        self.environ[CLIENT_IS_GONE] = self.client_is_gone
        self.input: IO[bytes] = io.BytesIO()
        self.status = 0
        self.headers: Headers = []
        self.is_received = True
        self.received = 0
        self.holds_body = False
        self.disconnected = False
        self._watcher: asyncio.Task[None] | None = None
        self._outbox: Outbox | None = None
        self._sender: asyncio.Task[None] | None = None

    @functools.cached_property
    def caller(self) -> Hashable:
        """The caller whose share of the threads the request uses."""
        meta = self.environ
        address = addresses.caller(meta["REMOTE_ADDR"], meta.get("HTTP_X_FORWARDED_FOR", ""), settings.TRUSTED_PROXIES)
        return callers.key_of(meta, addresses.network(address or ""))

    @property
    def is_heavy(self) -> bool:
        """True if handling the body can keep a CPU busy and take much memory: a file, or another long body."""
        return self.has_body and (callers.is_file(self.environ) or callers.is_long(self.environ, self.received))

    # ------------------------------------------------------------------ the request's body
    @property
    def has_body(self) -> bool:
        """True if the client announced a body."""
        return "HTTP_TRANSFER_ENCODING" in self.environ or self.environ.get("CONTENT_LENGTH", "0") not in ("", "0")

    async def receive_body(self, allowance: Allowance) -> None:
        """Receive the whole body. Raises BodyTooSlow, ConnectionResetError, and what ``allowance`` raises."""
        if not self.has_body:
            return
        self.is_received = False
        chunked = "HTTP_TRANSFER_ENCODING" in self.environ
        arrival = Arrival(self.receive, None if chunked else int(self.environ["CONTENT_LENGTH"]))
        self.input = await arrival.body(allowance)
        self.is_received = arrival.complete
        self.received = arrival.received
        if chunked:
            self.environ["CONTENT_LENGTH"] = str(arrival.received)

    # ------------------------------------------------------------------ the response
    def run(self) -> Reply | None:
        """Call Django and return its response. A streaming response is sent while it is made.

        Returns None if the client has disconnected. Raises an exception if a response fails after its start, so that
        the server closes the connection.
        """
        try:
            self.environ["wsgi.input"] = self.input
            return self.send_response(self.handler(self.environ, ignore_start))
        except Exception as error:
            if self._outbox is not None:
                raise
            return failure(error)

    def send_response(self, response: HttpResponseBase) -> Reply | None:
        """Return the reply of Django's response, and close the response. Returns and raises what ``run`` does."""
        try:
            return self.reply_of(response)
        except ClientDisconnected:
            return None
        except Exception as error:
            if self._outbox is not None:
                raise
            return failure(error)
        finally:
            response.close()

    def reply_of(self, response: HttpResponseBase) -> Reply:
        """Return the reply of a response. In a thread, the pieces of a streaming response are sent from here."""
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
                self._put(bytes(pending))
                pending.clear()
        if self._outbox is None:
            if not measured:
                self.headers.append((b"content-length", b"%d" % len(pending)))
            return Reply(self.status, self.headers, bytes(pending))
        if pending:
            self._put(bytes(pending))
        self._outbox.end()
        return Reply(self.status, self.headers, None)

    def _put(self, piece: bytes) -> None:
        """Add a piece to the outbox, and wait while it is full. Raises ClientDisconnected."""
        if self._outbox is None:
            self._outbox = Outbox(self.loop)
            self.loop.call_soon_threadsafe(self._start_sending, self._outbox)
        while not self.disconnected:
            try:
                self._outbox.put(piece)
            except OutboxFull:
                time.sleep(FULL_SECONDS)
            else:
                return
        raise ClientDisconnected

    # ------------------------------------------------------------------ on the event loop
    def _start_sending(self, outbox: Outbox) -> None:
        self.watch()
        self._sender = self.loop.create_task(self._send_from(outbox))
        self._sender.add_done_callback(self._sender_ended)

    def _sender_ended(self, sender: "asyncio.Task[None]") -> None:
        if sender.cancelled() or sender.exception() is not None:
            self.disconnected = True  # the thread must not wait for it

    async def _send_from(self, outbox: Outbox) -> None:
        await self.send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        while piece := await outbox.get():
            await self.send({"type": "http.response.body", "body": piece, "more_body": True})

    async def finish_sending(self) -> None:
        """Send the rest of a streaming response, which its thread has completed."""
        assert self._sender is not None
        await self._sender
        await self.send({"type": "http.response.body", "body": b"", "more_body": False})

    def watch(self) -> "asyncio.Task[None]":
        """Return the task that ends when the client disconnects. Call it only after the body has been received: it
        discards the client's messages."""
        assert self.is_received
        if self._watcher is None:
            self._watcher = self.loop.create_task(self._watch())
        return self._watcher

    async def wait(self, turn: "asyncio.Future[None]") -> None:
        """Wait for the request's turn. Raises ConnectionResetError if the client disconnects before, and Busy."""
        if not self.is_received:
            try:
                async with asyncio.timeout(TURN_SECONDS):
                    await turn
            except TimeoutError:
                raise Busy(503, "The server is busy. Try again later.") from None
            return
        await asyncio.wait({turn, self.watch()}, return_when=asyncio.FIRST_COMPLETED)
        if self.disconnected:
            raise ConnectionResetError("The client disconnected while its request was waiting.")

    def stop_watching(self) -> None:
        """Leave further messages of the client to a stream."""
        if self._watcher is not None:
            self._watcher.cancel()

    async def _watch(self) -> None:
        while (await self.receive())["type"] not in ("http.disconnect", "websocket.disconnect"):
            pass
        self.disconnected = True

    def client_is_gone(self) -> bool:
        """Return True once the client has disconnected. The first call begins to watch it."""
        if not self.disconnected and self._watcher is None and self.is_received and self.scope["type"] == "http":
            with contextlib.suppress(RuntimeError):  # the event loop is closed
                self.loop.call_soon_threadsafe(self._watch_unless_ended)
        return self.disconnected

    def _watch_unless_ended(self) -> None:
        if not self.disconnected:
            self.watch()

    def abandon(self) -> None:
        """End the exchange. All further communication of the thread with the client fails."""
        self.disconnected = True
        self.stop_watching()
        if self._sender is not None:
            self._sender.cancel()
        # A disk can be slow: the event loop does not wait while files are deleted.
        if self._outbox is not None:
            self.loop.run_in_executor(None, self._outbox.close)
        if not isinstance(self.input, io.BytesIO):
            self.loop.run_in_executor(None, self.input.close)


def ignore_start(status: str, headers: list[tuple[str, str]]) -> None:
    """Do nothing, as ``start_response`` (PEP 3333): Django's handler returns the response, which has both as well."""
