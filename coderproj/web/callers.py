"""Who sends a request, as far as the web server must know to share its threads fairly."""

import asyncio
import contextlib
from collections import OrderedDict, deque
from collections.abc import Hashable, Mapping
from typing import Any, Protocol

from django.conf import settings

from coderproj.base.contributions import contributions
from coderproj.web.bodies import SHORT

Environ = Mapping[str, Any]
# Content types of files. Only their bodies can be as long as UPLOAD_MAX_BYTES.
FILES = ("application/x-tar", "application/zip", "multipart/form-data")
# Bytes of a form around its file.
FORM_BYTES = 64 * 1024


class CallerSource(Protocol):
    """Recognizes callers by one kind of credentials. Apps contribute instances as ``caller_sources``."""

    def key(self, environ: Environ) -> Hashable | None:
        """Return an identity that is the same for all requests of the caller; None for other callers.

        Runs on the event loop, where it must not wait, and proves nothing.
        """

    def allowance(self, environ: Environ) -> int:
        """Return how many bytes of body the caller may send, 0 without valid credentials. Runs on a thread."""


class LongBody(Protocol):
    """Requests that may have a longer body than others. Apps contribute instances as ``long_bodies``."""

    def matches(self, environ: Environ) -> bool:
        """Return True for such a request. Runs on the event loop, where it must not wait."""

    def allowance(self, environ: Environ, actor: Any) -> int:
        """Return how many bytes of body the actor may send with such a request, 0 for no more than with others. Runs
        on a thread."""


def key_of(environ: Environ, address: str) -> Hashable:
    """Return the identity of a request's caller: the first one that a source knows, else the address."""
    sources: tuple[CallerSource, ...] = contributions("caller_sources")
    for source in sources:
        if (key := source.key(environ)) is not None:
            return key
    return address


def is_file(environ: Environ) -> bool:
    """Return True if the body is a file, or a form that can contain one."""
    return str(environ.get("CONTENT_TYPE", "")).partition(";")[0].strip().lower() in FILES


def allowance(environ: Environ) -> int:
    """Return how many bytes of body the caller may send. Runs on a thread."""
    sources: tuple[CallerSource, ...] = contributions("caller_sources")
    return max(SHORT, *(source.allowance(environ) for source in sources))


def allowance_of_user(environ: Environ, actor: Any) -> int:
    """Return how many bytes of body a user may send: as many as an upload may have if the body is a file, and else as
    the contributed ``long_bodies`` say. Runs on a thread."""
    if is_file(environ):
        return settings.UPLOAD_MAX_BYTES + FORM_BYTES
    allowed: int = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    announced = str(environ.get("CONTENT_LENGTH", ""))
    if announced.isdigit() and int(announced) <= allowed:
        return allowed
    return max(allowed, *(one.allowance(environ, actor) for one in _long_bodies(environ)), 0)


def is_long(environ: Environ, received: int) -> bool:
    """Return True if only the contributed ``long_bodies`` allow a body of so many bytes that is not a file."""
    return received > settings.DATA_UPLOAD_MAX_MEMORY_SIZE and bool(_long_bodies(environ))


def _long_bodies(environ: Environ) -> "list[LongBody]":
    sources: tuple[LongBody, ...] = contributions("long_bodies")
    return [one for one in sources if one.matches(environ)]


class TooManyWaiting(Exception):
    """Too many requests wait for a slot."""


class Slots:
    """Shares ``total`` slots among callers: each has at most ``per_caller``, and waiting callers take turns.

    Use it on one event loop.
    """

    def __init__(self, total: int, per_caller: int, *, waiting: int) -> None:
        self._free = total
        self._per_caller = per_caller
        self._may_wait = waiting
        self._used: dict[Hashable, int] = {}
        self._waiting: OrderedDict[Hashable, deque[asyncio.Future[None]]] = OrderedDict()

    def acquire(self, caller: Hashable) -> asyncio.Future[None] | None:
        """Take a slot and return None, or return a future that is done once the caller has one, see ``leave``.

        Raises TooManyWaiting.
        """
        if self._free and self._used.get(caller, 0) < self._per_caller:
            self._take(caller)
            return None
        if len(self._waiting.get(caller, ())) >= self._may_wait:
            raise TooManyWaiting
        queue = self._waiting.setdefault(caller, deque())
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        return turn

    def release(self, caller: Hashable) -> None:
        """Give a slot back."""
        self._free += 1
        self._used[caller] -= 1
        if not self._used[caller]:
            del self._used[caller]
        self._serve_next()

    def leave(self, caller: Hashable, turn: "asyncio.Future[None]") -> None:
        """Stop waiting for a turn, or give its slot back."""
        if turn.done() and not turn.cancelled():
            self.release(caller)
            return
        turn.cancel()
        queue = self._waiting.get(caller)
        if queue is not None:
            with contextlib.suppress(ValueError):
                queue.remove(turn)
            if not queue:
                del self._waiting[caller]

    def _take(self, caller: Hashable) -> None:
        self._free -= 1
        self._used[caller] = self._used.get(caller, 0) + 1

    def _serve_next(self) -> None:
        """Give the free slots to callers in turn."""
        for caller in list(self._waiting):
            if not self._free:
                return
            if self._used.get(caller, 0) >= self._per_caller:
                continue
            queue = self._waiting[caller]
            while queue:
                turn = queue.popleft()
                if not turn.done():  # otherwise its task has just been cancelled
                    turn.set_result(None)
                    self._take(caller)
                    break
            if queue:
                self._waiting.move_to_end(caller)
            else:
                del self._waiting[caller]
