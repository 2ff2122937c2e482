"""Shared functions of the tests of the embedded database."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from coderproj.postgres import EmbeddedPostgres, places

ROOT = Path(__file__).resolve().parents[3]
IS_ROOT = os.geteuid() == 0
only_root = pytest.mark.skipif(not IS_ROOT, reason="about what root must do; others run the server themselves")

SUPERVISOR = """
import os, pathlib, sys, psycopg, encodings.idna
from coderproj.postgres import EmbeddedPostgres
if len(sys.argv) > 2:
    user = int(sys.argv[2])
    os.setgroups([]); os.setgid(user); os.setuid(user)
server = EmbeddedPostgres(pathlib.Path(sys.argv[1])).start()
print(server.pid, flush=True)
sys.stdin.read()
server.stop()
"""


def new_home() -> Path:
    """A folder with a short path that the server's account can enter, unlike pytest's temporary folders."""
    folder = Path(tempfile.mkdtemp(prefix="coderproj-pg-", dir=places.short_temporary_folder()))
    if IS_ROOT:
        folder.chmod(0o711)
    return folder


def copy_of(used: Path, root: Path) -> Path:
    """Copy a database to `root`, which is faster than creating one, and return `root`."""
    places.make_folder(root.parent)
    subprocess.run(["cp", "-a", used, root], check=True)
    return root


def run(server: EmbeddedPostgres, *statements: str) -> list[tuple[object, ...]]:
    """Run statements and return the rows of the last one."""
    with psycopg.connect(server.url, autocommit=True) as connection:
        for statement in statements:
            cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def wait_until(condition: Callable[[], bool], seconds: float) -> float:
    """Wait and return the seconds it took."""
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < seconds, "this took too long"
        time.sleep(0.01)
    return time.monotonic() - begin


def is_gone(pid: int) -> bool:
    """Return True if the process has ended. A zombie has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def supervise(root: Path, *user: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, root, *user],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
