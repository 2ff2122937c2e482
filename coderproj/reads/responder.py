"""Compiled reads on the event loop.

A read of a cached caller is one statement, and the rest of the request never waits. A thread would only wait for the
database, and each change between event loop and thread wakes another CPU and makes both wait for the interpreter's
lock: that takes longer than the request itself (docs/benchmarks.md).
"""

import functools
import uuid
from collections import Counter
from collections.abc import Hashable
from typing import Any

from django.conf import settings
from django.core.handlers.wsgi import WSGIRequest
from django.http.response import HttpResponseBase
from django.urls import Resolver404, ResolverMatch, resolve

from coderproj.database.event_loop import LoopDatabase
from coderproj.reads.viewsets import CompiledReads
from coderproj.web.callers import key_of
from coderproj.web.environ import WEBSOCKET, Environ
from coderproj.web.middleware import API_PREFIX, add_common_headers

# The number of remembered paths, and the characters of the longest one.
PATHS = 4096
PATH_LENGTH = 512
# Connections of the event loop, and those that one caller can use at a time. If they are busy, threads with connections
# of their own serve further requests.
CONNECTIONS, CONNECTIONS_PER_CALLER = 16, 8


class ReadResponder:
    """Responds on the event loop to requests whose view is a compiled read; see ``web.dispatcher.LoopResponder``."""

    def __init__(self) -> None:
        self._database = LoopDatabase(CONNECTIONS)
        self._route = functools.lru_cache(PATHS)(route)
        self._running: Counter[Hashable] = Counter()

    async def start(self) -> None:
        await self._database.open()

    async def stop(self) -> None:
        await self._database.close()

    async def respond(self, environ: Environ) -> HttpResponseBase | None:
        """Return the response to a GET; None if a thread must handle the request from the start."""
        path: str = environ["PATH_INFO"]
        if environ["REQUEST_METHOD"] != "GET":
            return None
        # Django decodes other characters of a path in place, and would do so again in the thread.
        if not path.startswith(API_PREFIX) or len(path) > PATH_LENGTH or not path.isascii() or environ[WEBSOCKET]:
            return None
        match = self._route(path, settings.ROOT_URLCONF)
        if match is None:
            return None
        request = WSGIRequest(environ)
        request.path_info = path.rstrip("/")
        request.request_id = uuid.uuid4()  # type: ignore[attr-defined]
        request.resolver_match = match
        caller = key_of(environ, "")
        if self._running[caller] == CONNECTIONS_PER_CALLER:
            return None
        self._running[caller] += 1
        try:
            response = await view_of(match).respond_on_loop(request, match.kwargs, self._database.first_row)
        finally:
            self._running[caller] -= 1
            if not self._running[caller]:
                del self._running[caller]
        if response is not None:
            add_common_headers(response, request)
        return response


def route(path: str, urlconf: str) -> ResolverMatch | None:
    """Return the route of a path if its GET is a compiled read."""
    try:
        match = resolve(path.rstrip("/"), urlconf)
    except Resolver404:
        return None
    view_class: Any = getattr(match.func, "cls", None)
    if not isinstance(view_class, type) or not issubclass(view_class, CompiledReads):
        return None
    actions: dict[str, str] = getattr(match.func, "actions", {})
    return match if actions.get("get") in view_class.compiled_reads else None


def view_of(match: ResolverMatch) -> CompiledReads:
    """Return a new view for a request, as REST framework's ``as_view`` makes it."""
    function: Any = match.func
    view: CompiledReads = function.cls(**function.initkwargs)
    view.action_map = function.actions
    if "head" not in function.actions:  # as ``as_view`` does at the first request
        function.actions["head"] = function.actions["get"]
    for method, action in function.actions.items():
        setattr(view, method, getattr(view, action))  # the Allow header names these
    return view


RESPONDERS = [ReadResponder]
