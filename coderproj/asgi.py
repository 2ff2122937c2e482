"""The ASGI application: Django on threads, and the streams that its views hand over to.

Run it with ``coderproj.server``, which knows the settings that it needs.
"""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "coderproj.settings")
django.setup(set_prefix=False)

from django.conf import settings  # noqa: E402 - Django has to be set up first

from coderproj.handler import Handler  # noqa: E402
from coderproj.wsgi_bridge import Receive, Scope, Send, WSGIBridge  # noqa: E402
from provisioning.streaming.carriers import HUB  # noqa: E402
from provisioning.streaming.hub import Hub  # noqa: E402
from provisioning.streaming.store import conninfo  # noqa: E402

# How long streams get to say goodbye when the server stops, in seconds.
GOODBYE = 1.5


class Application:
    """One per process. Its hub and its threads live from the server's start to its stop."""

    def __init__(self) -> None:
        self._bridge: WSGIBridge | None = None
        self.hub: Hub | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
            return
        if self._bridge is None:
            raise RuntimeError("The server has to support the ASGI lifespan protocol.")
        if scope["type"] == "websocket":
            await self._bridge.websocket(scope, receive, send)
        else:
            await self._bridge(scope, receive, send)

    async def end_streams(self) -> None:
        """Ends the streams, so that a server that stops has nothing to wait for."""
        if self.hub is not None:
            await self.hub.end_streams(GOODBYE)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        self.hub = scope["state"][HUB] = Hub(conninfo(), streams_per_user=settings.STREAMS_PER_USER)
        self._bridge = WSGIBridge(Handler(), settings.WEB_THREADS)
        await self.hub.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.hub.stop()
        self._bridge.close()
        await send({"type": "lifespan.shutdown.complete"})


application = Application()
