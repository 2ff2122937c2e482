"""Find and kill all processes of a job, in any process group or session.

Reads ``/proc``. On systems other than Linux nothing is found, and only the process group can be killed. No Django.
"""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from coderproj.base.processes import descendants, process_ids

_PROC = Path("/proc")
_ROUNDS = 20  # a limit, in case a process forks faster than it is found


def kill_descendants(pid: int) -> None:
    """Kill all descendants of ``pid``, which must be a subreaper (it adopts orphans) and must not fork meanwhile."""
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
