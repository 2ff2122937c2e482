"""How followed lines travel: WebSocket, server-sent events, or a JSON array that stays open."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Any

from coderproj.base.errors import TooManyRequests
from coderproj.base.json_text import JSON_CONTENT_TYPE
from coderproj.web.bridge import Headers, Message, Receive, Scope, Send, error_reply, refuse_websocket, send_whole
from coderproj.web.protocols import FRAMES
from provisioning.log.following.batches import Batch
from provisioning.log.following.hub import Follower, Hub

# Seconds without a line after which something else is sent (at the latest twice that), so that proxies keep the
# connection and lost peers show.
KEEP_ALIVE = 10.0
# Seconds for which a client may take nothing before its stream is cut off.
STALL = 120.0

NORMAL = 1000
GOING_AWAY = 1001


class Carrier(Enum):
    WEBSOCKET = auto()
    EVENTS = auto()
    ARRAY = auto()


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
        hub: Hub = scope["state"][Hub.key]
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
        follower, progress = Follower(), Progress()
        async with aclosing(self._batches(hub, follower, progress)) as batches:
            sending = asyncio.create_task(carry(batches, hub, scope, send, headers))
            others = asyncio.create_task(left(receive)), asyncio.create_task(progress.stalls(follower))
            try:
                await asyncio.wait({sending, *others}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (sending, *others):
                    task.cancel()
                results = await asyncio.gather(sending, *others, return_exceptions=True)
        for result in results:
            # OSError: how the server says that a WebSocket is closed already.
            if isinstance(result, Exception) and not isinstance(result, OSError):
                raise result

    async def _batches(self, hub: Hub, follower: Follower, progress: "Progress") -> AsyncGenerator[Batch | None]:
        """The batches to send, with None whenever something else has to be said."""
        async with aclosing(hub.follow(self.job_id, self.after, follower)) as following:
            while True:
                progress.is_sending = False
                batch = await anext(following, END)
                progress.is_sending = True
                progress.steps += 1
                if batch is END:
                    return
                if self.after_time is not None and batch is not None:
                    batch = batch.later_than(self.after_time)
                    if batch is None:
                        continue
                yield batch


# What ``anext`` gives after the last batch.
END = Batch([0], [b""])


@dataclass(slots=True)
class Progress:
    """How a stream gets on, looked at every KEEP_ALIVE seconds: a timer for each message would cost more than it."""

    is_sending: bool = True
    steps: int = 0

    async def stalls(self, follower: Follower) -> None:
        """Have the follower woken when there is nothing to send; return when a send takes STALL seconds."""
        stalled = 0.0
        while stalled < STALL:
            before = self.steps
            await asyncio.sleep(KEEP_ALIVE)
            if self.steps != before:
                stalled = 0.0
            elif self.is_sending:
                stalled += KEEP_ALIVE
            else:
                follower.nudge()


async def left(receive: Receive) -> None:
    """Return when the client has gone. What it says is read and ignored."""
    while (await receive())["type"] not in ("http.disconnect", "websocket.disconnect"):
        pass


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
