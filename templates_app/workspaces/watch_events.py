"""The server-sent events of a watched workspace, and the head of the response."""

import msgspec

from coderproj.base.envelope import envelope
from coderproj.web.environ import Message
from coderproj.web.replies import Headers

# Clients in Go accept an event line, a data line and an empty line, in this order, and no other line.
PING = b"event: ping\n\n"
HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"connection", b"keep-alive"),
    (b"x-accel-buffering", b"no"),
)
REPLACED = frozenset({b"content-length", *(name for name, _ in HEADERS)})


def data_event(workspace: bytes) -> bytes:
    """Return the event for a workspace as JSON on one line."""
    return b"event: data\ndata: %b\n\n" % workspace


def error_event(message: str, detail: str) -> bytes:
    """Return the event that precedes the end of a stream."""
    return b"event: error\ndata: %b\n\n" % msgspec.json.encode(envelope(message, detail))


# Browsers connect again after the end of a stream, and show the error until then.
NO_RIGHT = error_event("You can no longer read this workspace.", "Sign in again, or ask for access to it.")
UNREADABLE = error_event("The workspace cannot be read.", "It does not exist any more.")
FAILED = error_event("The workspace cannot be read.", "The server could not read it. Watch it again.")
STOPPING = error_event("The server is stopping.", "Watch the workspace again.")


def start(headers: Headers) -> Message:
    """Return the start of the response."""
    kept = ((name, value) for name, value in headers if name not in REPLACED)
    return {"type": "http.response.start", "status": 200, "headers": [*kept, *HEADERS]}
