"""The HTTP request before the frames, read by httptools."""

from dataclasses import dataclass, field
from http import HTTPStatus

import httptools

PATH, LATENCY_PATH = b"/derp", b"/derp/latency-check"
# Bytes of a request until its end.
MAX_HEAD = 8 * 1024
UPGRADED = (
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n"
    "Derp-Version: 2\r\nDerp-Public-Key: {key}\r\n\r\n"
)


class Refused(Exception):
    """The request gets this response instead of an upgrade, and the connection closes."""

    def __init__(self, status: int, text: str = "") -> None:
        super().__init__(text)
        body = f"{text}\n" if text else ""
        more = "Upgrade: DERP\r\n" if status == HTTPStatus.UPGRADE_REQUIRED else ""
        self.status = status
        self.response = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{more}Content-Type: text/plain; charset=utf-8\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}"
        ).encode()


@dataclass(slots=True)
class Request:
    """Reads a request. ``headers`` are by lower-case name; of several with one name, the values are joined."""

    method: bytes = b""
    target: bytes = b""
    headers: dict[bytes, bytes] = field(default_factory=dict)
    is_complete: bool = False
    _size: int = 0
    _parser: httptools.HttpRequestParser = field(init=False)

    def __post_init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)

    # What the parser calls.
    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        self.headers[name] = b",".join([self.headers[name], value]) if name in self.headers else value

    def on_headers_complete(self) -> None:
        self.method = self._parser.get_method()

    def on_message_complete(self) -> None:
        self.is_complete = True

    def feed(self, data: bytes) -> bytes | None:
        """Read more of the request. Return what follows it once it is complete and upgrades to DERP, until then None.

        Raises Refused, also for complete requests that need no upgrade.
        """
        try:
            self._parser.feed_data(data)
            rest = b""
        except httptools.HttpParserUpgrade as upgrade:
            rest = data[upgrade.args[0] :]
        except httptools.HttpParserError:
            raise Refused(400, "This is not an HTTP request.") from None
        self._size += len(data) - len(rest)
        if self._size > MAX_HEAD:
            raise Refused(431, "The request is too long.")
        if not self.is_complete:
            return None
        self._check()
        return rest

    def _check(self) -> None:
        path = self.target.partition(b"?")[0]
        if path not in {PATH, LATENCY_PATH}:
            raise Refused(404, "There is only /derp here.")
        if self.method not in {b"GET", b"HEAD"}:
            raise Refused(405, "Only GET is allowed.")
        if path == LATENCY_PATH:
            raise Refused(200)
        if self.headers.get(b"upgrade", b"").strip().lower() != b"derp" or not self._parser.should_upgrade():
            raise Refused(426, "This is a relay for agents and clients of workspaces. It needs an upgrade to DERP.")
