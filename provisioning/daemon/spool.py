"""The states of running builds on this machine's disk, so that none is lost with a process.

A job that changes things outside has an entry, a folder in the data folder. Its runner writes each state there before
it sends it. The supervisor removes the entry after the server has the last state. If daemon or runner are killed, the
entry stays, and a daemon of this machine sends what it finds. Daemon and runner hold a lock on an entry while they
live: an entry without locks belongs to nobody, and nothing runs any more. No Django.
"""

import fcntl
import logging
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from provisioning.engine.state import (
    NO_STATE,
    STATE_FILE,
    StateTooLarge,
    memory_folders,
    read_with_age,
    remove_memory_folders,
)
from provisioning.protocol.leases import Lease

logger = logging.getLogger(__name__)

JOB_FOLDER = "coderproj-job-"  # the start of the names of runners' folders
_FACTS = "entry.json"
_STATE = "state"
# An entry that the server does not accept is removed after this time.
KEEP_SECONDS = 7 * 24 * 3600.0


class Facts(msgspec.Struct, frozen=True):
    """The content of ``entry.json``: whose job it is. ``directory`` is the runner's folder."""

    server: str
    job_id: uuid.UUID
    token: uuid.UUID
    directory: str


@dataclass(slots=True)
class Entry:
    """The entry of one job. ``close`` must be called; ``remove`` does so, too."""

    folder: Path
    facts: Facts
    _descriptor: int

    @property
    def lease(self) -> Lease:
        return Lease(self.facts.job_id, self.facts.token)

    def last_state(self) -> bytes:
        """Return the newest state that the runner wrote here, or that the engine left in the runner's folder."""
        return last_state(self.folder, Path(self.facts.directory))

    def keep_state(self) -> None:
        """Copy the newest state into the entry: the runner's folder is removed next. Raises OSError."""
        if state := self.last_state():
            _write(self.folder / _STATE, state)

    def remove(self) -> None:
        """Remove the entry and the folder of a runner that was killed."""
        _remove_job_folder(Path(self.facts.directory))
        shutil.rmtree(self.folder, ignore_errors=True)
        self.close()

    def close(self) -> None:
        """Release the lock. Can be called again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Spool:
    """The entries of daemons of this machine. ``server`` names the server that their states belong to."""

    def __init__(self, root: Path | None, server: str) -> None:
        self._root = root
        self._server = server
        self._refused: set[Path] = set()

    def open(self, lease: Lease, directory: Path) -> Entry | None:
        """Create the entry of a job; None if the data folder cannot be written."""
        if self._root is None:
            return None
        folder = self._root / f"{lease.job_id}-{lease.token.hex[:8]}"
        facts = Facts(self._server, lease.job_id, lease.token, str(directory))
        try:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            unfinished = folder.with_name(f".{folder.name}")
            unfinished.mkdir(mode=0o700, exist_ok=True)
            _write(unfinished / _FACTS, msgspec.json.encode(facts))
            # The lock is held before others see the entry.
            descriptor = _lock(unfinished, fcntl.LOCK_SH)
            unfinished.rename(folder)
        except OSError as error:
            logger.warning("Job %s: its states are not kept on this machine: %s", lease.job_id, error)
            return None
        return Entry(folder, facts, descriptor)

    def left(self) -> Iterator[Entry]:
        """Yield the entries for this server that belong to nobody, locked. Entries that were refused are left out, and
        removed when they are old."""
        if self._root is None or not self._root.is_dir():
            return
        for folder in sorted(self._root.iterdir()):
            if folder.name.startswith("."):
                continue
            with suppress(OSError):
                descriptor = _lock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                entry = self._entry(folder, descriptor)
                if entry is None:
                    os.close(descriptor)
                elif folder not in self._refused:
                    yield entry
                elif not _remove_old(entry):
                    entry.close()

    def _entry(self, folder: Path, descriptor: int) -> Entry | None:
        try:
            facts = msgspec.json.decode((folder / _FACTS).read_bytes(), type=Facts)
        except (OSError, msgspec.MsgspecError):
            return None
        return Entry(folder, facts, descriptor) if facts.server == self._server else None

    def refuse(self, entry: Entry, reason: str) -> None:
        """Keep an entry that the server does not accept for a while, without sending it again."""
        self._refused.add(entry.folder)
        if _remove_old(entry):
            return
        entry.close()
        logger.error(
            "Job %s: the server does not accept its last state: %s. It is kept for %d days in %s",
            entry.facts.job_id,
            reason,
            KEEP_SECONDS // 86_400,
            entry.folder,
        )


class RunnerEntry:
    """The runner's side of an entry. Raises OSError if it does not exist any more."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptor = _lock(folder, fcntl.LOCK_SH)  # until the process ends
        if not (folder / _FACTS).exists():
            os.close(self._descriptor)
            raise FileNotFoundError(folder)

    def write(self, state: bytes) -> None:
        """Replace the state. Raises OSError."""
        _write(self._folder / _STATE, state)


def last_state(entry: Path | None, directory: Path) -> bytes:
    """Return the newest complete state in an entry and in a runner's folder; empty if there is none. The copy in the
    entry can be older than the engine's file although it was written later. A state that is too large is left out, and
    named in the log."""
    folders = [folder for folder in directory.glob("tf-*") if not folder.is_symlink()]
    found = [folder / STATE_FILE for folder in (*folders, *memory_folders(directory))]
    if entry is not None:
        found.append(entry / _STATE)
    newest = NO_STATE
    for path in found:
        try:
            one = read_with_age(path)
        except StateTooLarge as error:
            logger.error("%s is not read: %s", path, error)
            continue
        # Of equally old states, the engine's file is the newer one: the runner copies it.
        newest = max(newest, one, key=lambda state: state[0])
    return newest[1]


def _remove_old(entry: Entry) -> bool:
    """Remove an entry that has been kept long enough. Returns True if it was removed."""
    with suppress(OSError):
        if time.time() - entry.folder.stat().st_mtime > KEEP_SECONDS:
            entry.remove()
            return True
    return False


def _lock(folder: Path, kind: int) -> int:
    """Return a descriptor that holds a lock on an entry. Raises OSError, also if another process holds one."""
    descriptor = os.open(folder / _FACTS, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, kind)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _write(path: Path, content: bytes) -> None:
    """Replace a file's content at once: a reader sees the old or the new one."""
    unfinished = path.with_name(f".{path.name}")
    opened = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(opened, "wb") as file:
        file.write(content)
    unfinished.rename(path)


def _remove_job_folder(directory: Path) -> None:
    if directory.name.startswith(JOB_FOLDER):
        shutil.rmtree(directory, ignore_errors=True)
        remove_memory_folders(directory)
