"""The embedded database: start, stop and crashes, with real servers in separate folders."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from coderproj.postgres import EmbeddedPostgres, EmbeddedPostgresError, places
from coderproj.postgres.processes import server_processes
from tests.coderproj.postgres.servers import (
    is_gone,
    run,
    supervise,
    wait_until,
)

# ------------------------------------------------------------------ start and stop


def test_a_new_server_has_the_database_and_listens_only_on_a_private_socket(
    home: Path,
    make: Callable[..., EmbeddedPostgres],
) -> None:
    server = make(home / "pg", fast_and_unsafe=False).start()
    assert server.url == f"postgresql://app@/coderproj?host={server.root}/run"
    shown = "SELECT current_database(), current_user, current_setting('listen_addresses'), lower('Ä'), {}"
    durable = "current_setting('fsync'), current_setting('synchronous_commit')"
    assert run(server, shown.format(durable)) == [("coderproj", "app", "", "ä", "on", "on")]
    with psycopg.connect(server.dsn) as connection:
        assert connection.info.dbname == "coderproj"
    assert (server.root / "run").stat().st_mode & 0o777 == 0o700
    assert (server.root / "data").stat().st_uid == (server.root / "run").stat().st_uid
    pid = server.pid
    assert pid in server_processes(server.data)
    server.stop()
    assert server.pid is None
    assert server_processes(server.data) == []
    assert not list((server.root / "run").iterdir())


def test_the_second_start_is_fast_and_keeps_the_data(used: Path, make: Callable[..., EmbeddedPostgres]) -> None:
    with make(used) as server:
        run(server, "DROP TABLE IF EXISTS kept; CREATE TABLE kept AS SELECT 7 AS n")
    begin = time.monotonic()
    with make(used) as server:
        taken = time.monotonic() - begin
        assert run(server, "SELECT n FROM kept") == [(7,)]
    assert taken < 2


def test_a_dropped_database_is_created_again(used: Path, make: Callable[..., EmbeddedPostgres]) -> None:
    with make(used) as server:
        with psycopg.connect(server.dsn, dbname="postgres", autocommit=True) as connection:
            connection.execute("DROP DATABASE coderproj")
        server.stop()
        server.start()
        assert run(server, "SELECT current_database()") == [("coderproj",)]


def test_starting_outside_the_main_thread_raises(used: Path, make: Callable[..., EmbeddedPostgres]) -> None:
    errors: list[BaseException] = []

    def start() -> None:
        try:
            make(used).start()
        except RuntimeError as error:
            errors.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert "main thread" in str(errors[0])


# ------------------------------------------------------------------ crashes


def test_killing_the_supervisor_ends_the_server_and_loses_nothing(
    used: Path, make: Callable[..., EmbeddedPostgres]
) -> None:
    with supervise(used) as supervisor:
        assert supervisor.stdout is not None
        pid = int(supervisor.stdout.readline())
        server = make(used, fast_and_unsafe=False)
        run(server, "DROP TABLE IF EXISTS kept; CREATE TABLE kept AS SELECT 7 AS n")
        supervisor.kill()
        assert wait_until(lambda: is_gone(pid), seconds=5) < 1
    server.start()
    assert run(server, "SELECT n FROM kept") == [(7,)]


def test_a_killed_server_is_restarted(used: Path, make: Callable[..., EmbeddedPostgres]) -> None:
    server = make(used, fast_and_unsafe=False).start()
    run(server, "DROP TABLE IF EXISTS kept; CREATE TABLE kept AS SELECT 7 AS n")
    assert server.poll() is False
    first = server.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: server.pid is None, seconds=5)
    assert server.poll() is True
    assert server.pid not in (None, first)
    assert run(server, "SELECT n FROM kept") == [(7,)]


def test_a_server_that_ends_too_often_is_not_restarted(used: Path, make: Callable[..., EmbeddedPostgres]) -> None:
    server = make(used).start()

    def die() -> bool:
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        wait_until(lambda: server.pid is None, seconds=5)
        return server.poll()

    assert [die() for _ in range(5)] == [True] * 5
    with pytest.raises(EmbeddedPostgresError, match=r"6 times within a minute; its log is .*postgres\.log"):
        die()


def test_a_stale_pid_file_of_a_running_process_does_not_prevent_the_start(
    used: Path,
    make: Callable[..., EmbeddedPostgres],
) -> None:
    server = make(used).start()
    lines = (server.data / "postmaster.pid").read_text().splitlines()
    server.stop()
    account = places.server_account(server.data)
    with subprocess.Popen(["sleep", "60"], cwd="/", **account.popen) as stranger:
        pid_file = server.data / "postmaster.pid"
        pid_file.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        account.own(pid_file)
        server.start()
        assert run(server, "SELECT 1") == [(1,)]
        stranger.kill()


def test_the_error_contains_the_reason_of_a_failed_start(used: Path, make: Callable[..., EmbeddedPostgres]) -> None:
    server = make(used)
    settings = server.data / "postgresql.conf"
    good = settings.read_text()
    try:
        settings.write_text(f"{good}\nno_such_setting = 1\n")
        with pytest.raises(EmbeddedPostgresError, match="no_such_setting"):
            server.start()
    finally:
        settings.write_text(good)
    assert server_processes(server.data) == []
