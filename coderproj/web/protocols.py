"""uvicorn's protocols with our extensions."""

import asyncio
import http
import sys
import uuid
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import State

from coderproj.base.envelope import envelope
from coderproj.base.json_text import to_json

# The name of a scope extension, and the type of its message: ``{"type": FRAMES, "frames": <whole frames>}``.
FRAMES = "coderproj.websocket.frames"
# Further ones, which exist together with FRAMES: ``{"type": KEEP_ALIVE, "ping": <seconds>, "pong": <seconds>}``
# replaces the server's times for this connection, and ``{"type": ABORT}`` drops it with what the client has not read.
KEEP_ALIVE = "coderproj.websocket.keep_alive"
ABORT = "coderproj.websocket.abort"
# Seconds for the head of a request to arrive, and the bytes that it can have.
HEAD_SECONDS = 20.0
HEAD_BYTES = 64 * 1024
# A client is disconnected if it reads less than LEAST_READ bytes of a response in STALL seconds.
STALL = 60.0
LEAST_READ = 16 * 1024
REFUSAL = (
    b"HTTP/1.1 %b\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n"
    b"x-coder-request-id: %b\r\n\r\n%b"
)


class HttpProtocol(HttpToolsProtocol):
    """Adds deadlines for clients, and answers malformed requests with the error envelope.

    A request's head must arrive within HEAD_SECONDS and have at most HEAD_BYTES. A client that reads less than
    LEAST_READ bytes of a response in STALL seconds is disconnected.
    """

    _head_timer: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _stall_timer: asyncio.TimerHandle | None = None
    _unsent = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_arrived()
        if self._stall_timer is not None:
            self._stall_timer.cancel()
        super().connection_lost(exc)

    # ------------------------------------------------------------------ the head of a request
    def data_received(self, data: bytes) -> None:
        timer = self._head_timer
        super().data_received(data)
        if self.transport.get_protocol() is not self:  # upgraded to a WebSocket
            return
        if self.timeout_keep_alive_task is None and self._is_idle():
            self._expect_head()
        if self._head_timer is not None:
            # A head that begins in this data follows other requests, whose bytes do not count.
            self._head_bytes += len(data) if self._head_timer is timer else 1
            if self._head_bytes > HEAD_BYTES:
                self._refuse(431, "The head of the request is too long.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._expect_head()

    def on_headers_complete(self) -> None:
        self._head_arrived()
        super().on_headers_complete()

    def handle_websocket_upgrade(self) -> None:
        self._head_arrived()
        if self._stall_timer is not None:
            self._stall_timer.cancel()
        super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, msg)

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _expect_head(self) -> None:
        if self._head_timer is None and not self.transport.is_closing():
            self._head_bytes = 0
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self._head_is_late)

    def _head_arrived(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        if not self._is_idle():  # a pipelined request: reading can be paused during the one before
            self._expect_head()
        elif self._head_bytes:
            self._refuse(408, "The head of the request did not arrive in time.")
        else:
            self.transport.close()

    def _refuse(self, status: int, message: str) -> None:
        self._head_arrived()
        if self.transport.is_closing():
            return
        if not self._is_idle():  # a pipelined request: the client would take the refusal for an earlier response
            self.transport.close()
            return
        body = to_json(envelope(message))
        line = f"{status} {http.HTTPStatus(status).phrase}".encode()
        request_id = str(uuid.uuid4()).encode()
        self.transport.write(REFUSAL % (line, len(body), request_id, body))
        self.transport.close()

    # ------------------------------------------------------------------ clients that do not read
    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        self._unsent = sys.maxsize  # the client has read
        super().resume_writing()

    def on_response_complete(self) -> None:
        self._watch_reader()
        super().on_response_complete()

    def _watch_reader(self) -> None:
        """Check after STALL seconds whether the client has read any of what waits for it."""
        if self._stall_timer is not None:
            return
        self._unsent = self.transport.get_write_buffer_size()
        if self._unsent:
            self._stall_timer = self.loop.call_later(STALL, self._check_reader)

    def _check_reader(self) -> None:
        self._stall_timer = None
        unsent = self.transport.get_write_buffer_size()
        if unsent and unsent > self._unsent - LEAST_READ:
            self.transport.abort()
        else:
            self._watch_reader()


class FrameProtocol(WebSocketsSansIOProtocol):
    """Adds the message type FRAMES: whole, unmasked frames, sent without further encoding. KEEP_ALIVE and ABORT concern
    the connection.

    Uncompressed frames of a server are the same for every client, so a log line is encoded once for all its followers.
    """

    async def run_asgi(self) -> None:
        self.scope["extensions"] |= {FRAMES: {}, KEEP_ALIVE: {}, ABORT: {}}
        await super().run_asgi()

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        if self.transport.get_write_buffer_size():  # otherwise the connection stays until the client has read it
            self.transport.abort()

    async def send(self, message: Any) -> None:
        if message["type"] == ABORT:
            self.transport.abort()
            return
        if message["type"] == KEEP_ALIVE:
            self.stop_keepalive()
            self.ping_interval, self.ping_timeout = message["ping"], message["pong"]
            self.start_keepalive()
            return
        if message["type"] != FRAMES:
            await super().send(message)
            if message["type"] == "websocket.http.response.body" and self.close_sent:
                self.handshake_complete = True  # otherwise uvicorn logs the rejection as an error of the application
            return
        await self.writable.wait()
        if self.disconnected or self.close_sent or self.conn.state is not State.OPEN:
            raise ClientDisconnected
        self.transport.write(cast("bytes", message["frames"]))
