"""``manage.py up`` and ``manage.py demo``, as somebody runs them."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from coderproj.stack import free_port, process_tree

ROOT = Path(__file__).parents[2]
START_SECONDS = 60


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A folder that the database's account can reach, also when we are root."""
    with tempfile.TemporaryDirectory(prefix="coderproj-up-") as folder:
        path = Path(folder)
        path.chmod(0o711 if os.geteuid() == 0 else 0o700)
        yield path


def environment(data_dir: Path, **variables: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "PORT"}}
    return {**kept, "CODERPROJ_DATA_DIR": str(data_dir), **variables}


@contextmanager
def running(data_dir: Path, *arguments: str, **variables: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A server of our own; yields its address and its process, and stops it."""
    port = free_port()
    with subprocess.Popen(
        [sys.executable, "manage.py", "up", *arguments],
        cwd=ROOT,
        env=environment(data_dir, PORT=str(port), **variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield f"http://127.0.0.1:{port}", process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(30)


def lines_until(process: subprocess.Popen[str], pattern: str) -> list[str]:
    """What the process prints, up to a line with the pattern."""
    lines: list[str] = []
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line)
        if re.search(pattern, line):
            return lines
    raise AssertionError("".join(lines))


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def post(url: str, body: dict[str, str]) -> tuple[int, dict[str, str]]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


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


def test_a_web_server_that_dies_is_started_again(data_dir):
    with running(data_dir, "--no-daemon") as (url, process):
        lines_until(process, "First user")
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


def test_a_taken_port_is_said_plainly(data_dir):
    with running(data_dir, "--no-daemon") as (url, process):
        lines_until(process, "Ready after")
        port = url.rpartition(":")[2]
        second = subprocess.run(
            [sys.executable, "manage.py", "up", "--port", port],
            cwd=ROOT,
            env=environment(data_dir),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert second.returncode == 1
    assert f"127.0.0.1:{port}" in second.stderr
    assert "Traceback" not in second.stderr


@pytest.mark.terraform
def test_the_demonstration_shows_the_main_job(data_dir):
    for run in ("first", "second"):
        finished = subprocess.run(
            [sys.executable, "manage.py", "demo"],
            cwd=ROOT,
            env=environment(data_dir, PORT=str(free_port())),
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert finished.returncode == 0, finished.stderr
        for text in (
            "▸ Detecting persistent resources",
            "machine_type",
            "agent main",
            "app Editor",
            "daily cost 5",
            "Import, POST to end",
            "Succeeded: template hello",
        ):
            assert text in finished.stdout, text
        assert ("First user" in finished.stdout) == (run == "first")
        assert ("Promote version" in finished.stdout) == (run == "second")
