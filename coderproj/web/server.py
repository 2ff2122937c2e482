"""The web server: uvicorn with the settings that streams and Django need.

``python -m coderproj.web.server`` serves in the foreground and exits with status 0 on SIGTERM or SIGINT.
"""

import argparse
import contextlib
import gc
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Sequence

import uvicorn
from django.conf import settings
from django.core import signals
from django.core.cache import close_caches
from django.core.checks import run_checks
from django.db import close_old_connections, reset_queries

from coderproj.base.processes import allow_connections
from coderproj.web import addresses
from coderproj.web.dispatcher import Application
from coderproj.web.protocols import FrameProtocol, HttpProtocol

# The maximum size of a client's WebSocket message in bytes.
MAX_CLIENT_MESSAGE = 64 * 1024
PING_SECONDS = 15.0
# A client that stops reading for a while (a paused terminal) does not answer pings.
PONG_SECONDS = 60.0
# Longer than the idle timeout of common proxies: the proxy must close idle connections first.
KEEP_ALIVE_SECONDS = 75
# Seconds for running requests to finish when the server stops.
GRACE_SECONDS = 10
STARTUP_SECONDS = 30.0
# Seconds for which a thread keeps the interpreter's lock while others want it. With Python's 5 ms, eight threads that
# render pages delay a read on the event loop by most of a second.
SWITCH_SECONDS = 0.0005
# Tags of the system checks that must pass before the server answers. They need no database.
START_CHECKS = ("compiled_reads",)


class Server(uvicorn.Server):
    """Serves ``app`` on ``host`` and ``port``, 0 for a free port. ``url`` is the resulting address."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0, *, app: Application | None = None) -> None:
        self.app = app or Application()
        super().__init__(
            uvicorn.Config(
                self.app,
                host=host,
                port=port,
                http=HttpProtocol,
                ws=FrameProtocol,
                lifespan="on",
                ws_max_size=MAX_CLIENT_MESSAGE,
                ws_ping_interval=PING_SECONDS,
                ws_ping_timeout=PONG_SECONDS,
                ws_per_message_deflate=False,
                # Query strings can contain tokens: no access log, and no messages of uvicorn about WebSockets.
                access_log=False,
                log_config=None,
                log_level="warning",
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )
        self._socket = addresses.listen(host, port)

    @property
    def url(self) -> str:
        host, port = self._socket.getsockname()[:2]
        return addresses.url(host, port)

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until SIGTERM or SIGINT (in the main thread) or a call of ``stop``, then return."""
        super().run(sockets or [self._socket])

    def stop(self) -> None:
        """Make ``run`` return soon. Can be called from any thread."""
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        await self.app.end_streams()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGTERM and SIGINT. uvicorn raises the signal again afterwards; here the process exits with 0."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        previous = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    @contextlib.contextmanager
    def in_thread(self) -> Iterator[str]:
        """Serve from a thread while the block runs. Yields the URL."""
        thread = threading.Thread(target=self.run, name="web-server")
        thread.start()
        try:
            waited = threading.Event()
            for _ in range(int(STARTUP_SECONDS / 0.01)):
                if self.started or not thread.is_alive():
                    break
                waited.wait(0.01)
            if not self.started:
                raise RuntimeError("The web server did not start.")
            yield self.url
        finally:
            self.stop()
            thread.join()
            self._socket.close()


def disconnect_idle_receivers() -> None:
    """Disconnect Django's own receivers of request signals that a web process does not need.

    Threads return their connection when a request ends, so the next request finds no old one to close.
    The cache is in memory and has no connection. Queries are only recorded with DEBUG.
    The receivers would take 9 % of the processor time of a short read (``tests.bench.compare``, one template).
    """
    signals.request_started.disconnect(close_old_connections)
    signals.request_finished.disconnect(close_caches)
    if not settings.DEBUG:
        signals.request_started.disconnect(reset_queries)


def keep_startup_objects() -> None:
    """Let the garbage collector skip what exists now: code, models and settings, which stay for as long as the process
    does. A collection of all of it would stop every request for about 100 ms."""
    gc.freeze()
    gc.enable()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m coderproj.web.server", description="Serves pages, API and streams."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=settings.PORT)
    options = parser.parse_args(arguments)
    if errors := [message for message in run_checks(tags=START_CHECKS) if message.is_serious()]:
        sys.exit("\n".join(map(str, errors)))
    disconnect_idle_receivers()
    allow_connections()
    sys.setswitchinterval(SWITCH_SECONDS)
    if settings.WEB_CPUS:
        try:
            os.sched_setaffinity(0, settings.WEB_CPUS)
        except (OSError, ValueError) as error:
            sys.exit(f"WEB_CPUS: cannot use the CPUs {sorted(settings.WEB_CPUS)}: {error}")
    server = Server(options.host, options.port)
    keep_startup_objects()
    sys.stdout.write(f"{server.url}\n")
    sys.stdout.flush()
    server.run()


if __name__ == "__main__":
    main()
