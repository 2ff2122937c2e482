"""How a daemon's wait for work is answered over HTTPS."""

import asyncio
import uuid
from dataclasses import dataclass

from coderproj.base.errors import TooManyRequests
from coderproj.base.json_text import JSON_CONTENT_TYPE
from coderproj.web.bridge import Headers, Receive, Reply, Scope, Send, error_reply, send_whole
from provisioning.log.following.carriers import left
from provisioning.log.following.hub import Hub
from provisioning.log.following.waiters import Waiting
from provisioning.protocol import wire


@dataclass(frozen=True, slots=True)
class WorkStream:
    """A request to wait, admitted. ``key_id`` is whose waits are counted."""

    key_id: uuid.UUID
    waiting: Waiting

    async def __call__(self, scope: Scope, receive: Receive, send: Send, headers: Headers) -> None:
        """Answer the request, unless the client leaves before."""
        hub: Hub = scope["state"][Hub.key]
        try:
            with hub.stream_of(self.key_id):
                answer = await self._answer(hub, receive)
        except TooManyRequests as error:
            await send_whole(send, error_reply(error.status_code, error.message, [*headers, (b"retry-after", b"60")]))
            return
        if answer is None:
            return
        body = wire.encode(answer)
        kept = [(name, value) for name, value in headers if name not in (b"content-length", b"content-type")]
        kept += [(b"content-type", JSON_CONTENT_TYPE.encode()), (b"content-length", b"%d" % len(body))]
        await send_whole(send, Reply(200, kept, body))

    async def _answer(self, hub: Hub, receive: Receive) -> wire.Waited | None:
        waiting = asyncio.ensure_future(hub.waiters.wait(self.waiting))
        leaving = asyncio.ensure_future(left(receive))
        try:
            await asyncio.wait({waiting, leaving}, return_when=asyncio.FIRST_COMPLETED)
            return waiting.result() if waiting.done() else None
        finally:
            waiting.cancel()
            leaving.cancel()
            await asyncio.gather(waiting, leaving, return_exceptions=True)
