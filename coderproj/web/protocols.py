"""uvicorn's protocols with what we need of them beyond that."""

import uuid
from typing import Any, cast

from django.conf import settings
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import State

from coderproj.base.envelope import envelope
from coderproj.base.json_text import to_json

# An extension of the scope, and the type of a message: ``{"type": FRAMES, "frames": <whole frames>}``.
FRAMES = "coderproj.websocket.frames"
BAD_REQUEST = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n"
    b"x-coder-request-id: %b\r\nx-coder-build-version: %b\r\n\r\n%b"
)


class HttpProtocol(HttpToolsProtocol):
    """Answers what is no HTTP with an error in the envelope, too."""

    def send_400_response(self, msg: str) -> None:
        body = to_json(envelope(msg))
        request_id = str(uuid.uuid4()).encode()
        self.transport.write(BAD_REQUEST % (len(body), request_id, settings.BUILD_VERSION.encode(), body))
        self.transport.close()


class FrameProtocol(WebSocketsSansIOProtocol):
    """Adds the message type FRAMES: whole, unmasked frames, written as they are.

    A server's frames look the same for every client when nothing is compressed, so five hundred followers of a log
    cost one encoding.
    """

    async def run_asgi(self) -> None:
        self.scope["extensions"][FRAMES] = {}
        await super().run_asgi()

    async def send(self, message: Any) -> None:
        if message["type"] != FRAMES:
            await super().send(message)
            if message["type"] == "websocket.http.response.body" and self.close_sent:
                self.handshake_complete = True  # else a refusal is logged as a fault of the application
            return
        await self.writable.wait()
        if self.disconnected or self.close_sent or self.conn.state is not State.OPEN:
            raise ClientDisconnected
        self.transport.write(cast("bytes", message["frames"]))
