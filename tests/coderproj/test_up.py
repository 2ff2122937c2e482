"""``manage.py up``."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from coderproj.base.processes import descendants
from coderproj.web.addresses import free_port, listen, url
from tests.coderproj.conftest import FIRST_USER
from tests.coderproj.up_process import ROOT, environment, get, lines_until, post, running

START_SECONDS = 60


def test_start_stop_and_restart_on_one_port(data_dir):
    with running(data_dir) as (url, process):
        first = lines_until(process, "First user")[-1]
        status, body = get(f"{url}/api/v2/buildinfo")
        assert (status, json.loads(body)["version"].startswith("v0.15.3+")) == (200, True)
        status, page = get(f"{url}/admin/login/")
        assert (status, "csrfmiddlewaretoken" in page) == (200, True)
        assert get(f"{url}/static/admin/css/base.css")[0] == 200
        assert get(f"{url}/readyz") == (200, "OK")
        password = Path(re.search(r"password in (\S+)\.$", first)[1]).read_text().strip()
        login = {"email": "admin@example.com", "password": password}
        assert post(f"{url}/api/v2/users/login", login)[0] == 201
        assert post(f"{url}/api/v2/users/login", {**login, "password": "wrong"})[0] == 401
        tree = [process.pid, *descendants(process.pid)]
        assert len(tree) > 3
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert survivors(tree) == []
    with running(data_dir, "--no-daemon") as (url, process):
        printed = lines_until(process, "Ready after")
        assert "First user" not in "".join(printed)
        assert lines_until(process, "First user")[-1] == first
        assert post(f"{url}/api/v2/users/login", login)[0] == 201


def test_killed_parent_leaves_no_processes_and_the_next_start_recovers(used_data_dir):
    with running(used_data_dir) as (url, process):
        lines_until(process, "Ready after")
        tree = [process.pid, *descendants(process.pid)]
        process.kill()
        process.wait()
        assert survivors(tree) == []
    with running(used_data_dir, "--no-daemon") as (url, process):
        lines_until(process, "Ready after")
        assert get(f"{url}/api/v2/users/first")[0] == 200


def survivors(pids: list[int], seconds: float = 40) -> list[int]:
    """Wait for the processes to end and return those that still run. Idle runners end only when they notice that their
    parent is dead."""
    deadline = time.monotonic() + seconds
    while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    return [pid for pid in pids if alive(pid)]


def alive(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def outer_address() -> str:
    """Return an external address of this machine, or the loopback address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        try:
            udp.connect(("192.0.2.1", 9))  # sends nothing
            return udp.getsockname()[0]
        except OSError:
            return "127.0.0.1"


OUTER = outer_address()


def has_ipv6() -> bool:
    try:
        listen("::1", 0).close()
    except OSError:
        return False
    return True


@dataclass
class Served:
    process: "subprocess.Popen[str]"
    data_dir: Path
    ready: str

    @property
    def port(self) -> int:
        return int(re.search(r"http://[^/ ]+:(\d+) ", self.ready)[1])

    @property
    def url(self) -> str:
        return url(OUTER, self.port)

    @property
    def web(self) -> int:
        """The pid of the web server."""
        return web_of(self.process)


@pytest.fixture(scope="module")
def served(used_module_dir) -> Iterator[Served]:
    """A server shared by several tests, on a free port of the external address, with an existing first user."""
    with running(used_module_dir, "--no-daemon", "--host", OUTER, PORT="0") as (_, process):
        ready = lines_until(process, "Ready after")[-1]
        yield Served(process, used_module_dir, ready)


def web_of(process):
    programs = (b"coderproj.management.prepared_server", b"coderproj.web.server")
    (web,) = [
        pid
        for pid in descendants(process.pid)
        if any(program in Path(f"/proc/{pid}/cmdline").read_bytes() for program in programs)
    ]
    return web


def assert_address(process, ready, host, port):
    """Check that the address is printed, reachable, and in the environment of the web server."""
    shown = f"{'http://localhost' if host in ('::1', '127.0.0.1') else f'http://{host}'}:{port}"
    assert f"{shown} " in ready
    assert get(f"{url(host, port)}/healthz") == (200, "OK")
    assert get(f"{url(host, port)}/admin/login/")[0] == 200
    given = Path(f"/proc/{web_of(process)}/environ").read_bytes().split(b"\0")
    assert f"CODERPROJ_ACCESS_URL={shown}".encode() in given
    assert f"PORT={port}".encode() in given


def test_listens_on_an_external_address_and_a_free_port(served):
    assert_address(served.process, served.ready, OUTER, served.port)


def test_listens_on_ipv6(used_data_dir):
    if not has_ipv6():
        pytest.skip("this machine has no IPv6 loopback")
    port = free_port("::1")
    with running(used_data_dir, "--no-daemon", "--host", "::1", "--port", str(port), PORT="0") as (_, process):
        assert_address(process, lines_until(process, "Ready after")[-1], "::1", port)


def test_first_user_from_the_environment(served, first_start):
    printed = (first_start / "printed").read_text()
    assert "First user" in printed
    assert FIRST_USER["password"] not in printed
    assert post(f"{served.url}/api/v2/users/login", FIRST_USER)[0] == 201


def test_killed_web_server_is_restarted(served):
    os.kill(served.web, signal.SIGKILL)
    lines_until(served.process, "started again")
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            assert get(f"{served.url}/healthz") == (200, "OK")
            break
        except (urllib.error.URLError, OSError):
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_the_database_can_be_named_in_a_file(data_dir, tmp_path):
    server = os.environ["DATABASE_URL"]
    name = f"up_{os.getpid()}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        try:
            secret = tmp_path / "database-url"
            secret.write_text(f"{urlsplit(server)._replace(path=f'/{name}').geturl()}\n")
            with running(data_dir, "--no-daemon", "--no-worker", DATABASE_URL_FILE=str(secret)) as (url, process):
                lines_until(process, "First user")
                assert get(f"{url}/readyz") == (200, "OK")
                with psycopg.connect(secret.read_text().strip()) as own:
                    assert own.execute("SELECT count(*) FROM identity_user").fetchone() == (1,)
            assert not (data_dir / "postgres").exists()
        finally:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def test_used_port_is_reported(served):
    second = subprocess.run(
        [sys.executable, "manage.py", "up", "--host", OUTER, "--port", str(served.port)],
        cwd=ROOT,
        env=environment(served.data_dir),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert second.returncode == 1
    assert f"{OUTER}:{served.port}" in second.stderr
    assert "Traceback" not in second.stderr


def test_used_port_on_ipv6_is_reported(data_dir):
    if not has_ipv6():
        pytest.skip("this machine has no IPv6 loopback")
    with listen("::1", 0) as taken:
        port = taken.getsockname()[1]
        result = subprocess.run(
            [sys.executable, "manage.py", "up", "--host", "::1", "--port", str(port)],
            cwd=ROOT,
            env=environment(data_dir),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (result.returncode, result.stderr.strip().splitlines()[-1]) == (
        1,
        f"CommandError: Cannot listen on [::1]:{port}: Address already in use. Set PORT.",
    )
