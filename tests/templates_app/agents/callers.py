"""Agents as callers of the API."""

import json
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Self

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from provisioning.engine.base import BuildResult
from tests.contract.described import DescribedApiClient


class AgentClient(DescribedApiClient):
    """Sends what an agent sends: its token, and no Accept header. ``cookie=True`` sends the token as the cookie."""

    def __init__(self, token: str, *, cookie: bool = False) -> None:
        super().__init__(accept=None)
        if cookie:
            self.client.cookies["coder_session_token"] = token
        else:
            self.headers["HTTP_CODER_SESSION_TOKEN"] = token

    def report(self, **numbers: Any) -> Any:
        """Report traffic, by default a little."""
        return self.post("workspaceagents/me/report-stats", {"rx_bytes": 1, "tx_bytes": 2, **numbers})


def with_token(built: BuildResult, token: str) -> BuildResult:
    """Return the result of a build with another token of its agents."""
    agents = tuple(replace(agent, auth_token=token) for agent in built.resources[0].agents)
    return replace(built, resources=(replace(built.resources[0], agents=agents),))


def node(number: int, **fields: Any) -> dict[str, Any]:
    """Return a node as agents and clients send it."""
    return {
        "id": number,
        "as_of": "2026-01-02T03:04:05Z",
        "key": f"nodekey:{number % 2**63:064x}",
        "disco": f"discokey:{number % 2**63:064x}",
        "preferred_derp": 0,
        "derp_latency": None,
        "addresses": ["fd7a:115c:a1e0:49d6:b259:b7ac:b1b2:48f4/128"],
        "allowed_ips": ["fd7a:115c:a1e0:49d6:b259:b7ac:b1b2:48f4/128"],
        "endpoints": ["10.0.0.5:41641"],
        **fields,
    }


class Socket:
    """A WebSocket of an agent or a client. Use it as a context manager."""

    def __init__(self, url: str, token: str, *, cookie: bool = True) -> None:
        name = "Cookie" if cookie else "Coder-Session-Token"
        value = f"coder_session_token={token}" if cookie else token
        self._connecting = partial(connect, url, proxy=None, additional_headers={name: value}, max_size=32_768)

    def __enter__(self) -> Self:
        self._context = self._connecting()
        self.connection = self._context.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._context.__exit__(None, None, None)

    def send(self, *nodes: dict[str, Any]) -> None:
        self.connection.send("".join(map(json.dumps, nodes)).encode())

    def receive(self) -> list[int]:
        """Return the ids of the nodes in the next array."""
        message = self.connection.recv(timeout=10)
        assert isinstance(message, bytes)
        return [found["id"] for found in json.loads(message)]

    def until(self, number: int) -> None:
        """Receive until a node with this id comes."""
        while number not in self.receive():
            pass

    def closed_with(self) -> int:
        """Wait until the server has closed the socket, and return the code."""
        with suppress(ConnectionClosed):
            while True:
                self.connection.recv(timeout=10)
        return self.connection.close_code


def refusal(url: str, token: str) -> Any:
    """Return the response with which the server refuses a WebSocket."""
    with pytest.raises(InvalidStatus) as refused, Socket(url, token):
        pass
    return refused.value.response
