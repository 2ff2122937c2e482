"""The environ of a request (PEP 3333), and what we add to it."""

import functools
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from django.conf import settings

from coderproj.web import addresses

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Environ = dict[str, Any]

# In the environ: true if the request asks for a WebSocket; true if the request can be handed over to a stream.
WEBSOCKET = "coderproj.websocket"
STREAMS = "coderproj.streams"
# True while the request is handled on the event loop: code that would have to wait raises NeedsThread.
ON_LOOP = "coderproj.on_loop"
# The services of the server for streams, by their keys.
SERVICES = "coderproj.services"
# A function that returns True once the client has disconnected. Long work in a thread calls it to stop early.
CLIENT_IS_GONE = "coderproj.client_is_gone"
FORWARDED_PROTO = "HTTP_X_FORWARDED_PROTO"


class NeedsThread(Exception):
    """Code on the event loop would have to wait, so a thread must handle the request."""


def is_gone(environ: Mapping[str, Any]) -> bool:
    """Return True if the client has disconnected, as far as the server knows. Called in the request's thread."""
    client_is_gone = environ.get(CLIENT_IS_GONE)
    return client_is_gone is not None and client_is_gone()


def build_environ(scope: Scope) -> Environ:
    """Return the WSGI environ (PEP 3333) of an ASGI scope of type ``http`` or ``websocket``.

    Drops headers whose names have an underscore, because they could imitate other headers, and ``X-Forwarded-Proto``
    unless a trusted proxy sent it. ``addresses.caller`` reads ``X-Forwarded-For``. Texts are bytes decoded as latin-1,
    as PEP 3333 demands.
    """
    server = scope.get("server") or ("localhost", 80)
    client = scope.get("client") or ("", 0)
    environ: Environ = {
        "REQUEST_METHOD": scope.get("method", "GET"),
        "SCRIPT_NAME": scope.get("root_path", ""),
        "PATH_INFO": scope["path"].encode("utf-8", "surrogateescape").decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{scope.get('http_version', '1.1')}",
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1] or 0),
        "REMOTE_ADDR": client[0],
        "REMOTE_PORT": str(client[1]),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": {"ws": "http", "wss": "https"}.get(scope["scheme"], scope["scheme"]),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        STREAMS: True,
        WEBSOCKET: scope["type"] == "websocket",
        ON_LOOP: False,
        SERVICES: scope.get("state", {}),
    }
    for raw_name, raw_value in scope["headers"]:
        if b"_" in raw_name:
            continue
        key = environ_key(raw_name)
        value = raw_value.decode("latin-1")
        if key in environ:
            value = f"{environ[key]}{'; ' if key == 'HTTP_COOKIE' else ','}{value}"
        environ[key] = value
    if FORWARDED_PROTO in environ and not addresses.is_trusted(environ["REMOTE_ADDR"], settings.TRUSTED_PROXIES):
        del environ[FORWARDED_PROTO]
    return environ


@functools.lru_cache(maxsize=256)
def environ_key(raw_name: bytes) -> str:
    """Return a header's name in the environ."""
    name = raw_name.decode("latin-1").upper().replace("-", "_")
    return name if name in ("CONTENT_LENGTH", "CONTENT_TYPE") else f"HTTP_{name}"
