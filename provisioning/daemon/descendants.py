"""Finding and ending every process of a job, whatever groups and sessions they made for themselves.

Reads ``/proc``; elsewhere than on Linux nothing is found and a process group is all that can be ended. No
Django.
"""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from coderproj.base.processes import descendants, process_ids

_PROC = Path("/proc")
_ROUNDS = 20  # a process that forks faster than it is looked for


def kill_descendants(pid: int) -> None:
    """Kill all children of ``pid`` and theirs. It must adopt orphans (a subreaper) and not be forking
    itself.
    """
    _kill_all(lambda: descendants(pid))


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


def _inside(directory: str) -> list[int]:
    found = []
    for pid in process_ids():
        with suppress(OSError):
            where = str((_PROC / str(pid) / "cwd").readlink())
            if where == directory or where.startswith((f"{directory}/", f"{directory} (deleted)")):
                found.append(pid)
    return found
