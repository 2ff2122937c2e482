"""Downloads of the agent's programs, sent on the event loop: a client that reads slowly needs neither a thread nor a
copy of the file."""

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from coderproj.web.callers import Slots, TooManyWaiting
from coderproj.web.environ import Receive, Scope, Send
from coderproj.web.replies import Headers, Reply, send_whole
from provisioning.log.following.transports import wait_for_disconnect

# Downloads at a time of this process, and of one address: many workspaces can share one.
AT_ONCE, PER_ADDRESS = 256, 32
# Nothing waits for these slots, so they are not bound to an event loop.
SLOTS = Slots(AT_ONCE, PER_ADDRESS, waiting=0)
# Bytes that are read from a file at a time.
PIECE = 256 * 1024
# Seconds after which a client that was refused should ask again.
RETRY_SECONDS = 10
TEXT = "text/plain; charset=utf-8"
# Headers of the whole response, which the stream sets itself.
OWN = (b"content-length", b"content-type")


@dataclass(frozen=True, slots=True)
class Download:
    """A file to send. ``address`` is the network of the client, whose downloads are counted."""

    path: Path
    address: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send, headers: Headers) -> None:
        """Answer the request; ``headers`` are those of the response. 503 if there are too many downloads."""
        try:
            SLOTS.acquire(self.address)
        except TooManyWaiting:
            retry = (b"retry-after", b"%d" % RETRY_SECONDS)
            await send_whole(send, _text(503, "There are too many downloads. Try again later.", retry))
            return
        try:
            await self._serve(receive, send, headers)
        finally:
            SLOTS.release(self.address)

    async def _serve(self, receive: Receive, send: Send, headers: Headers) -> None:
        """Send the file until the client disconnects."""
        try:
            file = await asyncio.to_thread(self.path.open, "rb")
        except OSError:
            await send_whole(send, _text(404, f"There is no program {self.path.name} here."))
            return
        sending = asyncio.create_task(_send_file(file, send, headers))
        leaving = asyncio.create_task(wait_for_disconnect(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, leaving):
                task.cancel()
            sent, _ = await asyncio.gather(sending, leaving, return_exceptions=True)
        if isinstance(sent, Exception):
            raise sent


async def _send_file(file: BinaryIO, send: Send, headers: Headers) -> None:
    """Send as many bytes as the file has now, and close it. Raises OSError if it becomes shorter meanwhile."""
    with file:
        left = os.fstat(file.fileno()).st_size
        kept = [(name, value) for name, value in headers if name not in OWN]
        own = [(b"content-type", b"application/octet-stream"), (b"content-length", b"%d" % left)]
        await send({"type": "http.response.start", "status": 200, "headers": [*kept, *own]})
        while left:
            piece = await asyncio.to_thread(file.read, min(PIECE, left))
            if not piece:
                raise OSError("The file of a program became shorter while it was sent.")
            left -= len(piece)
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _text(status: int, reason: str, *more: tuple[bytes, bytes]) -> Reply:
    body = f"{reason}\n".encode()
    own = [(b"content-type", TEXT.encode()), (b"content-length", b"%d" % len(body))]
    return Reply(status, [*own, *more], body)
