"""The ASGI application: Django on threads, and streams, which views hand over to the event loop.

Run it with ``coderproj.web.server``, which configures uvicorn for it.
"""

import os
import warnings
from typing import Any, Protocol

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "coderproj.settings")
django.setup(set_prefix=False)

from django.conf import settings  # noqa: E402 - Django has to be set up first
from django.core.handlers.wsgi import WSGIHandler  # noqa: E402
from django.http.response import HttpResponseBase  # noqa: E402

from coderproj.base.contributions import contributions  # noqa: E402
from coderproj.web.bridge import DjangoBridge  # noqa: E402
from coderproj.web.environ import Environ, Receive, Scope, Send  # noqa: E402

# Seconds for streams to end when the server stops.
STREAM_END_SECONDS = 1.5


class StreamService(Protocol):
    """A service that an app runs on the server's event loop for its streams.

    Apps contribute classes of such services as ``stream_services``; each is called without arguments when the server
    starts. The streams find the service in ``scope["state"]`` under its ``key``.
    """

    key: str

    async def start(self) -> None: ...

    async def end_streams(self, timeout: float) -> None:
        """End all streams. Return when they have ended, at the latest after ``timeout`` seconds."""

    async def stop(self) -> None: ...


class LoopResponder(Protocol):
    """Responds to some requests on the event loop, without a thread: to a GET without a body, or to a POST with a short
    one.

    Apps contribute classes of such responders as ``loop_responders``; each is called without arguments when the server
    starts. ``respond`` returns None if a thread must handle the request. Nothing in it may wait but the coroutine
    itself.
    """

    async def start(self) -> None: ...

    async def respond(self, environ: Environ) -> HttpResponseBase | None: ...

    async def stop(self) -> None: ...


class Application:
    """The application of a process. Its services and threads run from the server's start to its stop."""

    def __init__(self) -> None:
        self._bridge: DjangoBridge | None = None
        self.services: dict[str, Any] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._run_lifespan(scope, receive, send)
            return
        if self._bridge is None:
            raise RuntimeError("The server must support the ASGI lifespan protocol.")
        if scope["type"] == "websocket":
            await self._bridge.websocket(scope, receive, send)
        else:
            await self._bridge(scope, receive, send)

    async def end_streams(self) -> None:
        """End the streams: a stopping server waits for open requests."""
        for service in self.services.values():
            await service.end_streams(STREAM_END_SECONDS)

    async def _run_lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        for make_service in contributions("stream_services"):
            service: StreamService = make_service()
            self.services[service.key] = scope["state"][service.key] = service
        responders: list[LoopResponder] = [make() for make in contributions("loop_responders")]
        handlers = [responder.respond for responder in responders]
        self._bridge = DjangoBridge(django_handler(), settings.WEB_THREADS, handlers)
        for part in (*self.services.values(), *responders):
            await part.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        for part in (*self.services.values(), *responders):
            await part.stop()
        self._bridge.close()
        await send({"type": "lifespan.shutdown.complete"})


def django_handler() -> WSGIHandler:
    """Return Django with its middleware."""
    with warnings.catch_warnings():
        # Static files that were not collected are served from their source folders.
        warnings.filterwarnings("ignore", message="No directory at")
        return WSGIHandler()


application = Application()
