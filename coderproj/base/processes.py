"""Linux's process table and process settings, also for programs without Django.

``provisioning/engine/launcher.py`` does not use this module: it runs as ``python -I -S``, for every Terraform command,
and can import nothing but the standard library.
"""

import ctypes
import os
import resource
import signal
import sys
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

# From prctl(2).
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36

_PROC = Path("/proc")
_libc = ctypes.CDLL(None)


def signal_at_parent_death(number: signal.Signals) -> None:
    """Let the kernel send this signal to this process when the thread that started it ends.

    The parent can end before the call: compare ``os.getppid()`` afterwards. Does nothing on systems other than Linux.
    """
    if sys.platform.startswith("linux"):
        _libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)


def adopt_orphans() -> None:
    """Make this process the parent of its descendants whose own parents end (a subreaper). Only on Linux."""
    if sys.platform.startswith("linux"):
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_with_parent(number: signal.Signals) -> Callable[[], None]:
    """Return a ``preexec_fn``: the child gets this signal when the thread that started it ends."""
    parent = os.getpid()

    def prepare() -> None:
        signal_at_parent_death(number)
        if os.getppid() != parent:
            os._exit(1)

    return prepare


def process_ids() -> list[int]:
    """Return the ids of all processes, none on systems without ``/proc``."""
    try:
        return [int(name) for name in os.listdir(_PROC) if name.isdigit()]  # noqa: PTH208 (faster than iterdir)
    except OSError:
        return []


def descendants(pid: int) -> list[int]:
    """Return the ids of the running children of ``pid`` and of their descendants, without zombies."""
    children: dict[int, list[int]] = defaultdict(list)
    for process_id in process_ids():
        with suppress(OSError, ValueError, IndexError):
            state, parent = (
                (_PROC / str(process_id) / "stat").read_text(errors="replace").rpartition(")")[2].split()[:2]
            )
            # The children of a zombie already belong to another process.
            if state not in "ZX":
                children[int(parent)].append(process_id)
    found, queue = [], [pid]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found


def proportional_memory(pid: int) -> int:
    """Return the proportional set size of a process in bytes, 0 if the process has ended."""
    try:
        lines = (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def allow_connections() -> None:
    """Raise the soft limit of open files to the hard one: each connection needs a file."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
