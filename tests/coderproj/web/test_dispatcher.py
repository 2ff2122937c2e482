"""Django behind the ASGI server: bodies, streams, disconnecting clients, errors."""

import hashlib
import http.client
import json
import socket
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from coderproj.identity import tokens
from coderproj.web.bridge import CALLERS
from coderproj.web.threads import NoThread, Threads
from tests.factories import make_user
from tests.live import LiveApi
from tests.provisioning.log.following.urls import Endless, Upload, first_has_arrived


@pytest.fixture
def client(live_api: LiveApi, settings):
    settings.ROOT_URLCONF = "tests.provisioning.log.following.urls"
    _, token = tokens.issue(user=make_user())
    headers = {"Coder-Session-Token": token}
    # As many idle connections as a test has threads: httpcore also closes a surplus connection that another thread
    # has just received, whose read then fails or waits for ever.
    limits = httpx.Limits(max_connections=40, max_keepalive_connections=40, keepalive_expiry=None)
    base = f"{live_api.url}/api/v2"
    with httpx.Client(base_url=base, headers=headers, trust_env=False, timeout=30, limits=limits) as client:
        yield client


def resident_kilobytes() -> int:
    with Path("/proc/self/status").open() as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def raw(client: httpx.Client, text: bytes) -> socket.socket:
    """Return a connection that has sent ``text``."""
    parts = urlsplit(str(client.base_url))
    connection = socket.create_connection((parts.hostname, parts.port), timeout=10)
    connection.sendall(text)
    return connection


def head(client: httpx.Client, method: str, path: str, *more: str) -> bytes:
    lines = [f"{method} /api/v2/{path} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"Coder-Session-Token: {client.headers['Coder-Session-Token']}", *more, "", ""]
    return "\r\n".join(lines).encode()


def test_responses_have_length_and_headers_and_no_server_name(client):
    answer = client.post("/echo", json={"a": 1})
    assert answer.json() == {"data": {"a": 1}, "address": "127.0.0.1"}
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Coder-Request-Id"]
    assert "Server" not in answer.headers
    assert "Date" in answer.headers


@pytest.mark.parametrize("size", [1, 1000, 70_000, 500_000])
def test_chunked_bodies_are_read(client, size):
    body = json.dumps({"text": "x" * size}).encode()
    pieces = (body[start : start + 10_000] for start in range(0, len(body), 10_000))
    assert client.post("/echo", content=pieces).json()["data"] == {"text": "x" * size}


def test_too_long_bodies_are_rejected(client, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 200_000
    body = json.dumps("x" * 300_000).encode()
    assert client.post("/echo", content=body).status_code == 413
    assert client.post("/echo", content=iter([body])).status_code == 413


@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_upload_is_not_held_in_memory(client, chunked):
    piece = b"0123456789abcdef" * 4096
    count = 100 * 1024 * 1024 // len(piece)
    headers = {"Content-Type": "application/x-tar"}
    if not chunked:
        headers["Content-Length"] = str(count * len(piece))
    before = resident_kilobytes()
    peaks = []

    def pieces():
        for number in range(count):
            if number % 100 == 0:
                peaks.append(resident_kilobytes())
            yield piece

    answer = client.post("/upload", content=pieces(), headers=headers)
    expected = hashlib.sha256()
    for _ in range(count):
        expected.update(piece)
    assert answer.json() == {"size": count * len(piece), "sha256": expected.hexdigest()}
    assert max(peaks) - before < 20_000


@pytest.mark.parametrize("announce", ["Content-Length: 1000000", "Transfer-Encoding: chunked"])
def test_a_truncated_body_never_looks_complete(client, announce):
    Upload.ends.clear()
    sent = b"x" * 600_000 if "Length" in announce else b"92800\r\n" + b"x" * 0x92800 + b"\r\n"
    raw(client, head(client, "POST", "upload", announce) + sent).close()
    deadline = time.monotonic() + 5
    while not Upload.ends and "Length" in announce and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.2)
    assert "complete" not in Upload.ends


def test_a_streaming_response_is_sent_in_pieces(client):
    first_has_arrived.clear()
    with client.stream("GET", "/slow") as answer:
        pieces = answer.iter_raw()
        assert next(pieces) == b"first"
        first_has_arrived.set()
        assert next(pieces) == b"second"


def test_a_failing_stream_closes_the_connection(client):
    with pytest.raises(httpx.RemoteProtocolError):
        client.get("/broken")


def test_head_returns_no_body_and_starts_no_stream(client):
    answer = client.head("/endless")
    assert answer.status_code == 200
    assert answer.content == b""


def test_disconnected_clients_occupy_no_thread(client, live_api, settings):
    closed = Endless.closed
    leaving = [raw(client, head(client, "GET", "endless")) for _ in range(settings.WEB_THREADS // CALLERS)]
    for connection in leaving:
        connection.recv(100)
    for connection in leaving:
        connection.close()
    assert client.get("/echo").status_code == 200
    deadline = time.monotonic() + 5
    while Endless.closed < closed + len(leaving) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert Endless.closed == closed + len(leaving)


def test_slow_clients_occupy_no_thread(client, settings):
    slow = [
        raw(client, head(client, "POST", "echo", "Content-Length: 100") + b'{"a":')
        for _ in range(settings.WEB_THREADS * 2)
    ]
    started = time.monotonic()
    assert client.post("/echo", json={}).status_code == 200
    assert time.monotonic() - started < 30
    for connection in slow:
        connection.close()


def test_a_missing_body_is_answered_with_408(client, monkeypatch):
    monkeypatch.setattr("coderproj.web.bodies.GRACE", 0.2)
    connection = raw(client, head(client, "POST", "echo", "Content-Length: 100") + b'{"a":')
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    assert answer.status == 408
    assert json.loads(answer.read())["message"]
    assert uuid.UUID(answer.headers["X-Coder-Request-Id"])
    answer.close()
    connection.close()


def test_errors_are_json_and_reveal_no_internals(client):
    client.headers["Accept"] = "text/html"
    for path, status in (("/crash", 500), ("/nothing", 404)):
        answer = client.get(path)
        assert answer.status_code == status
        if path == "/crash":
            assert answer.json()["message"]
        assert "internals" not in answer.text


def test_exceptions_outside_django_become_the_error_envelope(client, monkeypatch, live_api):
    def broken(environ, start_response):
        raise RuntimeError("internals")

    monkeypatch.setattr(live_api.server.app._bridge, "handler", broken)
    answer = client.get("/echo")
    assert answer.status_code == 500
    assert answer.headers["X-Coder-Request-Id"]
    assert "internals" not in answer.text
    assert answer.json()["message"]


def test_a_missing_thread_is_answered_with_503(client, monkeypatch):
    async def refuse(threads: Threads, function: object) -> None:
        raise NoThread("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(Threads, "run", refuse)
        answer = client.post("/echo", json={})
    assert answer.status_code == 503
    assert answer.json()["message"] == "The server has no thread for this request."
    assert client.post("/echo", json={}).status_code == 200


def test_headers_with_underscores_are_dropped(client):
    connection = raw(client, head(client, "GET", "echo?a=%C3%A4", "X_Spoof: 1", "X-Spoof-Not: 2", "Connection: close"))
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    body = answer.read()
    assert answer.status == 200, body
    assert json.loads(body) == {"query": {"a": "ä"}, "headers": ["HTTP_X_SPOOF_NOT"]}
    answer.close()
    connection.close()


def test_malformed_requests_get_the_error_envelope(client):
    for text in (b"nonsense\r\n\r\n", b"GET /api/v2/echo?a=\xff HTTP/1.1\r\nHost: x\r\n\r\n"):
        connection = raw(client, text)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 400
        assert json.loads(answer.read())["message"]
        assert uuid.UUID(answer.headers["X-Coder-Request-Id"])
        answer.close()
        connection.close()


def test_concurrent_requests_return_their_database_connections(client):
    """There are more clients than database connections."""
    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda number: client.post("/echo", json={"n": number}), range(400)))
    assert [answer.json()["data"]["n"] for answer in answers] == list(range(400))
    assert threading.active_count() < 150
