"""Transports of a followed log: WebSocket, server-sent events, or a JSON array that stays open."""

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
from coderproj.web.environ import Message, Receive, Scope, Send
from coderproj.web.protocols import FRAMES
from coderproj.web.replies import Headers, error_reply, refuse_websocket, send_whole
from provisioning.log.following.batches import Batch
from provisioning.log.following.hub import Follower, Hub

# Seconds without a line after which a keep-alive is sent (after twice that at the latest), so that proxies keep the
# connection open and lost clients are detected.
KEEP_ALIVE = 10.0
# The stream is closed when the client reads nothing for this many seconds.
STALL = 120.0

NORMAL = 1000
GOING_AWAY = 1001


class Transport(Enum):
    WEBSOCKET = auto()
    EVENTS = auto()
    ARRAY = auto()


@dataclass(frozen=True, slots=True)
class LogStream:
    """An authorized request to follow: the lines after ``after`` that were written later than ``after_time``."""

    job_id: uuid.UUID
    user_id: uuid.UUID
    transport: Transport
    after: int = 0
    after_time: datetime | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send, headers: Headers) -> None:
        """Answer the request; ``headers`` are the common headers of all responses."""
        hub: Hub = scope["state"][Hub.key]
        try:
            with hub.stream_of(self.user_id):
                await self._serve(hub, scope, receive, send, headers)
        except TooManyRequests as error:
            reply = error_reply(error.status_code, error.message, [*headers, (b"retry-after", b"60")])
            if self.transport is Transport.WEBSOCKET:
                await refuse_websocket(scope, send, reply)
            else:
                await send_whole(send, reply)

    async def _serve(self, hub: Hub, scope: Scope, receive: Receive, send: Send, headers: Headers) -> None:
        """Send until the job ends or the client disconnects, even if the client never sends anything."""
        send_batches = TRANSPORTS[self.transport]
        follower, progress = Follower(), Progress()
        async with aclosing(self._batches(hub, follower, progress)) as batches:
            sending = send_batches(batches, hub, scope, send, headers)
            await until_first_ends(sending, wait_for_disconnect(receive), progress.stalls(follower))

    async def _batches(self, hub: Hub, follower: Follower, progress: "Progress") -> AsyncGenerator[Batch | None]:
        """Yield the batches to send, and None whenever a keep-alive is due."""
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


# Returned by ``anext`` after the last batch.
END = Batch([0], [b""])


@dataclass(slots=True)
class Progress:
    """The progress of a stream, checked every KEEP_ALIVE seconds: a timer per message costs more than the message."""

    is_sending: bool = True
    steps: int = 0

    async def stalls(self, follower: Follower) -> None:
        """Nudge the follower while there is nothing to send; return when one send takes STALL seconds."""
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


async def until_first_ends(*works: Coroutine[Any, Any, Any]) -> None:
    """Run the parts of a stream until one of them ends, and cancel the others. Raises what they raise, but no OSError:
    the client has gone, or has read nothing for too long (TimeoutError)."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception) and not isinstance(result, OSError):
            raise result


async def wait_for_disconnect(receive: Receive) -> None:
    """Return when the client has disconnected. Messages from it are read and ignored."""
    while (await receive())["type"] not in ("http.disconnect", "websocket.disconnect"):
        pass


Batches = AsyncIterator[Batch | None]


async def send_websocket(batches: Batches, hub: Hub, scope: Scope, send: Send, headers: Headers) -> None:
    """Send a JSON object per text message. Closes with 1000 after the end of the job, 1001 when the server stops."""
    own = [(name, value) for name, value in headers if name.startswith(b"x-coder-")]
    await send({"type": "websocket.accept", "headers": own})
    accepts_frames = FRAMES in scope["extensions"]
    async for batch in batches:
        if batch is None:
            continue  # the web server sends pings
        if accepts_frames:
            await send({"type": FRAMES, "frames": batch.frames})
        else:
            for text in batch.texts:
                await send({"type": "websocket.send", "text": text})
    await send({"type": "websocket.close", "code": GOING_AWAY if hub.stopping.is_set() else NORMAL})


async def send_events(batches: Batches, hub: Hub, scope: Scope, send: Send, headers: Headers) -> None:
    """Send server-sent events. ``event: end`` marks the end of the job; without it, the client reconnects."""
    await send(start(headers, b"text/event-stream; charset=utf-8"))
    await send(piece(b"retry: 1000\n\n"))
    async for batch in batches:
        await send(piece(b": still here\n\n" if batch is None else batch.events))
    if not hub.stopping.is_set():
        await send(piece(b"event: end\ndata: {}\n\n"))
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def send_array(batches: Batches, hub: Hub, scope: Scope, send: Send, headers: Headers) -> None:
    """Send a JSON array, element by element as lines are written; spaces in between keep the connection open."""
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


TRANSPORTS: dict[Transport, Callable[[Batches, Hub, Scope, Send, Headers], Coroutine[Any, Any, None]]] = {
    Transport.WEBSOCKET: send_websocket,
    Transport.EVENTS: send_events,
    Transport.ARRAY: send_array,
}


def start(headers: Headers, content_type: bytes) -> Message:
    """Return the start of a response that caches do not store and proxies do not buffer."""
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
