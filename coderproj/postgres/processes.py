"""What Linux tells about, and does for, the server's processes."""

import ctypes
import os
import signal
from collections.abc import Callable
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def end_with_parent(ending: signal.Signals) -> Callable[[], None]:
    """For `preexec_fn`: the kernel sends `ending` to the child when the thread that started it is gone."""
    parent = os.getpid()

    def arm() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, int(ending), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return arm


def server_processes(data: Path) -> list[int]:
    """The PostgreSQL processes at work in the folder `data`: every one of them has it as its current
    folder.
    """
    wanted = data.resolve()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "cwd").readlink() == Path(wanted) and (entry / "comm").read_text().startswith("postgres"):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found
