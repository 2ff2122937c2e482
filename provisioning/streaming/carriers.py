"""How followed lines travel: WebSocket, server-sent events, or a JSON array that stays open (ruling 11)."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Any

from coderproj.api.renderers import JSON_CONTENT_TYPE
from coderproj.errors import TooManyRequests
from coderproj.protocols import FRAMES
from coderproj.wsgi_bridge import (
    Headers,
    Message,
    Receive,
    Scope,
    Send,
    error_reply,
    refuse_websocket,
    send_whole,
)
from provisioning.streaming.batches import Batch
from provisioning.streaming.hub import Hub

# The name under which the ASGI application's state holds the Hub.
HUB = "log_hub"
# Seconds without a line after which something else is sent, so that proxies keep the connection and lost peers show.
KEEP_ALIVE = 15.0
# Seconds for which a client may take nothing before its stream is cut off.
STALL = 120.0

NORMAL = 1000
GOING_AWAY = 1001


class Carrier(Enum):
    WEBSOCKET = auto()
    EVENTS = auto()
    ARRAY = auto()


class ClientGone(Exception):
    """The client closed the connection, or takes nothing any more."""


@dataclass(frozen=True, slots=True)
class LogStream:
    """A request to follow, admitted: the lines behind ``after`` that were written after ``after_time``."""

    job_id: uuid.UUID
    user_id: uuid.UUID
    carrier: Carrier
    after: int = 0
    after_time: datetime | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send, headers: Headers) -> None:
        """Answer the request; ``headers`` are those of every answer."""
        hub: Hub = scope["state"][HUB]
        try:
            with hub.stream_of(self.user_id):
                await self._serve(hub, scope, receive, send, headers)
        except TooManyRequests as error:
            reply = error_reply(error.status_code, error.message, [*headers, (b"retry-after", b"60")])
            if self.carrier is Carrier.WEBSOCKET:
                await refuse_websocket(scope, send, reply)
            else:
                await send_whole(send, reply)

    async def _serve(self, hub: Hub, scope: Scope, receive: Receive, send: Send, headers: Headers) -> None:
        """Send until the job ends, and stop as soon as the client leaves, even if it never says a word."""
        carry = CARRIERS[self.carrier]
        async with aclosing(self._batches(hub)) as batches:
            sending = asyncio.create_task(carry(batches, hub, scope, patient(send), headers))
            leaving = asyncio.create_task(left(receive))
            try:
                await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                sending.cancel()
                leaving.cancel()
                results = await asyncio.gather(sending, leaving, return_exceptions=True)
        for result in results:
            # OSError: how the server says that a WebSocket is closed already.
            if isinstance(result, Exception) and not isinstance(result, ClientGone | OSError):
                raise result

    async def _batches(self, hub: Hub) -> AsyncGenerator[Batch | None]:
        """The batches to send, with None whenever KEEP_ALIVE seconds passed without one."""
        moment = self.after_time.strftime("%Y-%m-%dT%H:%M:%S.%fZ").encode() if self.after_time else None
        async with aclosing(hub.follow(self.job_id, self.after)) as following:
            upcoming = asyncio.ensure_future(anext(following, END))
            try:
                while True:
                    done, _ = await asyncio.wait({upcoming}, timeout=KEEP_ALIVE)
                    if not done:
                        yield None
                        continue
                    batch: Batch | None = upcoming.result()
                    if batch is END:
                        return
                    if moment is not None and batch is not None:
                        batch = batch.later_than(moment)
                    if batch is not None:
                        yield batch
                    upcoming = asyncio.ensure_future(anext(following, END))
            finally:
                upcoming.cancel()
                await asyncio.gather(upcoming, return_exceptions=True)


# What ``anext`` gives after the last batch.
END = Batch([0], [b""])


async def left(receive: Receive) -> None:
    """Return when the client has gone. What it says is read and ignored."""
    while (await receive())["type"] not in ("http.disconnect", "websocket.disconnect"):
        pass


def patient(send: Send) -> Send:
    """``send`` that raises ClientGone when the client does not take a message for STALL seconds."""

    async def send_or_give_up(message: Message) -> None:
        try:
            async with asyncio.timeout(STALL):
                await send(message)
        except TimeoutError:
            raise ClientGone from None

    return send_or_give_up


Batches = AsyncIterator[Batch | None]


async def carry_websocket(batches: Batches, hub: Hub, scope: Scope, send: Send, headers: Headers) -> None:
    """One JSON object a text message. Closes with 1000 after the end of the job, with 1001 when the server stops."""
    own = [(name, value) for name, value in headers if name.startswith(b"x-coder-")]
    await send({"type": "websocket.accept", "headers": own})
    ready_made = FRAMES in scope["extensions"]
    async for batch in batches:
        if batch is None:
            continue  # the server pings
        if ready_made:
            await send({"type": FRAMES, "frames": batch.frames})
        else:
            for text in batch.texts:
                await send({"type": "websocket.send", "text": text})
    await send({"type": "websocket.close", "code": GOING_AWAY if hub.stopping.is_set() else NORMAL})


async def carry_events(batches: Batches, hub: Hub, scope: Scope, send: Send, headers: Headers) -> None:
    """Server-sent events. ``event: end`` tells the end of the job; without it, the client connects again."""
    await send(start(headers, b"text/event-stream; charset=utf-8"))
    await send(piece(b"retry: 1000\n\n"))
    async for batch in batches:
        await send(piece(b": still here\n\n" if batch is None else batch.events))
    if not hub.stopping.is_set():
        await send(piece(b"event: end\ndata: {}\n\n"))
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def carry_array(batches: Batches, hub: Hub, scope: Scope, send: Send, headers: Headers) -> None:
    """A JSON array whose elements come as they are written; blanks in between keep the connection."""
    await send(start(headers, JSON_CONTENT_TYPE.encode()))
    await send(piece(b"["))
    comma = b""
    async for batch in batches:
        if batch is None:
            await send(piece(b" "))
        else:
            await send(piece(comma + batch.elements))
            comma = b","
    await send({"type": "http.response.body", "body": b"]\n", "more_body": False})


CARRIERS: dict[Carrier, Callable[[Batches, Hub, Scope, Send, Headers], Coroutine[Any, Any, None]]] = {
    Carrier.WEBSOCKET: carry_websocket,
    Carrier.EVENTS: carry_events,
    Carrier.ARRAY: carry_array,
}


def start(headers: Headers, content_type: bytes) -> Message:
    """The start of an answer that neither caches nor proxies hold back."""
    replaced = (b"content-type", b"content-length", b"cache-control")
    return {
        "type": "http.response.start",
        "status": 200,
        "headers": [
            *((name, value) for name, value in headers if name not in replaced),
            (b"content-type", content_type),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),
        ],
    }


def piece(body: bytes) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": True}
