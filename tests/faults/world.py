"""The system under test: a database, a web server and daemons, as processes that can be killed and restarted."""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from coderproj.base.processes import descendants
from coderproj.postgres import EmbeddedPostgres
from coderproj.web.addresses import free_port
from provisioning.engine.echo import INVENTORY
from tests.faults.builds import INVENTORY_FILE

ROOT = Path(__file__).parents[2]
LEASE_SECONDS = 3
SHORT_LEASE = {"PROVISIONER_LEASE_SECONDS": str(LEASE_SECONDS), "PROVISIONER_CANCEL_GRACE_SECONDS": "1"}


@dataclass
class Member:
    """A process of the system. ``World.revive`` starts it again after it has ended."""

    name: str
    command: list[str]
    environment: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.starts += 1

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """Send SIGKILL, so that the process cannot clean up or deregister."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def end(self) -> None:
        """Stop the process with SIGTERM; after 20 seconds, kill it."""
        if not self.alive:
            return
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()


@dataclass
class World:
    """The whole system in a folder. Use it in the main thread, which owns the database server."""

    folder: Path
    daemons: int = 2
    remote_daemons: int = 1
    database: EmbeddedPostgres = field(init=False)
    web: Member = field(init=False)
    workers: list[Member] = field(default_factory=list)
    scratch: dict[str, Path] = field(default_factory=dict)
    # The job whose daemon and process the faults hit; None for those of any job.
    aimed_at: uuid.UUID | None = None

    def start(self, make_key: Callable[[], str]) -> None:
        """Start the members. Calls ``make_key`` after the migration for the remote daemons' key."""
        self.database = EmbeddedPostgres(self.folder / "postgres").start()
        os.environ["DATABASE_URL"] = self.database.url
        os.environ["CODERPROJ_DATA_DIR"] = str(self.folder)
        os.environ["DJANGO_SETTINGS_MODULE"] = "coderproj.settings"
        os.environ.update({"RATELIMIT_API": "0", "RATELIMIT_LOGIN": "0", "RATELIMIT_UPLOADS": "0"})
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        self.port = free_port()
        inventory = {INVENTORY: str(self.folder / INVENTORY_FILE), "PROVISIONER_ENVIRONMENT": INVENTORY}
        environment = {**os.environ, **SHORT_LEASE, **inventory}
        self.web = self._member("web", ["-m", "coderproj.web.server", "--port", str(self.port)], environment)
        self.web.start()
        self.wait_for_web()
        for number in range(self.daemons):
            name = f"direct-{number}"
            self._worker(name, ["manage.py", "provisionerd", "--name", name, "--concurrency", "2"], environment)
        if self.remote_daemons:
            without_database = {key: value for key, value in environment.items() if key != "DATABASE_URL"}
            without_database["PROVISIONER_DAEMON_KEY"] = make_key()
            for number in range(self.remote_daemons):
                name = f"remote-{number}"
                arguments = ["manage.py", "provisionerd", "--url", self.url, "--name", name, "--concurrency", "2"]
                self._worker(name, arguments, without_database)

    def _member(self, name: str, arguments: list[str], environment: dict[str, str]) -> Member:
        return Member(name, [sys.executable, "-W", "ignore", *arguments], environment, self.folder / f"{name}.log")

    def _worker(self, name: str, arguments: list[str], environment: dict[str, str]) -> None:
        scratch = self.folder / f"scratch-{name}"
        scratch.mkdir(exist_ok=True)
        mount_small_disk(scratch)
        self.scratch[name] = scratch
        member = self._member(name, arguments, {**environment, "TMPDIR": str(scratch)})
        member.start()
        self.workers.append(member)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wait_for_web(self, seconds: float = 40) -> None:
        """Wait until the web server responds again. Raises AssertionError after ``seconds``."""
        from coderproj.demo.server import answers

        deadline = time.monotonic() + seconds
        while not answers(self.url):
            self.revive()
            if time.monotonic() > deadline:
                raise AssertionError(f"the web server did not restart: {self.web.log.read_text()[-2000:]}")
            time.sleep(0.05)

    def revive(self) -> None:
        """Start the members that have ended, like a service manager."""
        self.database.poll()
        for member in (self.web, *self.workers):
            if not member.alive:
                member.start()

    def stop(self) -> None:
        for member in (*self.workers, self.web):
            member.end()
        self.database.stop()

    # ---------------------------------------------------------------- inspection
    def left_states(self) -> int:
        """Return the number of states that daemons have not sent yet."""
        spool = self.folder / "spool"
        return len(list(spool.iterdir())) if spool.is_dir() else 0

    def administer(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Run SQL on a separate connection that the faults do not close."""
        deadline = time.monotonic() + 30
        while True:
            try:
                with psycopg.connect(self.database.dsn, autocommit=True, application_name="fault") as connection:
                    cursor = connection.execute(sql, parameters)
                    return cursor.fetchall() if cursor.description else []
            except psycopg.OperationalError:
                self.revive()
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def worker(self, chance: random.Random) -> Member:
        """Return the daemon to hit: the one that runs the job ``aimed_at``, else any."""
        rows = self.administer(
            """SELECT daemon.name FROM provisioning_provisionerjob job
                 JOIN provisioning_provisionerdaemon daemon ON daemon.id = job.worker_id
                WHERE job.id = %s AND job.completed_at IS NULL""",
            (self.aimed_at,),
        )
        named = [worker for worker in self.workers if rows and worker.name == rows[0][0]]
        return named[0] if named else chance.choice(self.workers)

    def job_processes(self, worker: Member) -> list[int]:
        """Return the ids of a daemon's runners, which are the children of its fork server; those with a job if there
        is a job to hit."""
        runners = [pid for pid in descendants(worker.pid) if _is_forked(pid)]
        busy = [pid for pid in runners if _has_job(pid)]
        return busy if self.aimed_at is not None and busy else runners


def _has_job(pid: int) -> bool:
    try:
        return (Path(f"/proc/{pid}/cwd").readlink() / "template").is_dir()
    except OSError:
        return False


def _is_forked(pid: int) -> bool:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
        return b"provisioning.daemon.fork_server" in command and Path(f"/proc/{parent}/cmdline").read_bytes() == command
    except OSError:
        return False


def mount_small_disk(folder: Path) -> None:
    """Mount a small file system at the folder, so that it can be filled. Without root, do nothing."""
    if os.geteuid() == 0:
        command = ["mount", "-t", "tmpfs", "-o", "size=64m,mode=0711", "tmpfs", str(folder)]
        subprocess.run(command, capture_output=True, check=False)


def make_folder() -> Path:
    """Create a folder that the database server's account can pass through."""
    folder = Path(tempfile.mkdtemp(prefix="coderproj-faults-"))
    folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
    return folder
