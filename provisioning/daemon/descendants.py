"""Finding and ending every process of a job, whatever groups and sessions they made for themselves.

Reads ``/proc``; elsewhere than on Linux nothing is found and a process group is all that can be ended. No
Django.
"""

import os
import signal
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")
_ROUNDS = 20  # a process that forks faster than it is looked for


def kill_descendants(pid: int) -> None:
    """Kill all children of ``pid`` and theirs. It must adopt orphans (a subreaper) and not be forking
    itself.
    """
    _kill_all(lambda: _below(pid))


def kill_inside(directory: Path) -> None:
    """Kill all processes whose working directory is in ``directory``."""
    _kill_all(lambda: _inside(str(directory)))


def _kill_all(find: Callable[[], list[int]]) -> None:
    for _ in range(_ROUNDS):
        found = find()
        if not found:
            return
        for pid in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def _processes() -> list[int]:
    try:
        return [int(name) for name in os.listdir(_PROC) if name.isdigit()]  # noqa: PTH208 (called in a hurry)
    except OSError:
        return []


def _below(root: int) -> list[int]:
    children: dict[int, list[int]] = defaultdict(list)
    for pid in _processes():
        with suppress(OSError, ValueError, IndexError):
            state, parent = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()[:2]
            # A zombie is listed for its children's sake only: they are its parent's by now.
            if state not in "ZX":
                children[int(parent)].append(pid)
    found, queue = [], [root]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found


def _inside(directory: str) -> list[int]:
    found = []
    for pid in _processes():
        with suppress(OSError):
            where = str((_PROC / str(pid) / "cwd").readlink())
            if where == directory or where.startswith((f"{directory}/", f"{directory} (deleted)")):
                found.append(pid)
    return found
