"""Django's handler behind the bridge: when requests end, failing views, cookies."""

import io
import queue
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from django.conf import settings
from django.core import signals
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory, override_settings
from django.urls import path

from coderproj.web.dispatcher import django_handler
from coderproj.web.environ import Environ, is_gone
from coderproj.web.exchange import ignore_start
from tests.live import LiveApi


def cookies(request: HttpRequest) -> HttpResponse:
    response = HttpResponse("ok")
    response.set_cookie("first", "1")
    response.set_cookie("second", "2")
    return response


def broken(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("internals")


def leaving(request: HttpRequest) -> HttpResponse:
    raise SystemExit(3)


left: queue.SimpleQueue[bool] = queue.SimpleQueue()


def patient(request: HttpRequest) -> HttpResponse:
    """Wait for the client to disconnect, and note whether it was noticed."""
    until = time.monotonic() + 20
    while not is_gone(request.META) and time.monotonic() < until:
        time.sleep(0.01)
    left.put(is_gone(request.META))
    return HttpResponse("ok")


def present(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(is_gone(request.META)))


# Prints the names of the receivers that are left in a web process.
RECEIVERS = """
from coderproj.web import server
from django.core import signals
server.disconnect_idle_receivers()
for name, signal in (("started:", signals.request_started), ("finished:", signals.request_finished)):
    print(name, *(receiver[1]().__name__ for receiver in signal.receivers))
"""

urlpatterns = [path("api/cookies", cookies), path("api/broken", broken), path("api/leaving", leaving)]
urlpatterns += [path("api/patient", patient), path("api/present", present)]
pytestmark = pytest.mark.django_db


@pytest.fixture
def ended() -> Iterator[list[Any]]:
    """The senders of each ``request_finished`` signal."""
    senders: list[Any] = []

    def note(sender: Any, **kwargs: Any) -> None:
        senders.append(sender)

    signals.request_finished.connect(note)
    yield senders
    signals.request_finished.disconnect(note)


@pytest.fixture
def handler() -> Iterator[WSGIHandler]:
    with override_settings(ROOT_URLCONF=__name__):
        yield django_handler()


def environ(address: str) -> Environ:
    return {**RequestFactory().get(address).environ, "wsgi.input": io.BytesIO()}


def test_closing_the_response_ends_the_request(handler, ended):
    response = handler(environ("/api/cookies"), ignore_start)
    assert (response.status_code, response.content, ended) == (200, b"ok", [])
    response.close()
    assert ended == [WSGIHandler]


def test_an_exception_of_a_view_becomes_a_500_response(handler, ended):
    response = handler(environ("/api/broken"), ignore_start)
    assert response.status_code == 500
    assert b"internals" not in response.content
    response.close()
    assert ended == [WSGIHandler]


@override_settings(ROOT_URLCONF=__name__)
def test_system_exit_in_a_view_does_not_end_its_thread(live_api: LiveApi, settings: Any):
    with httpx.Client(base_url=live_api.url, trust_env=False) as client:
        for _ in range(settings.WEB_THREADS + 1):
            assert client.get("/api/leaving").status_code == 500
        assert client.get("/api/cookies").status_code == 200


def test_each_cookie_is_a_separate_header(live_api: LiveApi):
    with override_settings(ROOT_URLCONF=__name__):
        answer = httpx.get(f"{live_api.url}/api/cookies", trust_env=False)
    assert answer.headers.get_list("set-cookie") == ["first=1; Path=/", "second=2; Path=/"]


@override_settings(ROOT_URLCONF=__name__)
def test_a_view_can_ask_whether_its_client_has_gone(live_api: LiveApi):
    assert httpx.get(f"{live_api.url}/api/present", trust_env=False).text == "False"
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(f"{live_api.url}/api/patient", trust_env=False, timeout=0.3)
    assert left.get(timeout=30)


def test_only_receivers_that_do_nothing_are_disconnected():
    """Runs in a separate process, because the signals are global."""
    receivers = subprocess.run(
        [sys.executable, "-c", RECEIVERS], capture_output=True, text=True, check=True, cwd=settings.BASE_DIR
    ).stdout.split()
    assert receivers == ["started:", "finished:", "close_old_connections", "reset_urlconf"]
