"""Answer a daemon's wait for jobs over HTTPS."""

import asyncio
import uuid
from dataclasses import dataclass

from coderproj.base.errors import TooManyRequests
from coderproj.base.json_text import JSON_CONTENT_TYPE
from coderproj.web.environ import Receive, Scope, Send
from coderproj.web.replies import Headers, Reply, error_reply, send_whole
from provisioning.log.following.hub import Hub
from provisioning.log.following.transports import wait_for_disconnect
from provisioning.log.following.waiters import WaitRequest
from provisioning.protocol import wire


@dataclass(frozen=True, slots=True)
class JobWait:
    """An authorized request to wait. ``key_id`` is the daemon key whose open waits are counted and limited."""

    key_id: uuid.UUID
    request: WaitRequest

    async def __call__(self, scope: Scope, receive: Receive, send: Send, headers: Headers) -> None:
        """Answer the request, unless the client disconnects first."""
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
        reply = [(name, value) for name, value in headers if name not in (b"content-length", b"content-type")]
        reply += [(b"content-type", JSON_CONTENT_TYPE.encode()), (b"content-length", b"%d" % len(body))]
        await send_whole(send, Reply(200, reply, body))

    async def _answer(self, hub: Hub, receive: Receive) -> wire.WaitReply | None:
        waiting = asyncio.ensure_future(hub.waiters.wait(self.request))
        leaving = asyncio.ensure_future(wait_for_disconnect(receive))
        try:
            await asyncio.wait({waiting, leaving}, return_when=asyncio.FIRST_COMPLETED)
            return waiting.result() if waiting.done() else None
        finally:
            waiting.cancel()
            leaving.cancel()
            await asyncio.gather(waiting, leaving, return_exceptions=True)
