"""The agent's programs at ``/bin/``."""

import hashlib
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

import httpx
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import Client

from coderproj import env
from coderproj.web.callers import Slots
from templates_app.agents import downloads
from templates_app.agents.program import agent
from templates_app.agents.views import binaries
from tests.vocabulary import wait_until

pytestmark = pytest.mark.django_db

PROGRAM = b"\x7fELF" + b"x" * 100_000


@pytest.fixture
def folder(tmp_path, settings):
    settings.AGENT_BINARIES = str(tmp_path)
    (tmp_path / "coder-linux-amd64").write_bytes(PROGRAM)
    (tmp_path / "secret").write_text("hidden")
    return tmp_path


def get(name, **headers):
    return Client().get(f"/bin/{name}", **headers)


@pytest.mark.parametrize("name", ["coder-plan9-386", "", "../secret", "coder-linux-amd64/x", "coder-windows-amd64"])
def test_names_without_programs(name):
    """AGT-40: 404 in plain text, never a page."""
    answer = get(name)
    assert (answer.status_code, answer["Content-Type"]) == (404, "text/plain; charset=utf-8")
    assert b"<" not in answer.content


@pytest.mark.parametrize("name", ["linux-amd64", "linux-arm64", "linux-armv7", "darwin-amd64", "darwin-arm64"])
def test_our_own_agent(name):
    answer = get(f"coder-{name}")
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/octet-stream")
    assert answer.content == agent()
    assert answer.content.startswith(b"#!/bin/sh\n")
    assert answer["ETag"] == f'"{hashlib.sha1(agent()).hexdigest()}"'
    unchanged = get(f"coder-{name}", HTTP_IF_NONE_MATCH=answer["ETag"])
    assert (unchanged.status_code, unchanged.content, unchanged["ETag"]) == (304, b"", answer["ETag"])
    assert Client().head(f"/bin/coder-{name}").status_code == 200


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_windows_has_no_agent_of_our_own(architecture):
    answer = get(f"coder-windows-{architecture}.exe")
    assert (answer.status_code, answer["Content-Type"]) == (404, "text/plain; charset=utf-8")
    assert "AGENT_BINARIES" in answer.content.decode()


@pytest.mark.parametrize("name", ["coder-linux-arm64", "secret", "../secret", "..%2Fsecret", "coder-linux-amd64.exe"])
def test_names_that_are_no_programs(folder, name):
    answer = get(name)
    assert (answer.status_code, answer["Content-Type"]) == (404, "text/plain; charset=utf-8")


def test_from_a_folder(folder):
    answer = get("coder-linux-amd64", HTTP_ACCEPT_ENCODING="gzip")
    assert (answer.status_code, b"".join(answer)) == (200, PROGRAM)
    assert answer["ETag"] == f'"{hashlib.sha1(PROGRAM).hexdigest()}"'
    assert (answer["Content-Type"], answer["Content-Length"]) == ("application/octet-stream", str(len(PROGRAM)))
    unchanged = get("coder-linux-amd64", HTTP_IF_NONE_MATCH=answer["ETag"])
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    with closing(Client().head("/bin/coder-linux-amd64")) as head:
        assert (head.status_code, head["ETag"]) == (200, answer["ETag"])
    assert Client().post("/bin/coder-linux-amd64").status_code in {403, 405}


def test_a_program_that_is_replaced(folder):
    with closing(get("coder-linux-amd64")) as first:
        before = first["ETag"]
    (folder / "coder-linux-amd64").write_bytes(PROGRAM + b"new")
    answer = get("coder-linux-amd64", HTTP_IF_NONE_MATCH=before)
    assert (answer.status_code, b"".join(answer)) == (200, PROGRAM + b"new")
    assert answer["ETag"] != before


def test_from_an_address(settings):
    settings.AGENT_BINARIES = "https://downloads.example/coder"
    answer = get("coder-windows-amd64.exe")
    assert (answer.status_code, answer["Location"]) == (302, "https://downloads.example/coder/coder-windows-amd64.exe")
    assert get("other").status_code == 404


def test_setting(monkeypatch, tmp_path):
    for value, expected in (("", ""), (str(tmp_path), str(tmp_path)), ("https://a.example/x/", "https://a.example/x")):
        monkeypatch.setenv("AGENT_BINARIES", value)
        assert env.location("AGENT_BINARIES") == expected
    for value in ("relative", str(tmp_path / "missing"), "ftp://a.example"):
        monkeypatch.setenv("AGENT_BINARIES", value)
        with pytest.raises(ImproperlyConfigured, match="AGENT_BINARIES"):
            env.location("AGENT_BINARIES")


def test_every_program_of_the_scripts_has_a_name():
    names = ["linux-amd64", "linux-arm64", "linux-armv7", "darwin-amd64", "darwin-arm64", "windows-amd64.exe"]
    assert all(binaries.NAME.fullmatch(f"coder-{name}") for name in (*names, "windows-arm64.exe"))


# ---------------------------------------------------------------------- from a running server
@pytest.fixture
def slots(monkeypatch):
    found = Slots(64, 64, waiting=0)
    monkeypatch.setattr(downloads, "SLOTS", found)
    yield found
    wait_until(lambda: found._free == 64)


def slow_client(stack, api):
    """Return a connection that has asked for the program and reads nothing."""
    connection = stack.enter_context(socket.socket())
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    url = httpx.URL(api.url)
    connection.connect((url.host, url.port))
    connection.sendall(b"GET /bin/coder-linux-amd64 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    return connection


def test_our_own_agent_from_a_server(live_api):
    answer = httpx.get(f"{live_api.url}/bin/coder-linux-arm64")
    assert (answer.status_code, answer.content) == (200, agent())
    assert httpx.get(str(answer.url), headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304


def test_downloads(live_api, folder, slots):
    url = f"{live_api.url}/bin/coder-linux-amd64"
    answer = httpx.get(url)
    assert (answer.status_code, answer.content) == (200, PROGRAM)
    assert answer.headers["ETag"] == f'"{hashlib.sha1(PROGRAM).hexdigest()}"'
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Length"] == str(len(PROGRAM))
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    head = httpx.head(url)
    assert (head.status_code, head.content, head.headers["Content-Length"]) == (200, b"", str(len(PROGRAM)))
    assert httpx.get(url, headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304
    (folder / "coder-linux-amd64").write_bytes(b"")
    assert httpx.get(url).content == b""


def test_slow_downloads_need_no_threads(live_api, folder, slots, settings):
    program = PROGRAM * 200
    (folder / "coder-linux-amd64").write_bytes(program)
    with ExitStack() as stack:
        for _ in range(settings.WEB_THREADS * 2):
            slow_client(stack, live_api)
        wait_until(lambda: slots._free == 64 - settings.WEB_THREADS * 2)
        assert not live_api.server.app._bridge._slots._used
        with ThreadPoolExecutor(2) as pool:
            for answer in pool.map(httpx.get, [f"{live_api.url}/bin/coder-linux-amd64"] * 2):
                assert answer.content == program
    wait_until(lambda: slots._free == 64)


def test_downloads_are_bounded(live_api, folder, monkeypatch):
    (folder / "coder-linux-amd64").write_bytes(PROGRAM * 200)
    slots = Slots(64, 2, waiting=0)
    monkeypatch.setattr(downloads, "SLOTS", slots)
    url = f"{live_api.url}/bin/coder-linux-amd64"
    with ExitStack() as stack:
        for _ in range(2):
            slow_client(stack, live_api)
        wait_until(lambda: slots._free == 62)
        refused = httpx.get(url)
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "10")
        assert refused.headers["Content-Type"] == "text/plain; charset=utf-8"
    wait_until(lambda: slots._free == 64)
    assert httpx.get(url).status_code == 200


def test_a_program_that_shrinks_while_it_is_sent_breaks_off(live_api, folder, slots):
    path = folder / "coder-linux-amd64"
    path.write_bytes(PROGRAM * 200)
    with httpx.stream("GET", f"{live_api.url}/bin/coder-linux-amd64") as answer:
        path.write_bytes(b"x")
        with pytest.raises(httpx.RemoteProtocolError):
            answer.read()
