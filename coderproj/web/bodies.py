"""Bodies in bounded memory and time: requests are received before a thread is taken, and responses leave their thread
before the client has read them."""

import asyncio
import io
import tempfile
import threading
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import IO, Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
# Returns how many bytes of body the caller of a request may send.
Allowance = Callable[[], Awaitable[int]]

# Bytes that are sent, or read from a file, at a time.
PIECE = 64 * 1024
# Bytes of body that any caller may send, signed in or not.
SHORT = 64 * 1024
# Bytes of a body that are kept in memory; the rest goes to a temporary file.
MEMORY = 1024 * 1024
# Seconds that a client has for a body, plus the received bytes divided by LEAST_RATE; and for each piece of it.
GRACE = 20.0
LEAST_RATE = 16 * 1024
# Bytes that can wait for clients before the threads wait as well: of one response, and of all responses.
OUTBOX_BYTES = 256 * 1024 * 1024
ALL_OUTBOX_BYTES = 2 * 1024 * 1024 * 1024


class BodyTooSlow(Exception):
    """The client sends its body more slowly than LEAST_RATE."""


class RefusedBody(io.RawIOBase):
    """A body that has not been received, because its caller may not send it. Reading it raises RequestDataTooBig.

    Views that reject the caller never read it.
    """

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        raise RequestDataTooBig("The request body is too large.")


class Arrival:
    """The body of one request. ``announced`` is its length in bytes, None if the client sends it in chunks."""

    def __init__(self, receive: Receive, announced: int | None) -> None:
        self._receive = receive
        self._announced = announced
        self._began = asyncio.get_running_loop().time()
        self.received = 0
        self.complete = False

    async def body(self, allowance: Allowance) -> IO[bytes]:
        """Return the body as a file, or a RefusedBody if it is longer than the caller may send.

        Raises BodyTooSlow, and ConnectionResetError if the client disconnects.
        """
        head = bytearray()
        if self._announced is None or self._announced <= SHORT:
            while not self.complete and len(head) <= SHORT:
                head += await self._piece()
            if self.complete:
                return io.BytesIO(head)
        allowed = await allowance()
        if allowed < max(self._announced or 0, len(head)):
            return io.BufferedReader(RefusedBody())
        self._began = asyncio.get_running_loop().time()  # the caller may have waited
        return await self._spool(bytes(head), allowed)

    async def _spool(self, head: bytes, allowed: int) -> IO[bytes]:
        file = tempfile.SpooledTemporaryFile(max_size=MEMORY, dir=settings.FILE_UPLOAD_TEMP_DIR)  # noqa: SIM115
        try:
            file.write(head)
            pending = bytearray()
            while not self.complete:
                pending += await self._piece()
                if self.received > allowed:
                    file.close()
                    return io.BufferedReader(RefusedBody())
                if len(pending) >= MEMORY or self.complete:
                    # A disk can be slow: the event loop does not wait for it.
                    await asyncio.to_thread(file.write, pending) if self.received > MEMORY else file.write(pending)
                    pending = bytearray()
            file.seek(0)
        except BaseException:
            file.close()
            raise
        return file

    async def _piece(self) -> bytes:
        deadline = self._began + GRACE + self.received / LEAST_RATE
        try:
            async with asyncio.timeout_at(min(deadline, asyncio.get_running_loop().time() + GRACE)):
                message = await self._receive()
        except TimeoutError:
            raise BodyTooSlow from None
        if message["type"] == "http.disconnect":
            raise ConnectionResetError("The client disconnected before its request was complete.")
        piece: bytes = message.get("body", b"")
        self.received += len(piece)
        self.complete = not message.get("more_body", False)
        return piece


class OutboxFull(Exception):
    """Too many bytes of responses wait for clients."""


class Outbox:
    """Pieces of a response between its thread, which ``put``s them, and the event loop, which ``get``s them.

    What exceeds MEMORY waits in a temporary file, so that a client that reads slowly does not occupy the thread.
    """

    _waiting_of_all = 0
    _lock_of_all = threading.Lock()

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._ready = asyncio.Event()
        # Held for a moment only: the event loop takes it as well. ``_file_lock`` is held while the file is used.
        self._lock = threading.Lock()
        self._pieces: deque[bytes] = deque()
        self._in_memory = 0
        self._written = self._read = 0
        self._ended = self._closed = False
        self._file_lock = threading.Lock()
        self._file: IO[bytes] | None = None

    def put(self, piece: bytes) -> None:
        """Add a piece. Raises OutboxFull, and RuntimeError if the event loop is closed."""
        with self._file_lock:
            with self._lock:
                waiting = self._written - self._read
                if self._closed:
                    return
                if not waiting and self._in_memory < MEMORY:
                    self._pieces.append(piece)
                    self._in_memory += len(piece)
                    self._wake()
                    return
            if waiting >= OUTBOX_BYTES or Outbox._waiting_of_all >= ALL_OUTBOX_BYTES:
                raise OutboxFull
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=settings.FILE_UPLOAD_TEMP_DIR)  # noqa: SIM115
            self._file.seek(self._written)
            self._file.write(piece)
            self._count(len(piece))
            with self._lock:
                self._written += len(piece)
        self._wake()

    def end(self) -> None:
        """Mark the response as complete."""
        with self._lock:
            self._ended = True
        self._wake()

    async def get(self) -> bytes:
        """Return the next piece, or ``b""`` after the last one."""
        while True:
            with self._lock:
                self._ready.clear()
                if self._pieces:
                    piece = self._pieces.popleft()
                    self._in_memory -= len(piece)
                    return piece
                in_file = self._read < self._written
                if not in_file and self._ended:
                    return b""
            if in_file:
                return await asyncio.to_thread(self._from_file)
            await self._ready.wait()

    def close(self) -> None:
        """Delete the pieces that have not been sent. Can be called from any thread."""
        with self._file_lock, self._lock:
            self._closed = True
            self._pieces.clear()
            self._count(self._read - self._written)
            self._read = self._written = 0
            if self._file is not None:
                self._file.close()

    def _from_file(self) -> bytes:
        with self._file_lock:
            if self._file is None or self._closed:
                return b""
            self._file.seek(self._read)
            piece = self._file.read(min(PIECE, self._written - self._read))
            self._count(-len(piece))
            with self._lock:
                self._read += len(piece)
                if self._read == self._written:
                    self._read = self._written = 0
            if not self._written:
                self._file.truncate(0)
            return piece

    def _count(self, size: int) -> None:
        with Outbox._lock_of_all:
            Outbox._waiting_of_all += size

    def _wake(self) -> None:
        if not self._ready.is_set():
            self._loop.call_soon_threadsafe(self._ready.set)
