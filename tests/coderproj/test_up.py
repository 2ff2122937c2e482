"""``manage.py up``, as somebody runs it."""

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
from pathlib import Path

import pytest

from coderproj.addresses import free_port, listen, url
from coderproj.stack import process_tree
from tests.coderproj.starting import ROOT, environment, get, lines_until, post, running

START_SECONDS = 60


def test_everything_comes_up_on_one_port_stops_cleanly_and_starts_again(data_dir):
    with running(data_dir) as (url, process):
        first = lines_until(process, "First user")[-1]
        status, body = get(f"{url}/api/v2/buildinfo")
        assert (status, json.loads(body)["version"].startswith("v0.15.3+")) == (200, True)
        status, page = get(f"{url}/admin/login/")
        assert (status, "csrfmiddlewaretoken" in page) == (200, True)
        assert get(f"{url}/static/admin/css/base.css")[0] == 200
        assert get(f"{url}/readyz") == (200, "OK")
        password = re.search(r"password (\S+)", first)[1]
        login = {"email": "admin@example.com", "password": password}
        assert post(f"{url}/api/v2/users/login", login)[0] == 201
        assert post(f"{url}/api/v2/users/login", {**login, "password": "wrong"})[0] == 401
        family = process_tree(process.pid)
        assert len(family) > 3
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert survivors(family) == []
    with running(data_dir) as (url, process):
        printed = lines_until(process, "Ready after")
        assert not any("First user" in line for line in printed)
        assert post(f"{url}/api/v2/users/login", login)[0] == 201


def test_the_first_user_can_come_from_the_environment(data_dir):
    secret = data_dir / "password"
    secret.write_text("from a mounted file\n")
    variables = {"CODERPROJ_ADMIN_EMAIL": "ada@example.test", "CODERPROJ_ADMIN_PASSWORD_FILE": str(secret)}
    with running(data_dir, "--no-daemon", **variables) as (url, process):
        printed = "".join(lines_until(process, "First user"))
        assert "from a mounted file" not in printed
        login = {"email": "ada@example.test", "password": "from a mounted file"}
        assert post(f"{url}/api/v2/users/login", login)[0] == 201


def test_a_killed_parent_leaves_nothing_behind_and_the_next_start_recovers(data_dir):
    with running(data_dir) as (url, process):
        lines_until(process, "First user")
        family = process_tree(process.pid)
        process.kill()
        process.wait()
        assert survivors(family) == []
    with running(data_dir, "--no-daemon") as (url, process):
        lines_until(process, "Ready after")
        assert get(f"{url}/api/v2/users/first")[0] == 200


def survivors(family: list[int], seconds: float = 10) -> list[int]:
    """Those that are still there after a moment: processes that wait for a job end when they notice that nobody will
    bring them one."""
    deadline = time.monotonic() + seconds
    while any(alive(pid) for pid in family) and time.monotonic() < deadline:
        time.sleep(0.05)
    return [pid for pid in family if alive(pid)]


def alive(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def test_a_web_server_that_dies_is_started_again(used_data_dir):
    with running(used_data_dir, "--no-daemon") as (url, process):
        lines_until(process, "Ready after")
        (web,) = [
            pid for pid in process_tree(process.pid) if b"coderproj.server" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]
        os.kill(web, signal.SIGKILL)
        lines_until(process, "started again")
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                assert get(f"{url}/healthz") == (200, "OK")
                break
            except (urllib.error.URLError, OSError):
                assert time.monotonic() < deadline
                time.sleep(0.1)


def test_a_taken_port_is_said_plainly(used_data_dir):
    with running(used_data_dir, "--no-daemon") as (url, process):
        lines_until(process, "Ready after")
        port = url.rpartition(":")[2]
        second = subprocess.run(
            [sys.executable, "manage.py", "up", "--port", port],
            cwd=ROOT,
            env=environment(used_data_dir),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert second.returncode == 1
    assert f"127.0.0.1:{port}" in second.stderr
    assert "Traceback" not in second.stderr


def addresses_of_this_machine() -> list[str]:
    """Loopback by IPv6, and an address that others reach: as far as the machine has them."""
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect(("192.0.2.1", 9))  # sends nothing
            found.append(asking.getsockname()[0])
        except OSError:
            pass
    try:
        listen("::1", 0).close()
        found.append("::1")
    except OSError:
        pass
    return found


@pytest.mark.parametrize("host", addresses_of_this_machine())
def test_it_listens_on_a_named_address_and_says_so(used_data_dir, host):
    port = free_port(host)
    with running(used_data_dir, "--no-daemon", "--host", host, "--port", str(port), PORT="0") as (_, process):
        ready = lines_until(process, "Ready after")[-1]
        shown = "http://localhost" if host == "::1" else f"http://{host}"
        assert f"{shown}:{port} " in ready
        assert get(f"{url(host, port)}/healthz") == (200, "OK")
        assert get(f"{url(host, port)}/admin/login/")[0] == 200


def test_the_access_url_follows_the_port(used_data_dir):
    with running(used_data_dir, "--no-daemon", PORT="0") as (_, process):
        port = re.search(r"http://localhost:(\d+)", lines_until(process, "Ready after")[-1])[1]
        family = process_tree(process.pid)
        (web,) = [pid for pid in family if b"coderproj.server" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        given = Path(f"/proc/{web}/environ").read_bytes().split(b"\0")
        assert f"CODERPROJ_ACCESS_URL=http://localhost:{port}".encode() in given
        assert f"PORT={port}".encode() in given


def test_a_taken_port_is_noticed_on_ipv6_as_well(data_dir):
    if "::1" not in addresses_of_this_machine():
        pytest.skip("this machine has no IPv6 loopback")
    with listen("::1", 0) as taken:
        port = taken.getsockname()[1]
        refused = subprocess.run(
            [sys.executable, "manage.py", "up", "--host", "::1", "--port", str(port)],
            cwd=ROOT,
            env=environment(data_dir),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (refused.returncode, refused.stderr.strip().splitlines()[-1]) == (
        1,
        f"CommandError: Cannot listen on [::1]:{port}: Address already in use. Set PORT.",
    )
