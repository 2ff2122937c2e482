"""Long-polling requests that can be canceled at any time. No Django here."""

import asyncio
import os
import select
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress

import httpx

WOKEN, ANSWERED = b"!", b"."


class LongPoll:
    """Runs requests on an event loop in a separate thread, where they can be canceled. Canceling closes the connection,
    also through proxies. Only one thread may call ``post`` and ``sleep``.
    """

    def __init__(self, make_client: Callable[[], httpx.AsyncClient]) -> None:
        self._make_client = make_client
        self._client: httpx.AsyncClient | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="long-poll", daemon=True)
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._closed = False

    def post(self, path: str, body: bytes, seconds: float) -> httpx.Response | None:
        """Return the answer; None when ``wake`` was called or the time is up. Raises httpx.HTTPError."""
        if not self._thread.is_alive():
            self._thread.start()
        request: Future[httpx.Response] = asyncio.run_coroutine_threadsafe(self._post(path, body), self._loop)
        request.add_done_callback(lambda _: self._signal(ANSWERED))
        deadline = time.monotonic() + seconds
        while not request.done():
            if WOKEN in self._wait(deadline - time.monotonic()) or time.monotonic() >= deadline:
                request.cancel()
                return None
        return request.result()

    def sleep(self, seconds: float) -> bool:
        """Sleep; return True when ``wake`` was called before the time was up."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if WOKEN in self._wait(left):
                return True
        return False

    def wake(self) -> None:
        """End the current or the next wait. Can be called from any thread and from a signal handler."""
        self._signal(WOKEN)

    def close(self) -> None:
        """Stop the thread and close all connections."""
        self._closed = True
        if self._thread.is_alive():
            if self._client is not None:
                with suppress(TimeoutError, httpx.HTTPError):
                    asyncio.run_coroutine_threadsafe(self._client.aclose(), self._loop).result(2)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(2)
        if not self._loop.is_running():
            self._loop.close()
        os.close(self._read)
        os.close(self._write)

    async def _post(self, path: str, body: bytes) -> httpx.Response:
        if self._client is None:
            self._client = self._make_client()
        return await self._client.post(path, content=body)

    def _wait(self, seconds: float) -> bytes:
        select.select([self._read], [], [], max(0.0, seconds))
        with suppress(BlockingIOError):
            return os.read(self._read, 4096)
        return b""

    def _signal(self, event: bytes) -> None:
        if not self._closed:
            with suppress(BlockingIOError, OSError):  # full: a wakeup is pending
                os.write(self._write, event)
