"""Clients that send exactly the headers that real clients send. Responses must be as the OpenAPI document says."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from websockets.sync.client import ClientConnection, connect

from tests.contract import described
from tests.contract import golang as go

TOKEN_HEADER = "Coder-Session-Token"
TOKEN_COOKIE = "coder_session_token"


class Wire:
    """Sends only the given headers, ``Host`` and the body's length."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self.url = url
        self.client = httpx.Client(timeout=30)
        for name in list(self.client.headers):
            del self.client.headers[name]
        self.client.headers.update(headers)

    def send(self, method: str, path: str, *, json: Any = None, **options: Any) -> httpx.Response:
        """Send a request. ``path`` begins with a slash. Only a request with a JSON body gets a ``Content-Type``."""
        response = self.client.request(method, f"{self.url}{path}", json=json, **options)
        content_type = response.headers.get("Content-Type", "")
        sdk = "accept" not in response.request.headers
        described.check(method, path, response.status_code, content_type, response.content, sdk=sdk)
        self.client.cookies.clear()  # only callers that pass a cookie send one
        assert not response.is_redirect
        return response

    def close(self) -> None:
        self.client.close()


@dataclass
class GoClient:
    """Sends and decodes like the Go SDK. An empty token is sent as an empty header."""

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
        """Return the decoded response. Its status must be ``status``."""
        response = self.send(method, path, json=json, **options)
        assert response.status_code == status, f"{method} {path}: {response.status_code} {response.text[:300]}"
        return go.decode(kind, response.content)

    def follow(self, path: str) -> ClientConnection:
        """Open the log's WebSocket with the cookie only: no token header, no subprotocol, no extension."""
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
