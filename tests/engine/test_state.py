"""The files of states, in folders that a template's programs can write to."""

import os
import threading
from pathlib import Path

import pytest

from provisioning.engine import state as states
from provisioning.engine.base import MAX_STATE
from provisioning.engine.state import (
    STATE_FILE,
    StateTooLarge,
    make_state_folder,
    memory_folders,
    read_state,
    remove_memory_folders,
)
from provisioning.engine.terraform.build import StateWatcher

STATE = b'{"serial": 1}'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / STATE_FILE


def test_complete_state_is_read(path: Path) -> None:
    assert read_state(path) == b""
    path.write_bytes(STATE)
    assert read_state(path) == STATE
    path.write_bytes(STATE[:-1])
    assert read_state(path) == b""


def test_link_is_not_followed(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(STATE)
    path.symlink_to(other)
    assert read_state(path) == b""


def test_fifo_and_folder_are_not_read(path: Path) -> None:
    os.mkfifo(path)
    assert read_state(path) == b""
    path.unlink()
    path.mkdir()
    assert read_state(path) == b""


def test_large_state_is_not_read(path: Path) -> None:
    path.touch()
    os.truncate(path, MAX_STATE + 1)
    with pytest.raises(StateTooLarge, match="33,554,433 bytes: at most 33,554,432"):
        read_state(path)


def test_watcher_survives_a_large_state(path: Path) -> None:
    found, seen = [], threading.Event()

    def save(state: bytes) -> None:
        found.append(state)
        seen.set()

    with StateWatcher(path, save):
        path.touch()
        os.truncate(path, MAX_STATE + 1)
        assert not seen.wait(1.5)
        path.write_bytes(STATE)
        assert seen.wait(5)
    assert found == [STATE]


# ---------------------------------------------------------------------- states in memory
@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder instead of the machine's memory."""
    folder = tmp_path / "memory"
    folder.mkdir()
    monkeypatch.setattr(states, "MEMORY", folder)
    monkeypatch.setattr(states, "_MIN_FREE_MEMORY", 0)
    return folder


def test_folder_in_memory_is_private_and_belongs_to_its_runner(memory: Path, tmp_path: Path) -> None:
    runner, other = tmp_path / "coderproj-job-a", tmp_path / "coderproj-job-[a]"
    folder = make_state_folder(runner / "tf-1")
    assert folder.parent == memory
    assert folder.stat().st_mode & 0o777 == 0o700
    assert memory_folders(runner) == [folder]
    kept = make_state_folder(other / "tf-1")
    assert memory_folders(other) == [kept]
    remove_memory_folders(runner)
    assert list(memory.iterdir()) == [kept]


def test_state_is_on_disk_without_room_in_memory(memory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    private = tmp_path / "job" / "tf-1"
    make_state_folder(private)
    assert make_state_folder(private) == private  # another process has made the folder
    monkeypatch.setattr(states, "_MIN_FREE_MEMORY", 1 << 60)
    assert make_state_folder(tmp_path / "job" / "tf-2") == tmp_path / "job" / "tf-2"
    monkeypatch.setattr(states, "MEMORY", tmp_path / "missing")
    assert make_state_folder(tmp_path / "job" / "tf-3") == tmp_path / "job" / "tf-3"
    assert memory_folders(tmp_path / "job") == []


def test_links_and_folders_of_other_users_are_not_read(memory: Path, tmp_path: Path) -> None:
    (memory / "job-tf-1").symlink_to(tmp_path)
    (memory / "job-tf-2").write_text("")
    foreign = memory / "job-tf-3"
    foreign.mkdir()
    if os.geteuid() == 0:
        os.chown(foreign, 12345, -1)
    else:
        foreign.rmdir()
    assert memory_folders(tmp_path / "job") == []
