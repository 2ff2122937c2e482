"""`python -m coderproj.postgres --data FOLDER -- COMMAND …`: runs a command with the embedded database.

The command gets the database in DATABASE_URL and the server's programs (psql, pg_dump) on PATH. When it ends, the
server is stopped. The exit status is that of the command (128 plus the signal's number if a signal ended it).
"""

import argparse
import fcntl
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

from coderproj.base.processes import end_with_parent
from coderproj.postgres.errors import EmbeddedPostgresError
from coderproj.postgres.server import EmbeddedPostgres

THROWAWAY = "coderproj-test-"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m coderproj.postgres", description=__doc__.splitlines()[0])
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--data", type=Path, metavar="FOLDER", help="the database's folder; created if missing")
    where.add_argument("--test", action="store_true", help="a fast temporary database, removed afterwards")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND …")
    options = parser.parse_args(arguments)
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        parser.error("the command to run is missing: -- COMMAND …")
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGHUP, _leave)
    root = _throwaway_root() if options.test else options.data
    try:
        with EmbeddedPostgres(root, fast_and_unsafe=options.test) as server:
            return _run(command, server)
    except EmbeddedPostgresError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        if options.test:
            shutil.rmtree(root, ignore_errors=True)


def _run(command: list[str], server: EmbeddedPostgres) -> int:
    """Run `command`, watch the server and forward termination signals to the command."""
    path = f"{server.bin}:{os.environ.get('PATH', os.defpath)}"
    child: subprocess.Popen[bytes] | None = None
    early: list[int] = []

    def pass_on(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            return  # a terminal sends Ctrl-C to the command as well
        if child is None:
            early.append(number)
        else:
            child.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, pass_on)
    try:
        child = subprocess.Popen(
            command,
            env={**os.environ, "DATABASE_URL": server.url, "PATH": path},
            preexec_fn=end_with_parent(signal.SIGTERM),  # noqa: PLW1509 - it only makes system calls
        )
    except OSError as error:
        print(f"error: cannot run {command[0]}: {error.strerror}", file=sys.stderr)
        return 127
    try:
        for missed in early:
            child.send_signal(missed)
        while True:
            try:
                status = child.wait(timeout=1)
                return status if status >= 0 else 128 - status
            except subprocess.TimeoutExpired:
                server.poll()
    finally:
        if child.poll() is None:
            child.terminate()
            child.wait()


def _leave(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _throwaway_root() -> Path:
    """Create the folder of a temporary database. Removes the folders of killed runs."""
    for left in Path(tempfile.gettempdir()).glob(f"{THROWAWAY}*"):
        # Another run can remove a folder at the same time, or its owner still uses it (BlockingIOError).
        with suppress(OSError):
            if left.stat().st_uid == os.geteuid() and (left / "data").exists():
                with (left / "lock").open() as lock:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(left, ignore_errors=True)
    root = Path(tempfile.mkdtemp(prefix=THROWAWAY))
    if os.geteuid() == 0:
        root.chmod(0o711)  # the server's account must be able to enter it
    return root


if __name__ == "__main__":
    sys.exit(main())
