"""Workspaces, each part compared with its goal. The last line is ``N of M goals met``."""

import os
import sys

from tests.bench.jobs import Goals, results


def main() -> int:
    for name in ("DATABASE_URL", "PYTHONDONTWRITEBYTECODE"):
        os.environ.pop(name, None)
    goals = Goals()
    for part in (build, reads, executor):
        print(f"-- {part.__name__} (load {os.getloadavg()[0]:.1f})", flush=True)
        part(goals)
    print(goals.summary())
    return 0


def build(goals: Goals) -> None:
    """Measure a start of the starter ``hello`` beside ``terraform init``, ``plan`` and ``apply``."""
    found = results("tests.bench.builds")[0]
    goals.at_most("start of hello, POST to running / by hand", found["start"] / found["by_hand"], 0.35, "x")
    print(
        f"       {found['start'] * 1000:.0f} ms of {found['by_hand'] * 1000:.0f}; fastest"
        f" {found['fastest'] * 1000:.0f}; stop {found['stop'] * 1000:.0f}, delete {found['delete'] * 1000:.0f} ms"
    )
    print(f"       ms by step: {', '.join(f'{name} {value:.1f}' for name, value in found['spent_ms'].items())}")


def reads(goals: Goals) -> None:
    """Measure reads of workspaces beside plain REST framework, and 500 clients that watch workspaces."""
    found = results("tests.bench.workspace_reads")[0]
    goals.at_least("list of 1,000 workspaces with a search, CPU less than plain", found["list_ratio"], 8, "x")
    goals.at_least("one workspace, CPU less than plain", found["one_ratio"], 10, "x")
    goals.at_most("500 watched workspaces, no change in 5 s: statements", found["idle_statements"], 5)
    goals.at_least(f"{found['changes']} changes: events", found["events"], found["changes"])
    goals.at_most(f"{found['changes']} changes: statements a change", found["statements"] / found["changes"], 2.25)
    print(
        f"       list {found['list_ms']:.1f} ms, one {found['one_ms']:.2f} ms of CPU;"
        f" all events after {found['seconds'] * 1000:.0f} ms"
    )


def executor(goals: Goals) -> None:
    """Measure automatic builds of 10,000 scheduled workspaces."""
    found = results("tests.bench.executor")[0]
    goals.at_most("pass of the executor, nothing due: statements", found["statements"], 1)
    goals.at_most("pass of the executor, nothing due", found["idle"], 1, " s")
    goals.at_most("pass of the executor, 50 builds due", found["busy"], 1, " s")
    goals.at_most("passes of the executor, 2,000 builds due at once", found["at_once"], 5, " s")
    goals.at_most("lateness of the last of 60 builds of a worker", found["latest"], 10, " s")
    print(
        f"       {found['idle'] * 1000:.1f} ms without work, {found['busy'] * 20:.1f} ms a build;"
        f" median {found['median']:.1f} s late"
    )


if __name__ == "__main__":
    sys.exit(main())
