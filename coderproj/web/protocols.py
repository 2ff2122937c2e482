"""uvicorn's protocols with our extensions."""

import uuid
from typing import Any, cast

from django.conf import settings
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import State

from coderproj.base.envelope import envelope
from coderproj.base.json_text import to_json

# The name of a scope extension, and the type of its message: ``{"type": FRAMES, "frames": <whole frames>}``.
FRAMES = "coderproj.websocket.frames"
BAD_REQUEST = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n"
    b"x-coder-request-id: %b\r\nx-coder-build-version: %b\r\n\r\n%b"
)


class HttpProtocol(HttpToolsProtocol):
    """Answers malformed requests with the error envelope."""

    def send_400_response(self, msg: str) -> None:
        body = to_json(envelope(msg))
        request_id = str(uuid.uuid4()).encode()
        self.transport.write(BAD_REQUEST % (len(body), request_id, settings.BUILD_VERSION.encode(), body))
        self.transport.close()


class FrameProtocol(WebSocketsSansIOProtocol):
    """Adds the message type FRAMES: whole, unmasked frames, sent without further encoding.

    Uncompressed frames of a server are the same for every client, so a log line is encoded once for all its followers.
    """

    async def run_asgi(self) -> None:
        self.scope["extensions"][FRAMES] = {}
        await super().run_asgi()

    async def send(self, message: Any) -> None:
        if message["type"] != FRAMES:
            await super().send(message)
            if message["type"] == "websocket.http.response.body" and self.close_sent:
                self.handshake_complete = True  # otherwise uvicorn logs the rejection as an error of the application
            return
        await self.writable.wait()
        if self.disconnected or self.close_sent or self.conn.state is not State.OPEN:
            raise ClientDisconnected
        self.transport.write(cast("bytes", message["frames"]))
