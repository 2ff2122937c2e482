"""Clients that are slow, greedy or gone hold neither threads nor connections nor memory."""

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator

import httpx
import pytest
from django.conf import settings
from django.db import OperationalError
from websockets.sync.client import connect as connect_websocket

from coderproj.web import protocols
from coderproj.web.bridge import BODIES_PER_CALLER
from coderproj.web.callers import Slots
from tests.coderproj.web.test_dispatcher import client, head  # noqa: F401 - a fixture
from tests.factories import make_organization, make_user, make_version
from tests.provisioning.log.following.urls import Endless, Patient
from tests.vocabulary import wait_until


def answer_of(connection: socket.socket) -> tuple[int, str]:
    """Return status and message of the response; the server must close the connection."""
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    message = json.loads(answer.read())["message"]
    assert answer.headers["Connection"] == "close"
    assert connection.recv(1) == b""
    return answer.status, message


def of_stranger(path: str, *headers: str, body: bytes = b"") -> bytes:
    """Return a POST without credentials."""
    lines = [f"POST /api/v2/{path} HTTP/1.1", "Host: 127.0.0.1", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@pytest.fixture
def connect(client) -> Iterator[Callable[..., socket.socket]]:  # noqa: F811
    """``connect(data)`` returns a connection that has sent it. All are closed at the end."""
    with contextlib.ExitStack() as stack:

        def connect(data: bytes, receive_buffer: int = 0) -> socket.socket:
            connection = stack.enter_context(socket.socket())
            if receive_buffer:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            connection.settimeout(10)
            connection.connect((client.base_url.host, client.base_url.port))
            connection.sendall(data)
            return connection

        yield connect


def wait_for_slots(slots: Slots, *, used: int, waiting: int = 0) -> None:
    """Wait until that many slots are used, and that many requests wait for one."""

    def counted() -> bool:
        queues = list(slots._waiting.values())
        return (sum(list(slots._used.values())), sum(map(len, queues))) == (used, waiting)

    wait_until(counted, what=f"{used} used slots and {waiting} waiting requests")


# ---------------------------------------------------------------------- heads
@pytest.mark.promise("A13")
@pytest.mark.parametrize("sent", [b"", b"GET /api/v2/echo HTTP/1.1\r\nHost: x\r\nX-A: ", b"\r\n"])
def test_a_head_has_a_deadline(client, monkeypatch, sent, connect):  # noqa: F811
    monkeypatch.setattr(protocols, "HEAD_SECONDS", 0.3)
    connection = connect(sent)
    if sent.startswith(b"GET"):
        assert answer_of(connection) == (408, "The head of the request did not arrive in time.")
    else:
        connection.settimeout(5)
        assert connection.recv(100)[:12] in (b"", b"HTTP/1.1 408")


@pytest.mark.parametrize("sent", [b"GET /api/v2/echo HTTP/1.1\r\n", b"\r\n"])
def test_the_head_of_a_further_request_has_a_deadline(client, monkeypatch, sent, connect):  # noqa: F811
    connection = connect(head(client, "GET", "echo"))
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    assert answer.status == 200
    answer.read()
    monkeypatch.setattr(protocols, "HEAD_SECONDS", 0.3)
    connection.sendall(sent)
    assert connection.recv(12) == b"HTTP/1.1 408"


def test_a_long_head_is_refused(client, connect):  # noqa: F811
    connection = connect(b"GET /api/v2/echo HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * protocols.HEAD_BYTES)
    assert answer_of(connection) == (431, "The head of the request is too long.")


# ---------------------------------------------------------------------- bodies
@pytest.mark.promise("A1")
@pytest.mark.parametrize("path", ["echo", "upload", "endless"])
@pytest.mark.parametrize("announce", ["Content-Length: 1000000", "Transfer-Encoding: chunked"])
def test_strangers_who_announce_long_bodies_hold_no_thread(client, settings, path, announce, connect):  # noqa: F811
    """No body is awaited from a caller who may not send it, and none is read on a thread."""
    held = [
        connect(of_stranger(path, announce, "Content-Type: application/json", body=b"1\r\n1\r\n"))
        for _ in range(settings.WEB_THREADS + 4)
    ]
    assert client.post("/echo", json={"a": 1}).status_code == 200
    if "Length" in announce:
        statuses = {answer_of(connection)[0] for connection in held}
        assert statuses == {401}


@pytest.mark.promise("A1")
def test_a_long_chunked_body_of_a_stranger_is_refused(client, connect):  # noqa: F811
    connection = connect(of_stranger("echo", "Transfer-Encoding: chunked", "Content-Type: application/json"))
    with contextlib.suppress(ConnectionError):
        for _ in range(40):
            connection.sendall(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")
    assert connection.recv(12) in (b"HTTP/1.1 401", b"HTTP/1.1 413")


@pytest.mark.promise("A1")
@pytest.mark.parametrize("announced", [100, 500_000])
def test_a_body_has_a_least_rate(client, monkeypatch, announced, connect):  # noqa: F811
    monkeypatch.setattr("coderproj.web.bodies.GRACE", 0.5)
    headers = (f"Content-Length: {announced}", "Content-Type: application/x-tar")
    connection = connect(head(client, "POST", "upload", *headers))
    began = time.monotonic()
    with contextlib.suppress(ConnectionError):
        while time.monotonic() - began < 3:  # each piece arrives in time, the body does not
            connection.sendall(b"x")
            time.sleep(0.1)
    assert answer_of(connection) == (408, "The request body did not arrive in time.")


def test_only_files_are_as_long_as_uploads(client):  # noqa: F811
    long = b" " * (settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
    assert client.post("/echo", content=long, headers={"Content-Type": "application/json"}).status_code == 413
    answer = client.post("/upload", content=long, headers={"Content-Type": "application/x-tar"})
    assert answer.json()["size"] == len(long)


def test_an_expected_continue_comes_only_for_callers_who_may_send(client, connect):  # noqa: F811
    headers = ("Content-Length: 1000000", "Content-Type: application/x-tar", "Expect: 100-continue")
    assert connect(of_stranger("upload", *headers)).recv(12) == b"HTTP/1.1 401"
    assert connect(head(client, "POST", "upload", *headers)).recv(12) == b"HTTP/1.1 100"


# ---------------------------------------------------------------------- threads
@pytest.mark.promise("S19")
def test_a_caller_cannot_take_all_threads(client, live_api, settings, connect):  # noqa: F811
    """Its further requests wait; another caller is served."""
    assert client.get("/echo").status_code == 200  # a proven token identifies the user
    slots = live_api.server.app._bridge._slots
    endless = [connect(head(client, "GET", "endless")) for _ in range(settings.WEB_THREADS * 2)]
    wait_for_slots(slots, used=slots._per_caller, waiting=len(endless) - slots._per_caller)
    assert httpx.get(f"{client.base_url}echo", timeout=5).status_code == 401  # another caller, by its address
    for connection in endless:
        connection.close()
    assert client.get("/echo").status_code == 200


@pytest.mark.promise("S19")
def test_a_client_that_does_not_read_holds_no_thread(client, monkeypatch, connect):  # noqa: F811
    monkeypatch.setattr("coderproj.web.bodies.OUTBOX_BYTES", 20_000)
    monkeypatch.setattr("coderproj.web.bodies.MEMORY", 10_000)
    monkeypatch.setattr(protocols, "STALL", 0.5)
    closed = Endless.closed
    connect(head(client, "GET", "flood"), 4096)
    wait_until(lambda: Endless.closed > closed, what="the end of the stream")
    assert Endless.closed == closed + 1


def test_a_thread_is_free_before_a_slow_client_has_read_its_response(client, settings, connect):  # noqa: F811
    """A long response waits in a file for its client."""
    readers = [connect(head(client, "GET", "long"), 4096) for _ in range(settings.WEB_THREADS * 2)]
    assert client.get("/echo").status_code == 200
    sizes = []

    def read_all(connection: socket.socket) -> None:
        received = b""
        while not received.endswith(b"0\r\n\r\n"):
            received += connection.recv(1 << 20)
        sizes.append(received.partition(b"\r\n\r\n")[2].count(b"y"))

    threads = [threading.Thread(target=read_all, args=[connection]) for connection in readers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sizes == [5_000_000] * len(readers)


@pytest.mark.promise("S19")
def test_long_work_learns_that_its_client_has_gone(client, connect):  # noqa: F811
    Patient.ends.clear()
    Patient.begun.clear()
    connection = connect(head(client, "GET", "patient"))
    assert Patient.begun.wait(10)
    connection.close()
    wait_until(lambda: Patient.ends)
    assert Patient.ends == ["gone"]


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_is_whole_although_its_caller_waited_for_a_thread(client, live_api, connect, chunked):  # noqa: F811
    assert client.get("/echo").status_code == 200
    slots = live_api.server.app._bridge._slots
    endless = [connect(head(client, "GET", "endless")) for _ in range(slots._per_caller)]
    wait_for_slots(slots, used=len(endless))
    body = b"0123456789abcdef" * 20_000
    announce = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
    connection = connect(head(client, "POST", "upload", "Content-Type: application/x-tar", announce))
    connection.sendall(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if chunked else body)
    wait_for_slots(slots, used=len(endless), waiting=1)
    for one in endless:
        one.close()
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    assert (answer.status, json.loads(answer.read())["size"]) == (200, len(body))


def test_a_caller_sends_a_bounded_number_of_long_bodies_at_once(client, live_api, connect):  # noqa: F811
    assert client.get("/echo").status_code == 200
    bodies = live_api.server.app._bridge._bodies
    begin = head(client, "POST", "upload", "Content-Type: application/x-tar", "Content-Length: 1000000") + b"x"
    held = [connect(begin) for _ in range(BODIES_PER_CALLER)]
    wait_for_slots(bodies, used=BODIES_PER_CALLER)
    assert answer_of(connect(begin)) == (429, "You are sending too many long requests at once. Try again later.")
    for connection in held:
        connection.close()
    wait_for_slots(bodies, used=0)
    assert client.post("/upload", content=b"x" * 100_000, headers={"Content-Type": "application/x-tar"}).json()["size"]


def test_an_unavailable_database_is_503_for_long_bodies(client, monkeypatch):  # noqa: F811
    def fail(environ: object) -> int:
        raise OperationalError("the database is away")

    monkeypatch.setattr("coderproj.web.callers.allowance", fail)
    answer = client.post("/upload", content=b"x" * 100_000, headers={"Content-Type": "application/x-tar"})
    assert (answer.status_code, answer.json()["message"]) == (503, "The database is unavailable. Try again.")


def test_a_websocket_outlives_the_deadline_for_heads(client, live_api, monkeypatch):  # noqa: F811
    monkeypatch.setattr(protocols, "HEAD_SECONDS", 0.3)
    job = make_version(user=make_user(), organization=make_organization(), finished=False).job
    url = f"{live_api.ws_url}/api/v2/jobs/{job.pk}/logs?follow"
    headers = {"Coder-Session-Token": client.headers["Coder-Session-Token"]}
    with connect_websocket(url, additional_headers=headers, proxy=None) as websocket:
        with pytest.raises(TimeoutError):
            websocket.recv(1)
        websocket.ping().wait(5)


def test_pipelined_requests_are_not_taken_for_a_long_head(client, connect):  # noqa: F811
    body = json.dumps({"text": "x" * 60_000}).encode()
    post = head(client, "POST", "echo", "Content-Type: application/json", f"Content-Length: {len(body)}") + body
    connection = connect(post + post + b"GET /api/v2/echo HT")
    with connection.makefile("rb") as stream:  # one buffer: both responses may arrive in one piece
        for _ in range(2):
            assert stream.readline().startswith(b"HTTP/1.1 200 ")
            length = int(http.client.parse_headers(stream)["Content-Length"])
            assert len(stream.read(length)) == length
