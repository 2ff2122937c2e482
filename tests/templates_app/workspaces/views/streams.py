"""Open streams of workspaces, on a running server."""

import json
from contextlib import contextmanager

import httpx

from coderproj.identity import tokens
from templates_app.workspaces.watching import Watchers

HEADER = "Coder-Session-Token"


def watchers_of(live_api) -> Watchers:
    return live_api.server.app.services[Watchers.key]


class Stream:
    """The events of an open stream."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._chunks = response.iter_raw()
        self._text = b""

    def next(self) -> tuple[str, dict | None]:
        """Return the type and data of the next event. Its lines must be as the Go client reads them (WAT-04)."""
        while b"\n\n" not in self._text:
            self._text += next(self._chunks)
        text, _, self._text = self._text.partition(b"\n\n")
        first, *rest = text.decode().split("\n")
        assert first.startswith("event: ")
        kind = first.removeprefix("event: ")
        if kind == "ping":
            assert rest == []
            return kind, None
        (line,) = rest
        assert line.startswith("data: ")
        return kind, json.loads(line.removeprefix("data: "))

    def data(self) -> dict:
        """Return the data of the next event that is no ping."""
        while True:
            kind, data = self.next()
            if kind == "data":
                return data

    def until(self, condition) -> dict:
        """Return the first workspace that meets the condition."""
        while not condition(data := self.data()):
            pass
        return data

    def error(self) -> dict:
        """Return the data of the error with which the stream ends."""
        self._text += b"".join(self._chunks)
        self._text = self._text.replace(b"event: ping\n\n", b"")
        kind, data = self.next()
        assert (kind, self._text) == ("error", b"")
        return data


@contextmanager
def watch(live_api, workspace, user, **headers):
    _, token = tokens.issue(user=user)
    url = f"{live_api.url}/api/v2/workspaces/{workspace.pk}/watch"
    sent = {HEADER: token, "Accept": "text/event-stream", **headers}
    with httpx.stream("GET", url, headers=sent, timeout=10) as response:
        yield Stream(response)
