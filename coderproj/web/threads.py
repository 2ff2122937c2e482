"""Threads that run Django's synchronous code for the event loop."""

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
ENDED = "The threads have ended."


class NoThread(RuntimeError):
    """No thread will run the function: they have ended, or the machine has none to give."""


@dataclass(slots=True)
class Work:
    """A function, and the future of the event loop that gets what it returns or raises."""

    future: asyncio.Future[Any]
    function: Callable[[], Any]


@dataclass(slots=True)
class Desk:
    """Where one thread finds its next work. ``gate`` is locked as long as there is none; None ends the thread."""

    work: Work | None
    gate: threading.Lock = field(default_factory=threading.Lock)

    def put(self, work: Work | None) -> None:
        self.work = work
        self.gate.release()


class Threads:
    """Up to ``limit`` threads, started as they are needed, that run functions for the event loop.

    The one that became idle last gets the next function, as what it needs is still in the processor's caches, and no
    other thread notices. Threads that wait for one queue, the standard library's executor too, wake one another with
    every function (``queue.SimpleQueue`` lets the next one look), and then all wait for the interpreter's lock.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._idle: list[Desk] = []
        self._backlog: deque[Work] = deque()
        self._started = 0
        self._closed = False

    async def run(self, function: Callable[[], Result]) -> Result:
        """What the function returns or raises, in a copy of the caller's context. Raises NoThread."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        work = Work(future, functools.partial(contextvars.copy_context().run, function))
        with self._lock:
            if self._closed:
                raise NoThread(ENDED)
            if self._idle:
                self._idle.pop().put(work)
            elif not self._start(work):
                self._backlog.append(work)
        return await future

    def _start(self, work: Work) -> bool:
        """Start one more thread with its first work, if there may be one more.

        Raises NoThread when the machine gives none and there is no other to wait for.
        """
        if self._started == self._limit:
            return False
        name = f"web_{self._started + 1}"
        thread = threading.Thread(target=self._serve, args=[Desk(work)], name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # the machine, or this account, has no more threads just now
            if not self._started:
                raise NoThread(str(error)) from error
            return False
        self._started += 1
        return True

    def close(self) -> None:
        """Ends each thread after what it is doing; what none has begun is never done: NoThread."""
        with self._lock:
            self._closed = True
            while self._backlog:
                future = self._backlog.popleft().future
                with contextlib.suppress(RuntimeError):  # the loop has ended
                    future.get_loop().call_soon_threadsafe(_settle, future, None, NoThread(ENDED))
            while self._idle:
                self._idle.pop().put(None)

    def _serve(self, desk: Desk) -> None:
        desk.gate.acquire()  # the first work is there already
        while (work := desk.work) is not None:
            result: Any = None
            failure: Exception | None = None
            try:
                result = work.function()
            except Exception as error:  # noqa: BLE001 - it is raised where the future is awaited
                failure = error
            except BaseException as error:  # noqa: BLE001 - the thread goes on, and so does the event loop
                failure = RuntimeError(f"A request ended its thread: {error!r}")
            self._find_next(desk)
            with contextlib.suppress(RuntimeError):  # the loop has ended
                work.future.get_loop().call_soon_threadsafe(_settle, work.future, result, failure)
            del work, result, failure  # a waiting thread keeps nothing alive
            desk.gate.acquire()

    def _find_next(self, desk: Desk) -> None:
        """Put the next work on the desk of a thread that is done, or let it wait."""
        with self._lock:
            desk.work = None
            if self._backlog:
                desk.put(self._backlog.popleft())
            elif self._closed:
                desk.put(None)
            else:
                self._idle.append(desk)


def _settle(future: asyncio.Future[Any], result: Any, failure: Exception | None) -> None:
    if future.cancelled():
        return
    if failure is None:
        future.set_result(result)
    else:
        future.set_exception(failure)
