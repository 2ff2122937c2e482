"""The threads that run Django's synchronous code for the event loop.

``anyio.to_thread`` and the standard library's ``ThreadPoolExecutor`` do the same with more processor time. Measured in
the web server, in turns (``tests.bench.compare``, 16 rounds of 0.3 s, server and database), at 1, 8 and 32 connections:
one template takes 8, 10 and 16 % more with anyio and 6, 11 and 9 % more with the executor, a constant view 42, 19 and
43 % more with anyio. Handing over an empty function takes 16, 15 and 10 µs here, 59, 42 and 43 µs with anyio, 35, 20
and 22 µs with the executor. anyio also fails a request if a thread cannot be started while others could serve it.
"""

import asyncio
import contextlib
import contextvars
import functools
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

Result = TypeVar("Result")
CLOSED = "The threads have been closed."


class NoThread(RuntimeError):
    """No thread can run the function: the pool is closed, or the system cannot start a thread."""


@dataclass(slots=True)
class Work:
    """A function, and the event loop's future for its result or exception."""

    future: asyncio.Future[Any]
    function: Callable[[], Any]


@dataclass(slots=True)
class WorkerSlot:
    """The next work of one thread. ``ready`` is locked while there is none; the work None ends the thread."""

    work: Work | None
    ready: threading.Lock = field(default_factory=threading.Lock)

    def put(self, work: Work | None) -> None:
        self.work = work
        self.ready.release()


class Threads:
    """A pool of up to ``limit`` threads, started on demand, that run functions for the event loop.

    The thread that became idle last gets the next function: its data is still in the CPU's caches, and no other thread
    wakes. If all threads waited for one queue, as in the standard library's executor, each function would wake several
    of them, and these would wait for the interpreter's lock.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._idle: list[WorkerSlot] = []
        self._backlog: deque[Work] = deque()
        self._started = 0
        self._closed = False

    async def run(self, function: Callable[[], Result]) -> Result:
        """Run the function in a copy of the caller's context and return its result. Raises NoThread."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        work = Work(future, functools.partial(contextvars.copy_context().run, function))
        with self._lock:
            if self._closed:
                raise NoThread(CLOSED)
            if self._idle:
                self._idle.pop().put(work)
            elif not self._start(work):
                self._backlog.append(work)
        return await future

    def _start(self, work: Work) -> bool:
        """Start a thread with its first work. Return False if no further thread can be started.

        Raises NoThread if there is no thread at all.
        """
        if self._started == self._limit:
            return False
        name = f"web_{self._started + 1}"
        thread = threading.Thread(target=self._serve, args=[WorkerSlot(work)], name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # a limit of the system or of this account
            if not self._started:
                raise NoThread(str(error)) from error
            return False
        self._started += 1
        return True

    def close(self) -> None:
        """End each thread after its current function. Functions that have not begun raise NoThread."""
        with self._lock:
            self._closed = True
            while self._backlog:
                future = self._backlog.popleft().future
                with contextlib.suppress(RuntimeError):  # the event loop is closed
                    future.get_loop().call_soon_threadsafe(_settle, future, None, NoThread(CLOSED))
            while self._idle:
                self._idle.pop().put(None)

    def _serve(self, slot: WorkerSlot) -> None:
        slot.ready.acquire()  # the first work is already there
        while (work := slot.work) is not None:
            result: Any = None
            failure: Exception | None = None
            try:
                result = work.function()
            except Exception as error:  # noqa: BLE001 - raised again where the future is awaited
                failure = error
            except BaseException as error:  # noqa: BLE001 - SystemExit must end neither the thread nor the event loop
                failure = RuntimeError(f"A request tried to end its thread: {error!r}")
            self._find_next(slot)
            with contextlib.suppress(RuntimeError):  # the event loop is closed
                work.future.get_loop().call_soon_threadsafe(_settle, work.future, result, failure)
            del work, result, failure  # an idle thread must not keep objects alive
            slot.ready.acquire()

    def _find_next(self, slot: WorkerSlot) -> None:
        """Put the next work into the slot of a thread, or mark the thread as idle."""
        with self._lock:
            slot.work = None
            if self._backlog:
                slot.put(self._backlog.popleft())
            elif self._closed:
                slot.put(None)
            else:
                self._idle.append(slot)


def _settle(future: asyncio.Future[Any], result: Any, failure: Exception | None) -> None:
    if future.cancelled():
        return
    if failure is None:
        future.set_result(result)
    else:
        future.set_exception(failure)
