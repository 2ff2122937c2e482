"""Django's handler for the web server, and its way through the bridge."""

import io
from collections.abc import Iterator
from typing import Any

import pytest
from django.core import signals
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory, override_settings
from django.urls import path

from coderproj.web.bridge import Environ
from coderproj.web.handler import Handler


def cookies(request: HttpRequest) -> HttpResponse:
    response = HttpResponse("ok")
    response.set_cookie("first", "1")
    response.set_cookie("second", "2")
    return response


def broken(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("internals")


def leaving(request: HttpRequest) -> HttpResponse:
    raise SystemExit(3)


urlpatterns = [path("api/cookies", cookies), path("api/broken", broken), path("api/leaving", leaving)]
pytestmark = pytest.mark.django_db


@pytest.fixture
def ended() -> Iterator[list[Any]]:
    """The senders of each request's end."""
    senders: list[Any] = []

    def note(sender: Any, **kwargs: Any) -> None:
        senders.append(sender)

    signals.request_finished.connect(note)
    yield senders
    signals.request_finished.disconnect(note)


@pytest.fixture
def handler() -> Iterator[Handler]:
    with override_settings(ROOT_URLCONF=__name__):
        yield Handler()


def environ(address: str) -> Environ:
    return {**RequestFactory().get(address).environ, "wsgi.input": io.BytesIO()}


def test_a_request_ends_when_its_response_is_closed(handler, ended):
    response = handler(environ("/api/cookies"))
    assert (response.status_code, response.content, ended) == (200, b"ok", [])
    response.close()
    assert ended == [Handler]


def test_a_fault_of_a_view_is_an_answer(handler, ended):
    response = handler(environ("/api/broken"))
    assert response.status_code == 500
    assert b"internals" not in response.content
    response.close()
    assert ended == [Handler]


def test_a_view_that_leaves_has_ended_its_request(handler, ended):
    with pytest.raises(SystemExit):
        handler(environ("/api/leaving"))
    assert ended == [Handler]


def test_each_cookie_is_a_header_of_its_own(live_api, monkeypatch):
    import httpx

    with override_settings(ROOT_URLCONF=__name__):
        answer = httpx.get(f"{live_api.url}/api/cookies")
    assert answer.headers.get_list("set-cookie") == ["first=1; Path=/", "second=2; Path=/"]
