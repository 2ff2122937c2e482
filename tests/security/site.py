"""A web server under attack: a process of its own on the test's database, with a probe beside each attack."""

import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings

from coderproj.base.processes import descendants, proportional_memory
from coderproj.demo.server import answers
from coderproj.identity import tokens
from coderproj.identity.models import Organization, User
from templates_app.models import Template
from tests.bench.load import cpu_seconds
from tests.factories import make_organization, make_template, make_user
from tests.security.promises import MEMORY, P95
from tests.security.recorder import Measured
from tests.vocabulary import database_url

MIB = 2**20
SETTLE_SECONDS = 10.0
# Work counts as ended when the server uses less than this share of a CPU for this long.
QUIET_SHARE, QUIET_SECONDS = 0.2, 0.5
MEMORY_MARK = 40.0
# An attack runs from several threads until the event is set.
Attack = Callable[[threading.Event], None]


@dataclass
class Site:
    """A server, and the rows that probes and attacks use. ``owner`` only prepares; a probe reads as ``reader``."""

    url: str
    pid: int
    organization: Organization
    owner: User
    template: Template
    reader_token: str
    connections: list[socket.socket] = field(default_factory=list)

    def hang_up(self) -> None:
        """Close the connections of all clients."""
        while self.connections:
            with suppress(OSError):  # it is closed already
                self.connections.pop().shutdown(socket.SHUT_RDWR)

    def new_token(self, name: str, *roles: str) -> str:
        """Create a member with these site roles. Return a token."""
        user = make_user(name, organizations=(self.organization,), site_roles=roles)
        return tokens.issue(user=user)[1]

    def memory(self) -> float:
        """Return the memory of the server and its processes in MiB."""
        return sum(map(proportional_memory, (self.pid, *descendants(self.pid)))) / MIB

    @contextmanager
    def probed(self) -> Iterator[list[float]]:
        """Read /healthz and a template twice a second. The list has the milliseconds of each read after the block.

        Raises AssertionError if a read failed.
        """
        paths = ("/healthz", f"/api/v2/templates/{self.template.pk}")
        command = (sys.executable, "-I", str(Path(__file__).with_name("probe.py")), self.url, self.reader_token, *paths)
        times: list[float] = []
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            try:
                yield times
            finally:
                output = process.communicate()[0]
        reads = [line.split() for line in output.splitlines()]
        assert {status for _, status in reads} == {"200"}, output
        times += [float(milliseconds) for milliseconds, _ in reads]

    def quiet_after(self) -> float:
        """Return after how many seconds the server has no more work, at most SETTLE_SECONDS."""
        began = time.monotonic()
        while (since := time.monotonic() - began) < SETTLE_SECONDS:
            before = cpu_seconds([self.pid])
            time.sleep(QUIET_SECONDS)
            if cpu_seconds([self.pid]) - before < QUIET_SHARE * QUIET_SECONDS:
                return since
        return SETTLE_SECONDS

    def kept_memory(self, idle: float) -> float:
        """Return how much memory the server keeps in MiB: once it is below the mark, else after SETTLE_SECONDS."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while (kept := self.memory() - idle) > MEMORY_MARK and time.monotonic() < deadline:
            time.sleep(0.25)
        return kept


def attack(
    site: Site, measured: Measured, run: Attack, *, clients: int, seconds: float = 10.0, until_done: float = 0.0
) -> None:
    """Run an attack from ``clients`` threads beside the probe, and report its figures.

    After ``seconds`` its clients hang up. An attack with an end has ``until_done`` seconds to reach it.
    """
    time.sleep(1)
    idle = site.memory()
    with site.probed() as idle_times:
        time.sleep(3)
    stop, errors = threading.Event(), []

    def client() -> None:
        try:
            run(stop)
        except Exception as error:  # noqa: BLE001 - reported below, in the test's thread
            errors.append(error)

    threads = [threading.Thread(target=client, daemon=True) for _ in range(clients)]
    with site.probed() as times:
        began = time.monotonic()
        for thread in threads:
            thread.start()
        if until_done:
            for thread in threads:
                thread.join(max(0.0, began + until_done - time.monotonic()))
        time.sleep(max(0.0, began + seconds - time.monotonic()))
        highest = site.memory()
        stop.set()
        site.hang_up()
        quiet = site.quiet_after() if not until_done else 0.0
    for thread in threads:
        thread.join(30)
    kept = site.kept_memory(idle)
    p95, idle_p95 = (statistics.quantiles(sample, n=20)[-1] for sample in (times, idle_times))
    print(
        f"\n{len(times)} reads: p95 {p95:.0f} ms, longest {max(times):.0f} ms (idle {idle_p95:.0f} ms);"
        f" memory idle {idle:.0f} MiB, then {highest:.0f}, {kept:+.0f} kept; quiet after {quiet:.1f} s"
    )
    measured.add(abuses=1)
    measured.most(P95, round(p95, 1))
    measured.most("idle p95 ms", round(idle_p95, 1))
    measured.most(MEMORY, round(kept, 1))
    measured.most("s of work left", round(quiet, 1))
    assert errors == []
    assert not any(thread.is_alive() for thread in threads), "a client of the attack hangs"


def make_site(url: str, pid: int) -> Site:
    """Create the rows for a server: an organization, an owner, a template and its reader."""
    organization = make_organization("site", is_default=True)
    owner = make_user("site-owner", organizations=(organization,), site_roles=("owner",))
    template = make_template(user=owner, organization=organization, name="plain")
    reader = make_user("reader", organizations=(organization,))
    return Site(url, pid, organization, owner, template, tokens.issue(user=reader)[1])


@contextmanager
def served(folder: Path, database: str = "") -> Iterator[tuple[str, int]]:
    """Run a server on a database, by default the test's. Yield its URL and process id."""
    environment = {
        **os.environ,
        "DATABASE_URL": database or database_url("web"),
        "CODERPROJ_DATA_DIR": str(folder),
        "RATELIMIT_API": "0",  # the rate limits would end most attacks before they begin
        "RATELIMIT_LOGIN": "0",
        "RATELIMIT_UPLOADS": "0",
    }
    command = (sys.executable, "-W", "ignore", "-m", "coderproj.web.server", "--port", "0")
    with subprocess.Popen(
        command, cwd=settings.BASE_DIR, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout
            url = process.stdout.readline().strip()
            while not answers(url):
                time.sleep(0.05)
            yield url, process.pid
        finally:
            process.terminate()
            process.wait(20)
