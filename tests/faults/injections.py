"""The faults. Each function causes one and returns a text about its target when the system can begin to recover."""

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable

from tests.faults.world import LEASE_SECONDS, Member, World

Injection = Callable[[World, random.Random], str]


def kill_daemon(world: World, chance: random.Random) -> str:
    worker = world.worker(chance)
    worker.kill()
    return worker.name


def kill_web(world: World, chance: random.Random) -> str:
    world.web.kill()
    return "web"


def kill_job_process(world: World, chance: random.Random) -> str:
    worker = world.worker(chance)
    runners = world.job_processes(worker)
    if runners:
        with contextlib.suppress(ProcessLookupError):
            os.kill(chance.choice(runners), signal.SIGKILL)
    return worker.name


def freeze_daemon(world: World, chance: random.Random) -> str:
    """Freeze a daemon for longer than its lease. Another daemon takes over, and later writes of the first must fail."""
    worker = world.worker(chance)
    pause(worker, LEASE_SECONDS * 1.7, world)
    return worker.name


def freeze_web(world: World, chance: random.Random) -> str:
    pause(world.web, 1.0, world)
    return "web"


def drop_connection(world: World, chance: random.Random) -> str:
    pids = [row[0] for row in world.administer(CONNECTIONS)]
    if pids:
        world.administer("SELECT pg_terminate_backend(%s)", (chance.choice(pids),))
    return "one connection"


def drop_all_connections(world: World, chance: random.Random) -> str:
    world.administer(f"SELECT pg_terminate_backend(pid) FROM ({CONNECTIONS}) connections(pid)")
    return "all connections"


CONNECTIONS = """SELECT pid FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name <> 'fault'"""


def kill_database(world: World, chance: random.Random) -> str:
    pid = world.database.pid
    if pid is not None:
        os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
    return "database"


def lose_lease(world: World, chance: random.Random) -> str:
    """Let the lease of one running job expire."""
    world.administer(
        """UPDATE provisioning_provisionerjob SET lease_expires_at = now() - interval '1 second'
            WHERE lease IS NOT NULL AND id = (
                SELECT id FROM provisioning_provisionerjob WHERE lease IS NOT NULL
                 ORDER BY id = %s DESC, random() LIMIT 1)""",
        (world.aimed_at,),
    )
    return "a lease"


def fill_disk(world: World, chance: random.Random) -> str:
    """Fill the disk of a daemon's jobs for a moment, if the jobs have a small file system of their own."""
    worker = world.worker(chance)
    scratch = world.scratch[worker.name]
    if not scratch.is_mount():
        return f"{worker.name} (nothing done: mounting a small disk is not permitted)"
    ballast = scratch / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 16))
    time.sleep(chance.uniform(0.2, 1.0))
    ballast.unlink(missing_ok=True)
    return worker.name


def pause(member: Member, seconds: float, world: World) -> None:
    """Stop a process with SIGSTOP and continue it with SIGCONT after ``seconds``."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(member.pid, signal.SIGSTOP)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        world.database.poll()
        time.sleep(0.1)
    with contextlib.suppress(ProcessLookupError):
        os.kill(member.pid, signal.SIGCONT)


INJECTIONS: dict[str, Injection] = {
    "kill -9 daemon": kill_daemon,
    "kill -9 web": kill_web,
    "kill -9 a job's process": kill_job_process,
    "freeze daemon": freeze_daemon,
    "freeze web": freeze_web,
    "drop a connection": drop_connection,
    "drop all connections": drop_all_connections,
    "kill -9 database": kill_database,
    "lose a lease": lose_lease,
    "full disk": fill_disk,
}
