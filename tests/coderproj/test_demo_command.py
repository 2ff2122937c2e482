"""``manage.py demo``."""

import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from django.db import connection

from coderproj.demo.api import ApiError
from coderproj.demo.errors import DemoFailedError
from coderproj.demo.installation import is_served_at
from coderproj.identity.models import ApiKey
from coderproj.management.commands.demo import is_fresh
from tests.coderproj.test_quickstart import PASSWORD
from tests.coderproj.up_process import ROOT, environment, lines_until, post, running
from tests.factories import make_user


def demo(data_dir: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "manage.py", "demo"],
        cwd=ROOT,
        env=environment(data_dir, **variables),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


class OtherServer(http.server.BaseHTTPRequestHandler):
    """Responds 200 to every request and records the tokens."""

    tokens: list[str] = []

    def do_GET(self) -> None:
        self.tokens.append(self.headers.get("Coder-Session-Token", ""))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"OK")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def other_server() -> Iterator[str]:
    """The address of a server of another program, which responds 200 to every request."""
    OtherServer.tokens = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), OtherServer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_server_on_the_same_database_is_recognized(live_api):
    make_user(site_roles=["owner"])
    assert is_served_at(live_api.url)
    assert not ApiKey.objects.exists()


def test_another_program_is_not_recognized_and_gets_no_valid_token(live_api, other_server):
    make_user(site_roles=["owner"])
    assert not is_served_at(other_server)
    (token,) = OtherServer.tokens
    answer = httpx.get(f"{live_api.url}/api/v2/users/me", headers={"Coder-Session-Token": token})
    assert answer.status_code == 401


@pytest.mark.terraform
def test_demo_runs_only_on_a_server_of_this_installation(data_dir, other_server):
    """With another program on the port it starts a server; with a running server of this installation it uses that.

    After it, ``make up`` and the quickstart let the same user sign in.
    """
    first = demo(data_dir, PORT=other_server.rpartition(":")[2])
    file = data_dir / "initial-password"
    with running(data_dir) as (url, process):
        assert str(file) in lines_until(process, "First user")[-1]
        login = {"email": "admin@example.com", "password": file.read_text().strip()}
        assert post(f"{url}/api/v2/users/login", login)[0] == 201
        second = demo(data_dir, PORT=url.rpartition(":")[2])
        assert f"open {url}, sign in as admin@example.com with the password in {file}" in second.stdout
    with running(data_dir, "--no-daemon", CODERPROJ_ADMIN_PASSWORD=PASSWORD) as (later, process):
        lines_until(process, "First user")
        assert post(f"{later}/api/v2/users/login", {**login, "password": PASSWORD})[0] == 201
    for finished in (first, second):
        assert finished.returncode == 0, finished.stderr
        for text in (
            "▸ Detecting persistent resources",
            "machine_type",
            "agent main",
            "app Editor",
            "daily cost 5",
            "agent main: connecting",
            "agent main: connected, version v",
            "agent main: ready",
            "agent main: disconnected",
            "Import, POST to end",
            "Succeeded: template hello",
        ):
            assert text in finished.stdout, text
        # A demonstration that runs beside this one has the port of the app.
        assert "app healthy" in finished.stdout or "Port 13337 is in use" in finished.stdout
    assert f"sign in as admin@example.com with the password in {file}" in first.stdout
    assert "/admin/" not in first.stdout
    for text in ("another installation", "Start the server for the first time", "Start the server again"):
        assert text in first.stdout, text
        assert text not in second.stdout, text
    assert "Start the server" not in second.stdout
    assert f"Using the server that runs at {url}" in second.stdout
    assert "Promote version" not in first.stdout
    assert "Promote version" in second.stdout


@pytest.mark.django_db(transaction=True)
def test_is_fresh_checks_the_configured_database(monkeypatch, settings, tmp_path):
    settings.DATA_DIR = tmp_path  # without an embedded database
    monkeypatch.setenv("DATABASE_URL", "given")
    assert not is_fresh()
    monkeypatch.setitem(connection.settings_dict, "NAME", "template1")
    assert is_fresh()
    monkeypatch.setitem(connection.settings_dict, "HOST", str(tmp_path))
    with pytest.raises(DemoFailedError, match="DATABASE_URL"):
        is_fresh()
    monkeypatch.delenv("DATABASE_URL")
    assert is_fresh()
    (tmp_path / "postgres" / "data").mkdir(parents=True)
    assert not is_fresh()


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'"text"', b'{"message": "No.", "validations": [{}]}'])
def test_api_error_reports_any_error_body(body):
    request = httpx.Request("GET", "http://127.0.0.1/api/v2/users/me")
    error = ApiError(httpx.Response(401, content=body, request=request))
    assert "GET /api/v2/users/me: status 401" in str(error)
