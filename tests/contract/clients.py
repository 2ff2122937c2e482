"""Clients that put on the wire exactly what real ones do, header for header."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from websockets.sync.client import ClientConnection, connect

from tests.contract import golang as go

TOKEN_HEADER = "Coder-Session-Token"
TOKEN_COOKIE = "coder_session_token"


class Wire:
    """Sends the headers it is given and, besides ``Host`` and the body's length, no others."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self.url = url
        self.client = httpx.Client(timeout=30)
        for name in list(self.client.headers):
            del self.client.headers[name]
        self.client.headers.update(headers)

    def send(self, method: str, path: str, *, json: Any = None, **options: Any) -> httpx.Response:
        """``path`` begins with a slash. A JSON body comes with its type, a bodiless request without one."""
        response = self.client.request(method, f"{self.url}{path}", json=json, **options)
        self.client.cookies.clear()  # a cookie is sent only by who says so
        assert not response.is_redirect
        return response

    def close(self) -> None:
        self.client.close()


@dataclass
class GoClient:
    """Sends what the Go SDK does. An empty token goes out as an empty header. Answers are decoded as Go does."""

    url: str
    token: str = ""

    def __post_init__(self) -> None:
        self.wire = Wire(self.url, {"User-Agent": "Go-http-client/1.1", "Accept-Encoding": "gzip"})

    def send(self, method: str, path: str, *, json: Any = None, **options: Any) -> httpx.Response:
        headers = {TOKEN_HEADER: self.token, **options.pop("headers", {})}
        response = self.wire.send(method, f"/api/v2{path}", json=json, headers=headers, **options)
        assert "accept" not in response.request.headers
        return response

    def call(self, method: str, path: str, status: int, kind: go.Kind, json: Any = None, **options: Any) -> Any:
        """The decoded answer, which has to have just that status."""
        response = self.send(method, path, json=json, **options)
        assert response.status_code == status, f"{method} {path}: {response.status_code} {response.text[:300]}"
        return go.decode(kind, response.content)

    def follow(self, path: str) -> ClientConnection:
        """The log WebSocket, which carries nothing but the cookie: no header, no subprotocol, no extension."""
        return connect(
            f"{self.url.replace('http', 'ws', 1)}/api/v2{path}?follow",
            additional_headers={"Cookie": f"{TOKEN_COOKIE}={self.token}"},
            user_agent_header="Go-http-client/1.1",
            compression=None,
            proxy=None,
            max_size=32_768,
        )

    def close(self) -> None:
        self.wire.close()
