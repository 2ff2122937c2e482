"""What builds of all engines share: the state of a workspace as a file, and the stages of an apply."""

import glob
import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any

from provisioning.engine.base import MAX_STATE, BuildInput, EngineError, Log, LogLevel, Stage, Transition

STATE_FILE = "workspace.tfstate"
APPLY_STAGES = {
    Transition.START: Stage.STARTING,
    Transition.STOP: Stage.STOPPING,
    Transition.DELETE: Stage.DESTROYING,
}
NOTHING_TO_PLAN = "The workspace has no state: there is nothing to plan"
NOTHING_TO_DESTROY = "The workspace has no state: there is nothing to destroy"


# Terraform waits for the disk after each change of the state's file, which takes longer than many changes. In memory it
# does not wait, and a state survives all processes as well. If the machine is lost, the server has the last state that
# was passed on, a fraction of a second before.
MEMORY = Path("/dev/shm")  # noqa: S108 - its folders have names that others cannot know in advance
_MIN_FREE_MEMORY = 4 * MAX_STATE


class StateTooLarge(EngineError):
    """The file of a state is larger than MAX_STATE, so it is not read."""

    def __init__(self, size: int) -> None:
        super().__init__(f"the workspace's state has {size:,} bytes: at most {MAX_STATE:,} are stored")


def is_complete(state: bytes) -> bool:
    """Return True if the bytes are a whole state, which is a JSON object in UTF-8: Terraform overwrites its file in
    place."""
    return _parsed(state) is not None


def _parsed(state: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(state.decode())
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def read_state(path: Path) -> bytes:
    """Return the state in a file; empty if there is none, or if it is incomplete. Raises StateTooLarge."""
    return read_with_age(path)[1]


# Larger ones are newer: the serial number, which grows with each change, then when the file changed, in nanoseconds.
Age = tuple[int, int]
NO_STATE: tuple[Age, bytes] = ((0, 0), b"")


def read_with_age(path: Path) -> tuple[Age, bytes]:
    """Return age and state of a file; NO_STATE if it has no complete state.

    Programs of a template can write to the folder. So links are not followed, only regular files are read, and opening
    does not wait for the writer of a FIFO. Raises StateTooLarge.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return NO_STATE
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            return NO_STATE
        if about.st_size > MAX_STATE:
            raise StateTooLarge(about.st_size)
        with open(descriptor, "rb", closefd=False) as file:
            state = file.read(MAX_STATE + 1)
    except OSError:
        return NO_STATE
    finally:
        os.close(descriptor)
    if len(state) > MAX_STATE:  # it has grown
        raise StateTooLarge(len(state))
    found = _parsed(state)
    if found is None:
        return NO_STATE
    serial = found.get("serial")
    return (serial if isinstance(serial, int) else 0, about.st_mtime_ns), state


def nothing_to_destroy(build: BuildInput, log: Log) -> bool:
    """Return True, and log it, if the build deletes a workspace without state."""
    if build.plan.context.transition is not Transition.DELETE or build.state:
        return False
    log(LogLevel.INFO, Stage.PLANNING, NOTHING_TO_PLAN)
    log(LogLevel.INFO, Stage.DESTROYING, NOTHING_TO_DESTROY)
    return True


# ---------------------------------------------------------------------- states in memory
def make_state_folder(folder: Path) -> Path:
    """Return the folder for the state of an engine with this private folder in its runner's folder: a new one in memory
    if that has room, else the same folder."""
    chosen = MEMORY / f"{folder.parent.name}-{folder.name}"
    try:
        room = os.statvfs(MEMORY)
        if room.f_bavail * room.f_frsize < _MIN_FREE_MEMORY:
            return folder
        chosen.mkdir(mode=0o700)
    except OSError:
        return folder
    return chosen


def memory_folders(runner: Path) -> list[Path]:
    """Return the folders in memory that belong to a runner's folder. Those of other users are left out."""
    found = []
    for folder in MEMORY.glob(f"{glob.escape(runner.name)}-tf-*"):
        try:
            about = folder.lstat()
        except OSError:
            continue
        if stat.S_ISDIR(about.st_mode) and about.st_uid == os.geteuid():
            found.append(folder)
    return found


def remove_memory_folders(runner: Path) -> None:
    for folder in memory_folders(runner):
        shutil.rmtree(folder, ignore_errors=True)
