"""The embedded database, with real servers in folders of their own."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from coderproj.postgres import EmbeddedPostgres, EmbeddedPostgresError, binaries, places
from coderproj.postgres.processes import server_processes

ROOT = Path(__file__).resolve().parents[2]
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
    """A folder with a short name that the server's account can pass through; pytest's own is closed to it."""
    folder = Path(tempfile.mkdtemp(prefix="coderproj-pg-", dir=places.short_temporary_folder()))
    if IS_ROOT:
        folder.chmod(0o711)
    return folder


@pytest.fixture
def home() -> Iterator[Path]:
    folder = new_home()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def used() -> Iterator[Path]:
    """A root whose database was made before, for the many tests that are not about making one."""
    folder = new_home()
    with EmbeddedPostgres(folder / "pg"):
        pass
    yield folder / "pg"
    shutil.rmtree(folder)


@pytest.fixture
def make() -> Iterator[Callable[..., EmbeddedPostgres]]:
    """Servers that are stopped when the test ends, whatever happened in it."""
    made: list[EmbeddedPostgres] = []

    def make_one(root: Path, *, fast_and_unsafe: bool = True) -> EmbeddedPostgres:
        made.append(EmbeddedPostgres(root, fast_and_unsafe=fast_and_unsafe))
        return made[-1]

    yield make_one
    for server in made:
        server.stop()


def copy_of(used: Path, root: Path) -> Path:
    """`root`, which now has the same database: that is quicker than to make one."""
    places.make_folder(root.parent)
    subprocess.run(["cp", "-a", used, root], check=True)
    return root


def run(server: EmbeddedPostgres, *statements: str) -> list[tuple[object, ...]]:
    """The last statement's rows."""
    with psycopg.connect(server.url, autocommit=True) as connection:
        for statement in statements:
            cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def wait_until(condition: Callable[[], bool], seconds: float) -> float:
    """The seconds it took."""
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < seconds, "this took too long"
        time.sleep(0.01)
    return time.monotonic() - begin


def is_gone(pid: int) -> bool:
    """Whether the process ended; one that nobody waited for counts as ended."""
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


# ------------------------------------------------------------------ start and stop


def test_a_new_server_has_the_database_and_listens_on_a_private_socket_alone(
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


def test_the_second_start_is_quick_and_finds_the_data(used: Path, make: Callable[..., EmbeddedPostgres]) -> None:
    with make(used) as server:
        run(server, "DROP TABLE IF EXISTS kept; CREATE TABLE kept AS SELECT 7 AS n")
    begin = time.monotonic()
    with make(used) as server:
        taken = time.monotonic() - begin
        assert run(server, "SELECT n FROM kept") == [(7,)]
    assert taken < 2


def test_a_dropped_database_is_made_again(used: Path, make: Callable[..., EmbeddedPostgres]) -> None:
    with make(used) as server:
        with psycopg.connect(server.dsn, dbname="postgres", autocommit=True) as connection:
            connection.execute("DROP DATABASE coderproj")
        server.stop()
        server.start()
        assert run(server, "SELECT current_database()") == [("coderproj",)]


def test_it_must_be_started_from_the_main_thread(used: Path, make: Callable[..., EmbeddedPostgres]) -> None:
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


def test_a_killed_server_is_started_again(used: Path, make: Callable[..., EmbeddedPostgres]) -> None:
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


def test_a_server_that_keeps_dying_is_given_up(used: Path, make: Callable[..., EmbeddedPostgres]) -> None:
    server = make(used).start()

    def die() -> bool:
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        wait_until(lambda: server.pid is None, seconds=5)
        return server.poll()

    assert [die() for _ in range(5)] == [True] * 5
    with pytest.raises(EmbeddedPostgresError, match=r"6 times within a minute; its log is .*postgres\.log"):
        die()


def test_a_stale_pid_file_with_a_living_process_does_not_stop_the_start(
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


def test_the_reason_of_a_failed_start_is_told(used: Path, make: Callable[..., EmbeddedPostgres]) -> None:
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


# ------------------------------------------------------------------ refusals


def test_two_supervisors_cannot_share_a_folder(used: Path, make: Callable[..., EmbeddedPostgres]) -> None:
    first = make(used).start()
    with pytest.raises(EmbeddedPostgresError, match=rf"\(pid {os.getpid()}\).*DATABASE_URL='postgresql://"):
        make(used).start()
    assert run(first, "SELECT 1") == [(1,)]


def test_the_data_of_another_major_version_is_refused_with_the_way_out(
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


def test_a_machine_without_a_server_is_told_what_to_do(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_a_folder_whose_name_no_socket_can_have(
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
def test_another_user_runs_the_server_and_root_goes_on_with_it(
    home: Path, make: Callable[..., EmbeddedPostgres]
) -> None:
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
def test_a_folder_that_the_account_cannot_reach_is_replaced_by_one_it_can(
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
def test_a_database_that_was_shut_in_later_is_not_replaced(
    used: Path, home: Path, make: Callable[..., EmbeddedPostgres]
) -> None:
    root = copy_of(used, home / "shut" / "pg")
    root.parent.chmod(0o700)
    with pytest.raises(EmbeddedPostgresError, match="can no longer reach its database"):
        make(root).start()


@only_root
def test_programs_that_the_account_cannot_reach_are_copied(
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


# ------------------------------------------------------------------ the command line


def command_line(*arguments: "str | Path", **options: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "coderproj.postgres", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_command_finds_the_database_and_its_status_is_passed_on(used: Path) -> None:
    script = 'command -v initdb && pg_dump "$DATABASE_URL" >/dev/null && echo "$DATABASE_URL"; exit 3'
    done = command_line("--data", used, "--", "sh", "-c", script)
    assert done.returncode == 3, done.stderr
    assert done.stdout.splitlines()[-1] == EmbeddedPostgres(used).url
    assert server_processes(used / "data") == []


def test_a_throw_away_database_leaves_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(home))
    left = home / "coderproj-test-killed"
    (left / "data").mkdir(parents=True)
    (left / "lock").touch()
    done = command_line("--test", "--", "sh", "-c", "kill -KILL $$")
    assert done.returncode == 128 + signal.SIGKILL, done.stderr
    assert list(home.iterdir()) == [], "not even of a run that was killed"


@pytest.mark.parametrize(("ending", "status"), [(signal.SIGTERM, 5), (signal.SIGKILL, -9)])
def test_the_command_ends_with_the_command_line(used: Path, ending: signal.Signals, status: int) -> None:
    script = "trap 'exit 5' TERM; echo $$; while :; do sleep 0.05; done"
    with subprocess.Popen(
        [sys.executable, "-m", "coderproj.postgres", "--data", used, "--", "sh", "-c", script],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        command = int(process.stdout.readline())
        process.send_signal(ending)
        assert process.wait(20) == status
        wait_until(lambda: is_gone(command), seconds=5)
        wait_until(lambda: not server_processes(used / "data"), seconds=5)


def test_a_missing_command_and_a_refused_start_are_told_in_one_line(used: Path, home: Path) -> None:
    done = command_line("--data", used, "--", "no-such-program")
    assert (done.returncode, done.stderr) == (
        127,
        "error: cannot run no-such-program: No such file or directory\n",
    )
    (home / "file").touch()
    done = command_line("--data", home / "file", "--", "true")
    assert done.returncode == 1
    assert done.stderr.startswith("error: cannot use ")
    assert "Traceback" not in done.stderr
