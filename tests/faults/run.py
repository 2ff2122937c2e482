"""A run: imports and builds, followers, faults at every phase, and the count at the end."""

import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import DatabaseError, close_old_connections, connection

from tests.faults import builds
from tests.faults.builds import Workspaces
from tests.faults.followers import Follower
from tests.faults.injections import INJECTIONS
from tests.faults.world import ROOT, World, make_folder

# The numbered log lines of each import. It also finds one resource on start and one on stop.
LINES = 150
# Every third job is a build.
BUILDS_EVERY = 3
PHASES = ("at the start", "while logging", "mid-plan", "at completion")
# The number of log lines that an import has in each phase.
REACHED = dict(zip(PHASES, (0, 11, LINES, LINES + 5), strict=True))
MOST_OPEN = 6
TERMINAL_SECONDS = 60


@dataclass
class Count:
    """The count of a run. All numbers but ``injections``, ``jobs``, ``builds``, ``succeeded`` and ``failed`` must be
    0."""

    injections: int = 0
    jobs: int = 0
    succeeded: int = 0
    failed: int = 0
    lost: int = 0
    completed_twice: int = 0
    not_terminal: int = 0
    lines_lost: int = 0
    lines_duplicated: int = 0
    lines_out_of_order: int = 0
    followers_left: int = 0
    builds: int = 0
    states_lost: int = 0
    builds_at_once: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def clean(self) -> bool:
        return not any(
            (
                self.lost,
                self.completed_twice,
                self.not_terminal,
                self.lines_lost,
                self.lines_duplicated,
                self.lines_out_of_order,
                self.followers_left,
                self.states_lost,
                self.builds_at_once,
            )
        )

    def line(self) -> str:
        return (
            f"{self.injections} injections, {self.lost} lost, {self.completed_twice} completed twice, "
            f"{self.not_terminal} not terminal within {TERMINAL_SECONDS} s; log lines: {self.lines_lost} lost, "
            f"{self.lines_duplicated} duplicated, {self.lines_out_of_order} out of order; "
            f"{self.builds} builds: {self.states_lost} states lost, "
            f"{self.builds_at_once} builds at once on one workspace "
            f"({self.jobs} jobs: {self.succeeded} succeeded, {self.failed} failed with a reason)"
        )


class Run:
    """Queues imports of a scripted template one after the other and injects a fault into each."""

    def __init__(self, world: World, injections: int, seed: int, report: Callable[[str], None]) -> None:
        self.world = world
        self.injections = injections
        self.chance = random.Random(seed)
        self.report = report
        self.count = Count()
        self.jobs: list[tuple[Any, Follower]] = []
        self.workspaces = Workspaces(world.folder, self.chance, self.retry)

    def go(self) -> Count:
        kinds = list(INJECTIONS)
        for number in range(self.injections):
            kind = kinds[number % len(kinds)]
            phase = PHASES[(number // len(kinds)) % len(PHASES)]
            if number % BUILDS_EVERY == 0:
                build = self.workspaces.queue()
                self.count.jobs += 1
                self.world.aimed_at = build.job_id
                self.wait_for(build, phase, builds.REACHED)
            else:
                self.world.aimed_at = None
                self.wait_for(self.queue(), phase, REACHED)
            target = INJECTIONS[kind](self.world, self.chance)
            self.world.revive()
            self.world.wait_for_web()
            self.count.injections += 1
            self.report(f"{number + 1:4}/{self.injections}  {kind} {phase}: {target}")
            self.wait_for_room()
        self.finish()
        return self.count

    def queue(self) -> Any:
        """Queue an import and start a follower of its log."""
        from tests.vocabulary import echo, queue_import

        script = {
            "lines": LINES,
            "sleep": round(self.chance.uniform(0.1, 0.6), 2),
            "start": {"resources": [{"name": "machine", "type": "vm"}]},
            "stop": {"resources": [{"name": "disk", "type": "vm"}]},
        }
        version = self.retry(
            lambda: queue_import(echo(script, {"variables": [{"name": "a", "default_source_value": "b"}]}))
        )
        token = self.retry(lambda: self.token(version))
        follower = Follower(self.world.url, token, str(version.pk))
        follower.start()
        self.jobs.append((version, follower))
        self.count.jobs += 1
        return version

    def token(self, version: Any) -> str:
        from coderproj.identity import tokens

        return tokens.issue(user=version.created_by)[1]

    def wait_for(self, subject: Any, phase: str, reached: Mapping[str, int]) -> None:
        """Wait until the job has reached the phase, but at most 8 seconds: it can be behind other jobs. ``reached`` has
        the number of log lines that it has then."""
        deadline = time.monotonic() + 8
        while time.monotonic() < deadline:
            job = self.job(subject)
            if job["completed_at"] or (job["started_at"] and job["log_count"] >= reached[phase]):
                return
            time.sleep(0.005)

    def job(self, subject: Any) -> dict[str, Any]:
        from provisioning.models import ProvisionerJob

        columns = ("log_count", "started_at", "completed_at", "error", "attempts")
        return self.retry(lambda: ProvisionerJob.objects.values(*columns).get(pk=subject.job_id))

    def wait_for_room(self) -> None:
        """Wait until at most MOST_OPEN jobs are open."""
        deadline = time.monotonic() + TERMINAL_SECONDS
        while self.open_jobs() > MOST_OPEN and time.monotonic() < deadline:
            self.world.revive()
            time.sleep(0.1)

    def open_jobs(self) -> int:
        from provisioning.models import ProvisionerJob

        return self.retry(lambda: ProvisionerJob.objects.active().count())

    def retry(self, query: Callable[[], Any]) -> Any:
        """Run a query of this process, and repeat it while the database is unavailable, for at most 40 seconds."""
        deadline = time.monotonic() + 40
        while True:
            try:
                return query()
            except DatabaseError:
                if time.monotonic() > deadline:
                    raise
                connection.close()
                close_old_connections()
                self.world.revive()
                time.sleep(0.1)

    # ---------------------------------------------------------------- the count
    def finish(self) -> None:
        """Wait until all jobs are terminal, then check each."""
        deadline = time.monotonic() + TERMINAL_SECONDS
        while self.open_jobs() and time.monotonic() < deadline:
            self.world.revive()
            time.sleep(0.2)
        for _, follower in self.jobs:
            follower.join(max(0.0, deadline + 15 - time.monotonic()))
        for version, follower in self.jobs:
            self.retry(lambda version=version, follower=follower: self.check(version, follower))
        self.check_builds()

    def check_builds(self) -> None:
        """Check the builds, after the daemons have sent what killed ones had left."""
        deadline = time.monotonic() + TERMINAL_SECONDS
        while self.world.left_states() and time.monotonic() < deadline:
            self.world.revive()
            time.sleep(0.2)
        for build in self.workspaces.builds:
            self.retry(lambda build=build: self.check_build(build))
        found = self.workspaces.tally()
        self.count.builds, self.count.states_lost = found.builds, found.states_lost
        self.count.builds_at_once = found.at_once
        for note in found.notes:
            self.report(note)

    def check_build(self, build: Any) -> None:
        from provisioning.models import ProvisionerJob

        job = ProvisionerJob.objects.filter(pk=build.job_id).first()
        if job is None:
            self.count.lost += 1
            return
        if job.completed_at is None:
            self.count.not_terminal += 1
            return
        self.count.failed += bool(job.error)
        self.count.succeeded += not job.error
        if job.error:
            self.count.reasons[f"build: {job.error[:80]}"] += 1
        self.count.completed_twice += job.attempts > 1
        stored = set(job.logs.values_list("id", flat=True))
        self.count.lines_lost += len(set(range(1, job.log_count + 1)) - stored)

    def check(self, version: Any, follower: Follower) -> None:
        from provisioning.models import ProvisionerJob

        job = ProvisionerJob.objects.filter(pk=version.job_id).first()
        if job is None:
            self.count.lost += 1
            self.report(f"job {version.job_id} is missing")
            return
        if job.completed_at is None:
            self.count.not_terminal += 1
            return
        resources = sorted(job.resources.values_list("name", flat=True))
        if job.error:
            self.count.failed += 1
            self.count.reasons[job.error[:80]] += 1
            self.count.completed_twice += bool(resources)
        else:
            self.count.succeeded += 1
            if len(resources) < 2:
                self.count.lost += 1
                self.report(f"job {job.pk} succeeded after {job.attempts} attempts with resources {resources}")
            self.count.completed_twice += len(resources) > 2
        self.check_log(job, follower)

    def check_log(self, job: Any, follower: Follower) -> None:
        rows = list(job.logs.order_by("id").values_list("id", "output"))
        stored = [id_ for id_, _ in rows]
        self.count.lines_lost += len(set(range(1, job.log_count + 1)) - set(stored))
        if not job.error:
            # The log of the successful attempt must have each numbered line exactly once and in order.
            begins = max((index for index, (_, text) in enumerate(rows) if "Queued again" in text), default=-1)
            numbered = [text for _, text in rows[begins + 1 :] if text.startswith("line ")]
            expected = [f"line {number}" for number in range(1, LINES + 1)]
            self.count.lines_lost += len(set(expected) - set(numbered))
            self.count.lines_duplicated += len(numbered) - len(set(numbered))
            self.count.lines_out_of_order += numbered != sorted(numbered, key=lambda text: int(text.split()[1]))
        self.count.followers_left += not follower.ended
        self.count.lines_lost += len(set(stored) - set(follower.ids))
        self.count.lines_duplicated += len(follower.ids) - len(set(follower.ids))
        self.count.lines_out_of_order += follower.ids != sorted(follower.ids)


def make_key() -> str:
    """Create a key for remote daemons that claim the jobs of every organization."""
    from coderproj.identity.actor import Actor
    from provisioning import keys
    from tests.factories import make_user

    owner = make_user("fault-owner", site_roles=("owner",))
    return keys.create(Actor.of(owner), None, name="faults")[1]


def inject(injections: int, seed: int, report: Callable[[str], None] = print, *, remote: bool = True) -> Count:
    """Do a whole run in a new folder and return the count."""
    folder = make_folder()
    world = World(folder, remote_daemons=1 if remote else 0)
    try:
        world.start(make_key)
        return Run(world, injections, seed, report).go()
    finally:
        for member in (world.web, *world.workers):
            for block in member.log.read_text(errors="replace").split("Traceback")[1:]:
                report(f"{member.name}: Traceback{block[:3000]}")
        world.stop()
        for scratch in world.scratch.values():
            if scratch.is_mount():
                subprocess.run(["umount", str(scratch)], check=False)
        shutil.rmtree(folder, ignore_errors=True)


def inject_in_process(injections: int, *arguments: str) -> tuple[int, str]:
    """Do a run in a subprocess. Return its exit status and its output."""
    finished = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.faults", str(injections), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    return finished.returncode, finished.stdout


def main(arguments: list[str]) -> int:
    """Run ``[INJECTIONS] [--seed N] [--direct-only]``. Return 1 if a number that must be 0 is not."""
    numbers = [int(argument) for argument in arguments if argument.isdigit()]
    seed = numbers[1] if "--seed" in arguments and len(numbers) > 1 else 1
    count = inject(
        numbers[0] if numbers else 200,
        seed,
        lambda text: print(text, flush=True),
        remote="--direct-only" not in arguments,
    )
    for reason, times in count.reasons.most_common():
        print(f"failed {times} times: {reason}")
    print(count.line())
    return 0 if count.clean else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
