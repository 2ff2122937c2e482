"""A real server for tests: ``live_api`` serves the ASGI application on loopback, with the test database."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from coderproj.web.server import Server
    from provisioning.log.following.hub import Hub


class LiveApi:
    """``url`` and ``ws_url`` have no trailing slash. ``hub`` belongs to the server's event loop: only read it."""

    def __init__(self, server: "Server") -> None:
        self.server = server
        self.url = server.url
        self.ws_url = server.url.replace("http", "ws", 1)

    @property
    def hub(self) -> "Hub":
        from provisioning.log.following.hub import Hub

        return self.server.app.services[Hub.key]

    def wait_for_streams(self, count: int, seconds: float = 30) -> None:
        """Wait until that many streams are open."""
        deadline = time.monotonic() + seconds
        while self.hub.streams != count:
            assert time.monotonic() < deadline, f"{self.hub.streams} streams are open, not {count}"
            time.sleep(0.01)


@pytest.fixture(scope="session")
def _running_server(django_db_setup, django_db_blocker) -> Iterator[LiveApi]:
    from coderproj.web.server import Server

    with django_db_blocker.unblock():
        server = Server()
        with server.in_thread():
            yield LiveApi(server)


@pytest.fixture
def live_api(transactional_db, _running_server: LiveApi) -> Iterator[LiveApi]:
    """The server shared by all tests. Waits for open streams to end before the rows of the test are deleted."""
    yield _running_server
    _running_server.wait_for_streams(0)
    assert not len(_running_server.hub.waiters)
