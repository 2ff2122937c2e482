"""uvicorn's WebSocket protocol, able to send frames that were made once for many clients."""

from typing import Any, cast

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import State

# An extension of the scope, and the type of a message: ``{"type": FRAMES, "frames": <whole frames>}``.
FRAMES = "coderproj.websocket.frames"


class FrameProtocol(WebSocketsSansIOProtocol):
    """Adds the message type FRAMES: whole, unmasked frames, written as they are.

    A server's frames look the same for every client when nothing is compressed, so five hundred followers of a log
    cost one encoding.
    """

    async def run_asgi(self) -> None:
        self.scope["extensions"][FRAMES] = {}  # type: ignore[index]
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
