"""``manage.py up``: the process that starts the database and the services, and watches them.

It runs for as long as they do and mostly waits, so it works without Django's apps. The first web server prepares the
database (``prepared_server.py``); it imports its code while the database starts.
"""

import errno
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from django.conf import settings

from coderproj import env
from coderproj.base.processes import end_with_parent
from coderproj.management.stack import STARTING_SECONDS, Stack
from coderproj.postgres import EmbeddedPostgres, EmbeddedPostgresError
from coderproj.web import addresses

START_SECONDS = 60
# Seconds that a stop waits for running jobs; then they return to the queue.
DRAIN_SECONDS = 10


class ServingFailed(Exception):
    """The deployment could not be started. The message is empty if a child process has said why."""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=settings.PORT, help="port to listen on (default: %(default)s)")
    parser.add_argument("--no-daemon", action="store_true", help="run no provisioner daemon here")
    parser.add_argument("--no-worker", action="store_true", help="run no worker here: it starts and stops workspaces")
    parser.add_argument("--no-relay", action="store_true", help="run no relay here, though RELAY_URL is set")


def run(options: Namespace) -> None:
    """Start everything, and return after SIGTERM or SIGINT. Raises ServingFailed."""
    began = time.monotonic()
    port = choose_port(options.host, options.port)
    announce(options.host, port)
    try:
        with Preparation(options.host, port) as preparation, Stack(embedded_database()) as stack:
            welcome = preparation.finish(stack)
            if welcome is None:
                return
            web = ("-m", "coderproj.web.server", "--host", options.host, "--port", str(port))
            stack.add("web", *web, process=preparation.process)
            if not options.no_daemon:
                stack.add("daemon", "manage.py", "provisionerd", "--drain-seconds", str(DRAIN_SECONDS))
            stack.watch(until=Ready(addresses.local_url(options.host, port)))
            if not options.no_worker:
                stack.add("worker", "manage.py", "worker")
            if settings.RELAY_URL and not options.no_relay:
                stack.add("relay", "manage.py", "relay", "--host", options.host)
            url = addresses.shown_url(options.host, port)
            say(f"Ready after {time.monotonic() - began:.1f} s: {url} (the console)", *welcome)
            stack.watch()
            say("Stopping …")
    except EmbeddedPostgresError as error:
        raise ServingFailed(str(error)) from error


def main(arguments: Sequence[str]) -> int:
    """Run the command line. Return the exit status."""
    parser = ArgumentParser(
        prog="manage.py up",
        description="Run the database, the web server, a provisioner daemon, a worker, and with RELAY_URL a relay.",
    )
    add_arguments(parser)
    try:
        run(parser.parse_args(arguments))
    except ServingFailed as error:
        if str(error):
            sys.stderr.write(f"CommandError: {error}\n")
        return 1
    return 0


def say(*lines: str) -> None:
    """Print lines for the operator at once, also into a pipe."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


class Preparation:
    """The first web server until it has prepared the database. The block ends it unless it has."""

    def __init__(self, host: str, port: int) -> None:
        # The web servers that are started later use the same folder.
        os.environ["STATIC_ROOT"] = str(Path(settings.STATIC_ROOT or settings.DATA_DIR / "static"))
        self._channel, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                (sys.executable, "-m", "coderproj.management.prepared_server", "--host", host, "--port", str(port)),
                stdin=theirs.fileno(),
                start_new_session=True,
                preexec_fn=end_with_parent(signal.SIGTERM),  # noqa: PLW1509 - it only makes system calls
            )
        self._is_finished = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()
        if not self._is_finished:
            self._end()

    def _end(self) -> None:
        self.process.terminate()
        self.process.wait()

    def finish(self, stack: Stack) -> list[str] | None:
        """Let the process prepare the database, which is running. Return its lines for the operator, None if a signal
        stops the command meanwhile. Raises ServingFailed."""
        self._channel.sendall(f"{stack.database.url if stack.database else ''}\n".encode())
        answer = b""
        while not stack.is_stopping:
            if not select.select([self._channel], [], [], STARTING_SECONDS)[0]:
                continue
            if not (piece := self._channel.recv(1 << 16)):
                break
            answer += piece
        if stack.is_stopping:
            self._end()  # before its database
            return None
        if not answer.endswith(b"\n"):
            raise ServingFailed
        self._is_finished = True
        lines: list[str] = json.loads(answer)
        return lines


class Ready:
    """Returns True once the web server answers. Raises ServingFailed if it does not within START_SECONDS."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.deadline = time.monotonic() + START_SECONDS

    def __call__(self) -> bool:
        # localhost is always an allowed host; the address that the server listens on need not be.
        if addresses.ask(f"{self.url}/healthz", {"Host": "localhost"}) == b"OK":
            return True
        if time.monotonic() > self.deadline:
            raise ServingFailed(f"The web server did not answer at {self.url} within {START_SECONDS} s.")
        return False


def embedded_database() -> EmbeddedPostgres | None:
    """Return the server to start, None if DATABASE_URL names one."""
    return None if env.text("DATABASE_URL") else EmbeddedPostgres(settings.DATA_DIR / "postgres")


def choose_port(host: str, port: int) -> int:
    """Return ``port``, or a free port for 0. Raises ServingFailed if the port is taken or cannot be listened on."""
    try:
        with addresses.listen(host, port) as probe:
            return int(probe.getsockname()[1])
    except OSError as error:
        number = error.errno or 0
        # Failed lookups of names have numbers below zero.
        reason = os.strerror(number) if number > 0 else error.strerror or str(error)
        way_out = " Set PORT." if number == errno.EADDRINUSE else ""
        where = addresses.url(host, port).removeprefix("http://")
        raise ServingFailed(f"Cannot listen on {where}: {reason}.{way_out}") from None


def announce(host: str, port: int) -> None:
    """Pass the port, and the access URL unless the operator has set it, to the processes that are started."""
    os.environ["PORT"] = str(port)
    if not env.text("CODERPROJ_ACCESS_URL"):
        os.environ["CODERPROJ_ACCESS_URL"] = addresses.shown_url(host, port)
