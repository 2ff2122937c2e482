"""Builds among the faults. What they really made is compared with what the server knows.

Each build makes or destroys things, and appends a line to the inventory for each: ``+thing build workspace`` or
``-thing build workspace``. The states of half of the workspaces are only in the engine's file until an apply ends.
"""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

INVENTORY_FILE = "inventory"
STEPS, STEP_SECONDS = 8, 0.15
MOST_WORKSPACES = 6
# The number of log lines that a build has in each phase: three stages begin before its first step.
REACHED = {"at the start": 0, "while logging": 4, "mid-plan": 3 + STEPS // 2, "at completion": 4 + STEPS}


@dataclass
class Tally:
    """What the inventories and states of all workspaces say."""

    builds: int = 0
    states_lost: int = 0
    at_once: int = 0
    notes: list[str] = field(default_factory=list)


class Workspaces:
    """Queues builds, one at a time on each of a few workspaces."""

    def __init__(self, folder: Path, chance: random.Random, retry: Callable[[Callable[[], Any]], Any]) -> None:
        self._inventory = folder / INVENTORY_FILE
        self._chance = chance
        self._retry = retry
        self._made: list[Any] = []
        self._open: list[Any] = []
        self.builds: list[Any] = []

    def queue(self) -> Any:
        """Queue a build: of a workspace without an active build, else of a new one."""
        build = self._next_build() or self._first_build()
        self.builds.append(build)
        return build

    def _next_build(self) -> Any | None:
        from templates_app.workspaces.services.access import WorkspaceGone
        from templates_app.workspaces.services.builds import Busy
        from tests.vocabulary import queue_build

        for workspace in self._chance.sample(self._open, len(self._open)):
            transition = self._chance.choice(("start", "start", "stop", "delete"))
            try:
                return self._retry(lambda w=workspace, t=transition: queue_build(w, t))
            except Busy:
                continue
            except WorkspaceGone:
                self._open.remove(workspace)
        return None

    def _first_build(self) -> Any:
        from tests.vocabulary import make_echo_template, queue_build

        number = len(self._made)
        script = {
            "steps": STEPS,
            "step_seconds": STEP_SECONDS,
            "unsaved": number % 2 == 1,
        }
        template = self._retry(lambda: make_echo_template(script))
        build = self._retry(lambda: queue_build(template))
        self._made.append(build.workspace)
        self._open.append(build.workspace)
        if len(self._open) > MOST_WORKSPACES:
            self._open.pop(0)
        return build

    # ---------------------------------------------------------------- the count
    def tally(self) -> Tally:
        """Compare the inventory with the states of workspaces. All builds must have ended."""
        found = Tally(builds=len(self.builds))
        lines = self._inventory.read_text().splitlines() if self._inventory.exists() else []
        for workspace in self._made:
            changes = [line.split()[:2] for line in lines if line.endswith(f" {workspace.pk.hex}")]
            lost = existing(changes) - self._retry(lambda w=workspace: known(w))
            if lost:
                found.states_lost += len(lost)
                makers = sorted({build for change, build in changes if change[1:] in lost})
                found.notes.append(f"workspace {workspace.pk}: the server does not know {sorted(lost)} of {makers}")
            found.at_once += overlaps([build for _, build in changes])
        return found


def existing(changes: list[list[str]]) -> set[str]:
    """Return the things that exist after these changes."""
    things: set[str] = set()
    for change, _ in changes:
        (things.add if change[0] == "+" else things.discard)(change[1:])
    return things


def known(workspace: Any) -> set[str]:
    """Return the things in the state of a workspace."""
    from templates_app.workspaces import states
    from templates_app.workspaces.models import WorkspaceBuild

    latest = WorkspaceBuild.objects.filter(workspace=workspace).newest_first().first()
    state = states.state_of(latest)
    return set(json.loads(state).get("things", ())) if state else set()


def overlaps(builds: list[str]) -> int:
    """Return how often a build went on after another one of the same workspace had begun."""
    seen: set[str] = set()
    found = 0
    for before, build in zip(["", *builds], builds, strict=False):
        if build != before:
            found += build in seen
            seen.add(build)
    return found
