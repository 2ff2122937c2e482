"""Count all promises: ``make security``, or ``make security ARGS="S1 A3"`` for some of them.

Prints a table with the mark of each promise, what its tests measured, and these tests. Exits with status 1 if a promise
is not kept or has no test.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.security.promises import PROMISES, Promise
from tests.security.recorder import COMBINE

ROOT = Path(__file__).resolve().parents[2]
# Tests that measure times run alone. No other run collects these modules.
ALONE = ("tests/security/abuses.py", "tests/security/tools.py", "tests/security/repetitions.py")
# Exit statuses of pytest: tests passed, tests failed, no test was selected.
COMPLETE = (0, 1, 5)
WIDTH = 170


@dataclass
class Result:
    """What the tests of one promise reported."""

    promise: Promise
    outcomes: Counter[str] = field(default_factory=Counter)
    tests: dict[str, str] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)

    def add(self, row: dict[str, Any]) -> None:
        """Add the report of a test."""
        self.outcomes[row["outcome"]] += 1
        name = row["test"].partition("[")[0]
        self.tests[name] = "failed" if "failed" in (row["outcome"], self.tests.get(name)) else row["outcome"]
        for figure, (how, value) in row["measured"].items():
            known = self.figures.get(figure)
            self.figures[figure] = value if known is None else COMBINE[how](known, value)

    @property
    def met(self) -> bool:
        """True if the promise is kept."""
        return bool(self.outcomes["passed"]) and not self.outcomes["failed"] and not self.missed

    @property
    def missed(self) -> list[str]:
        """The figures that miss their mark."""
        return self.promise.missed(self.figures)

    @property
    def measured(self) -> str:
        """The outcomes and figures as text."""
        if not self.tests:
            return "no test"
        outcomes = ", ".join(f"{count} {outcome}" for outcome, count in sorted(self.outcomes.items()))
        figures = [f"{name} {value:,.6g}" for name, value in self.figures.items()]
        unknown = [f"{name} not measured" for name in self.missed if name not in self.figures]
        return "; ".join((f"tests: {outcomes}", *figures, *unknown))


def main(arguments: Sequence[str]) -> int:
    """Run the tests of the chosen promises and print the table. Return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.security", description="Counts all promises.")
    parser.add_argument("promises", nargs="*", metavar="ID", help=f"one of {', '.join(PROMISES)}; default: all")
    parser.add_argument("--workers", default="2", help="processes of the tests that measure no time (default: 2)")
    options = parser.parse_args(arguments)
    if unknown := set(options.promises) - set(PROMISES):
        parser.error(f"unknown promises: {', '.join(sorted(unknown))}")
    chosen = options.promises or list(PROMISES)
    with tempfile.TemporaryDirectory(prefix="coderproj-promises-") as folder:
        report = Path(folder) / "report"
        selection = ("--promises", ",".join(chosen), "--promise-report", str(report))
        complete = [
            run(("-n", options.workers, "--dist", "worksteal", "tests"), selection),
            run(("-n", "0", "-p", "no:randomly", *ALONE), selection),
        ]
        rows = [json.loads(line) for line in report.read_text().splitlines()] if report.exists() else []
    results = count(chosen, rows)
    Console(width=WIDTH).print(table(results))
    kept = sum(result.met for result in results)
    print(f"{kept} of {len(results)} promises kept")
    return 0 if kept == len(results) and all(complete) else 1


def run(where: Iterable[str], selection: Iterable[str]) -> bool:
    """Run pytest. Return False if it could not run all selected tests."""
    command = [sys.executable, "-m", "pytest", "-q", *where, *selection]
    return subprocess.run(command, cwd=ROOT, check=False).returncode in COMPLETE


def count(chosen: Iterable[str], rows: Iterable[dict[str, Any]]) -> list[Result]:
    """Return the results of the promises, in the order of ``chosen``."""
    results = {one: Result(PROMISES[one]) for one in chosen}
    for row in rows:
        for one in row["promises"]:
            if one in results:
                results[one].add(row)
    return list(results.values())


def table(results: Iterable[Result]) -> Table:
    """Return the table of the results."""
    found = Table(show_lines=True)
    for title, ratio in (("promise", 4), ("mark", 3), ("measured", 4), ("counted by", 5)):
        found.add_column(title, ratio=ratio, overflow="fold")
    found.add_column("met", min_width=3)
    for result in results:
        tests = "\n".join(f"{name.removeprefix('tests/')}" for name in sorted(result.tests)) or "no test"
        title = f"{result.promise.id} {result.promise.text}"
        found.add_row(title, result.promise.mark, result.measured, tests, "yes" if result.met else "NO")
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
