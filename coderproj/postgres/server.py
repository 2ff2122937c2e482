"""A PostgreSQL server as a child of this process."""

import fcntl
import logging
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from coderproj.base.processes import end_with_parent
from coderproj.postgres import binaries, places
from coderproj.postgres.errors import EmbeddedPostgresError
from coderproj.postgres.processes import server_processes

logger = logging.getLogger(__name__)

DATABASE = "coderproj"
ROLE = "app"

SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
}
UNSAFE_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}
"""For temporary databases: a crash of the machine can destroy all data."""

START_TIMEOUT = 300.0
"""Seconds. Recovery after a crash can take long; a failed server ends by itself."""
LEFTOVER_TIMEOUT = 15.0
"""Seconds for the processes of a killed server to end."""
STOP_TIMEOUT = 30.0
MOST_DEATHS_A_MINUTE = 5
LARGEST_LOG = 10_000_000
"""Bytes after which a start renames the log to `postgres.log.1`."""


class EmbeddedPostgres:
    """A server whose files live in the folder `root`.

    It listens only on a unix socket, in a folder that only its account can enter. It ends with this process, even if
    the process is killed; the next start recovers what was committed. Call `start`, `poll` and `stop` from the main
    thread: the kernel ends the server with the *thread* that started it.

    `fast_and_unsafe` trades durability for speed, for tests.
    """

    def __init__(self, root: Path, *, fast_and_unsafe: bool = False) -> None:
        self.root = root.absolute()
        self.fast_and_unsafe = fast_and_unsafe
        self.bin: Path | None = None
        """The programs in use, once started."""
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None
        self._deaths: list[float] = []

    # ------------------------------------------------------------------ locations

    @property
    def place(self) -> Path:
        """The folder that holds the files: `root`, or the folder that its file `location` names."""
        record = self.root / "location"
        return Path(record.read_text().strip()) if record.is_file() else self.root

    @property
    def data(self) -> Path:
        return self.place / "data"

    @property
    def log(self) -> Path:
        return self.place / "postgres.log"

    @property
    def url(self) -> str:
        """The DATABASE_URL, also for other processes: `postgresql://app@/coderproj?host=FOLDER`."""
        return f"postgresql://{ROLE}@/{DATABASE}?host={quote(str(places.recorded_socket_folder(self.place)))}"

    @property
    def dsn(self) -> str:
        """The same as a libpq conninfo string."""
        return self._dsn(DATABASE)

    @property
    def pid(self) -> int | None:
        """The server's process id, None if it is not running."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    # ------------------------------------------------------------------ lifecycle

    def start(self) -> Self:
        """Start the server and wait until it accepts connections. Creates missing folders and the database.

        Raises EmbeddedPostgresError; then no process is left running.
        """
        self._require_main_thread()
        place = places.working_root(self.root)
        self._take_lock(place)
        try:
            self._account = places.server_account(self.data)
            self.bin = self._choose_programs().bin
            if not self.data.exists():
                self._make_data_folder()
            self._launch()
            self._make_database()
        except BaseException as error:
            self.stop()
            if isinstance(error, OSError):
                raise EmbeddedPostgresError(f"cannot run PostgreSQL in {place}: {error}") from error
            raise
        return self

    def poll(self) -> bool:
        """Restart the server if it has ended. Return True if it was restarted.

        Raises EmbeddedPostgresError if it cannot be started, or has ended too often within a minute.
        """
        self._require_main_thread()
        if self._process is None:
            raise EmbeddedPostgresError("the server was not started")
        status = self._process.poll()
        if status is None:
            return False
        now = time.monotonic()
        self._deaths = [*(death for death in self._deaths if now - death < 60), now]
        if len(self._deaths) > MOST_DEATHS_A_MINUTE:
            raise EmbeddedPostgresError(
                f"PostgreSQL ended {len(self._deaths)} times within a minute; its log is {self.log}"
            )
        logger.warning("PostgreSQL ended with status %s: starting it again", status)
        self._launch()
        return True

    def stop(self) -> None:
        """End all sessions and shut down, after 30 seconds immediately. Idempotent."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            for ending in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
                process.send_signal(ending)
                try:
                    process.wait(STOP_TIMEOUT)
                    break
                except subprocess.TimeoutExpired:
                    logger.warning("PostgreSQL did not end on %s", ending.name)
        if self._lock is not None:
            self._drop_socket_folder()
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # ------------------------------------------------------------------ steps of a start

    def _take_lock(self, place: Path) -> None:
        if self._lock is not None:
            raise EmbeddedPostgresError("the server was started already")
        try:
            lock = os.open(place / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            raise EmbeddedPostgresError(
                f"cannot use {place} for the database: {error}. Run as its owner, or choose another folder"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(lock, 32).decode().strip() or "unknown"
            os.close(lock)
            raise EmbeddedPostgresError(
                f"another process (pid {holder}) runs the database in {place}. Stop it, or share its "
                f"database with "
                f"DATABASE_URL='{self.url}'"
            ) from None
        os.ftruncate(lock, 0)
        os.write(lock, f"{os.getpid()}\n".encode())
        self._lock = lock

    def _choose_programs(self) -> binaries.Installation:
        version_file = self.data / "PG_VERSION"
        try:
            major = int(version_file.read_text()) if self.data.exists() else None
        except (OSError, ValueError) as error:
            raise EmbeddedPostgresError(
                f"{self.data} is not a PostgreSQL data folder that can be read: {error}"
            ) from error
        try:
            chosen = binaries.choose(major)
        except binaries.WrongMajorError as error:
            raise EmbeddedPostgresError(self._how_to_upgrade(error)) from error
        if self._account.runs(chosen.bin / "postgres"):
            return chosen
        return binaries.copy_of_wheel(chosen, self.place / f"server-{chosen.version}")

    def _how_to_upgrade(self, error: binaries.WrongMajorError) -> str:
        run = f"{shlex.quote(sys.executable)} -m coderproj.postgres --data {shlex.quote(str(self.root))}"
        old, data = error.data_major, shlex.quote(str(self.data))
        return (
            f"{self.data} was written by PostgreSQL {old}, and this machine has {error.available.version}, "
            f"which cannot "
            f"open it. Either install PostgreSQL {old} (or name its programs in PGBIN), or move the data "
            f"over:\n"
            f"  PGBIN=/path/to/postgresql-{old}/bin {run} -- "
            f"sh -c 'pg_dump -Fc -f coderproj.dump \"$DATABASE_URL\"'\n"
            f"  mv {data} {data}.{old}\n"
            f"  {run} -- sh -c 'pg_restore --no-owner -d \"$DATABASE_URL\" coderproj.dump'"
        )

    def _make_data_folder(self) -> None:
        """Run `initdb` in a temporary folder and rename it: `data` is always complete."""
        unfinished = self.place / "data.new"
        if unfinished.exists():
            shutil.rmtree(unfinished)
        places.private_folder(unfinished, self._account)
        command: list[str | Path] = [
            self._program("initdb"),
            "-D",
            unfinished,
            "-U",
            ROLE,
            "--auth=trust",
            "--encoding=UTF8",
        ]
        if self.fast_and_unsafe:
            command.append("--no-sync")
        # Upper and lower case beyond ASCII need a locale; C.UTF-8 has it and still sorts by code point.
        for locale in ("C.UTF-8", "C"):
            done = subprocess.run(
                [*command, f"--locale={locale}"],
                capture_output=True,
                text=True,
                cwd="/",
                check=False,
                **self._account.popen,
            )
            if done.returncode == 0:
                unfinished.rename(self.data)
                return
        raise EmbeddedPostgresError(f"initdb failed: {done.stderr.strip()}")

    def _launch(self) -> None:
        """Start the server on a complete data folder and wait until it is ready."""
        self._clear_leftovers()
        sockets = places.socket_folder(self.place, self._account)
        for stale in sockets.glob(".s.PGSQL.*"):
            stale.unlink()
        quoted = str(sockets).replace('"', '""')
        settings = {**SETTINGS, "unix_socket_directories": f'"{quoted}"'}
        if self.fast_and_unsafe:
            settings |= UNSAFE_SETTINGS
        command: list[str | Path] = [self._program("postgres"), "-D", self.data]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        log = self._open_log()
        log_start = os.fstat(log).st_size
        try:
            self._process = process = subprocess.Popen(
                command,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=end_with_parent(signal.SIGINT),  # noqa: PLW1509 - it only makes system calls
                **self._account.popen,
            )
        finally:
            os.close(log)
        self._wait_until_ready(process, log_start)

    def _wait_until_ready(self, process: subprocess.Popen[bytes], log_start: int) -> None:
        """Wait for the server's state in line 8 of postmaster.pid."""
        pid_file = self.data / "postmaster.pid"
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            if process.poll() is not None:
                output = self.log.read_bytes()[log_start:][-2000:].decode(errors="replace").strip()
                raise EmbeddedPostgresError(
                    f"PostgreSQL ended with status {process.returncode} as it started: {output}"
                )
            try:
                lines = pid_file.read_text().splitlines()
            except OSError:
                lines = []
            if len(lines) >= 8 and lines[0] == str(process.pid) and lines[7].strip() == "ready":
                return
            time.sleep(0.005)
        raise EmbeddedPostgresError(f"PostgreSQL was not ready after {START_TIMEOUT:.0f} s; its log is {self.log}")

    def _clear_leftovers(self) -> None:
        """Wait for the processes of a killed server to end, then remove its postmaster.pid.

        The server refuses to start if any process has the id in that file, which after a restart of a container is
        often an unrelated process. Removing it is safe: this process holds the lock, and no server uses the folder.
        """
        deadline = time.monotonic() + LEFTOVER_TIMEOUT
        while running := server_processes(self.data):
            if time.monotonic() > deadline:
                raise EmbeddedPostgresError(
                    f"a PostgreSQL server (pid {min(running)}) that we did not start is running on {self.data}: stop it"
                )
            time.sleep(0.01)
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _make_database(self) -> None:
        import psycopg

        try:
            with psycopg.connect(self._dsn("postgres"), autocommit=True) as connection:
                found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE])
                if found.fetchone() is None:
                    connection.execute(f"CREATE DATABASE {DATABASE}")
        except psycopg.Error as error:
            raise EmbeddedPostgresError(f"cannot create the database {DATABASE}: {error}") from error

    # ------------------------------------------------------------------ details

    def _dsn(self, database: str) -> str:
        folder = str(places.recorded_socket_folder(self.place)).replace("\\", "\\\\").replace("'", "\\'")
        return f"host='{folder}' user={ROLE} dbname={database}"

    def _program(self, name: str) -> Path:
        assert self.bin is not None
        return self.bin / name

    def _open_log(self) -> int:
        if self.log.is_file() and self.log.stat().st_size > LARGEST_LOG:
            self.log.replace(self.log.with_name("postgres.log.1"))
        return os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)

    def _drop_socket_folder(self) -> None:
        record = self.place / "socket"
        if record.is_file():
            shutil.rmtree(places.recorded_socket_folder(self.place), ignore_errors=True)
            record.unlink()

    @staticmethod
    def _require_main_thread() -> None:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("the embedded server must be started and watched from the main thread")
