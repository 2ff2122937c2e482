"""Threads that run Django's synchronous code for the event loop."""

import asyncio
import contextlib
import contextvars
import functools
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

Result = TypeVar("Result")


class Threads:
    """Up to ``limit`` threads, started as they are needed, that run functions for the event loop.

    The standard library's executor does the same with twice the bookkeeping, which every request would pay for.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._work: queue.SimpleQueue[tuple[asyncio.Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._idle = 0
        self._started = 0
        self._closed = False

    async def run(self, function: Callable[[], Result]) -> Result:
        """What the function returns or raises, in a copy of the caller's context."""
        if self._closed:
            raise RuntimeError("The threads have ended.")
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        with self._lock:
            if self._idle:
                self._idle -= 1
            elif self._started < self._limit:
                self._started += 1
                threading.Thread(target=self._serve, name=f"web_{self._started}", daemon=True).start()
        self._work.put((future, functools.partial(contextvars.copy_context().run, function)))
        return await future

    def close(self) -> None:
        """Ends each thread after what it is doing; what none has begun is never done."""
        self._closed = True
        with contextlib.suppress(queue.Empty):
            while True:
                self._work.get_nowait()
        for _ in range(self._started):
            self._work.put(None)

    def _serve(self) -> None:
        while (work := self._work.get()) is not None:
            future, function = work
            result: Any = None
            failure: Exception | None = None
            try:
                result = function()
            except Exception as error:  # noqa: BLE001 - it is raised where the future is awaited
                failure = error
            except BaseException as error:  # noqa: BLE001 - the thread goes on, and so does the event loop
                failure = RuntimeError(f"A request ended its thread: {error!r}")
            with self._lock:
                self._idle += 1
            with contextlib.suppress(RuntimeError):  # the loop has ended
                future.get_loop().call_soon_threadsafe(_settle, future, result, failure)
            del work, future, function, result, failure  # a waiting thread keeps nothing alive


def _settle(future: asyncio.Future[Any], result: Any, failure: Exception | None) -> None:
    if future.cancelled():
        return
    if failure is None:
        future.set_result(result)
    else:
        future.set_exception(failure)
