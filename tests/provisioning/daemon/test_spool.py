"""The spool: whose entries are sent, and which state is the newest."""

import os
import shutil
import uuid

import pytest

from provisioning.daemon.loop import deliver_left_states
from provisioning.daemon.spool import KEEP_SECONDS, RunnerEntry, Spool, last_state
from provisioning.engine import state as states
from provisioning.engine.base import MAX_STATE
from provisioning.engine.state import STATE_FILE, make_state_folder
from provisioning.protocol.client import Refused, Unreachable
from provisioning.protocol.leases import Lease, LeaseLost, StateKept


class Client:
    """A server that answers every state with ``error``, if there is one."""

    def __init__(self, error=None):
        self.error = error
        self.states = []
        self.failed = 0

    def store_state(self, lease, state, *, is_last):
        assert is_last
        if self.error and not isinstance(self.error, StateKept):
            raise self.error
        self.states.append(state)
        if self.error:
            raise self.error

    def fail(self, lease, error):
        self.failed += 1


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path / "spool", "a")


@pytest.fixture
def directory(tmp_path):
    folder = tmp_path / "coderproj-job-x"
    folder.mkdir()
    return folder


def make_entry(spool, directory, state=b'{"serial": 1}'):
    """Make the entry of a job whose daemon has been killed."""
    entry = spool.open(Lease(uuid.uuid4(), uuid.uuid4()), directory)
    if state:
        runner = RunnerEntry(entry.folder)
        runner.write(state)
        os.close(runner._descriptor)
    entry.close()
    return entry


def test_only_entries_without_locks_are_left(spool, directory):
    held = spool.open(Lease(uuid.uuid4(), uuid.uuid4()), directory)
    assert list(spool.left()) == []
    runner = RunnerEntry(held.folder)
    held.close()
    assert list(spool.left()) == []
    os.close(runner._descriptor)
    (found,) = spool.left()
    assert found.lease == held.lease
    assert list(spool.left()) == []  # it is locked now
    found.remove()
    assert not held.folder.exists()
    assert not directory.exists()


def test_entries_of_other_servers_are_left_alone(spool, directory, tmp_path):
    entry = make_entry(spool, directory)
    assert list(Spool(tmp_path / "spool", "b").left()) == []
    assert entry.folder.exists()
    (found,) = spool.left()
    found.close()


def test_runner_without_its_entry_does_not_start(spool, directory):
    entry = make_entry(spool, directory)
    entry.remove()
    with pytest.raises(FileNotFoundError):
        RunnerEntry(entry.folder)


def test_newest_complete_state_wins(tmp_path):
    entry, engine = tmp_path / "entry", tmp_path / "job" / "tf-1"
    entry.mkdir()
    engine.mkdir(parents=True)
    copy, file = entry / "state", engine / "workspace.tfstate"
    copy.write_bytes(b'{"serial": 2}')
    file.write_bytes(b'{"serial": 1}')
    assert last_state(entry, tmp_path / "job") == b'{"serial": 2}'
    file.write_bytes(b'{"serial": 3}')
    os.utime(file, ns=(0, 1))  # a copy of an earlier state can be written later
    assert last_state(entry, tmp_path / "job") == b'{"serial": 3}'
    file.write_bytes(b'{"seri')
    assert last_state(entry, tmp_path / "job") == b'{"serial": 2}'
    assert last_state(None, tmp_path / "job") == b""


@pytest.mark.parametrize("serial", ['"serial": 1, ', '"serial": "x", ', ""])
def test_time_decides_between_equal_serial_numbers(tmp_path, serial):
    entry, engine = tmp_path / "entry", tmp_path / "job" / "tf-1"
    entry.mkdir()
    engine.mkdir(parents=True)
    (entry / "state").write_text(f'{{{serial}"from": "entry"}}')
    (engine / "workspace.tfstate").write_text(f'{{{serial}"from": "engine"}}')
    os.utime(engine / "workspace.tfstate", ns=(0, 1))
    assert b"entry" in last_state(entry, tmp_path / "job")
    os.utime(entry / "state", ns=(0, 1))
    assert b"engine" in last_state(entry, tmp_path / "job")


def test_entry_keeps_the_newest_state_of_a_folder_that_is_removed(spool, directory):
    entry = make_entry(spool, directory)
    engine = directory / "tf-1"
    engine.mkdir()
    (engine / "workspace.tfstate").write_bytes(b'{"serial": 5}')
    entry.keep_state()
    shutil.rmtree(directory)
    assert entry.last_state() == b'{"serial": 5}'


def test_state_in_memory_is_found_and_removed_with_its_entry(spool, tmp_path, monkeypatch):
    monkeypatch.setattr(states, "MEMORY", tmp_path)
    monkeypatch.setattr(states, "_MIN_FREE_MEMORY", 0)
    runner = tmp_path / "coderproj-job-memory"
    runner.mkdir()
    entry = make_entry(spool, runner)
    folder = make_state_folder(runner / "tf-1")
    (folder / "workspace.tfstate").write_bytes(b'{"serial": 7}')
    assert entry.last_state() == b'{"serial": 7}'
    entry.remove()
    assert not folder.exists()


@pytest.mark.parametrize("late", [False, True])
def test_left_state_is_sent_and_its_entry_removed(spool, directory, late):
    entry = make_entry(spool, directory)
    client = Client(StateKept() if late else None)
    deliver_left_states(spool, client)
    assert (client.states, client.failed) == ([b'{"serial": 1}'], 0 if late else 1)
    assert not entry.folder.exists()


def test_job_without_a_state_is_failed(spool, directory):
    entry = make_entry(spool, directory, state=b"")
    client = Client()
    deliver_left_states(spool, client)
    assert (client.states, client.failed) == ([b""], 1)
    assert not entry.folder.exists()


def test_state_waits_for_its_server(spool, directory):
    entry = make_entry(spool, directory)
    with pytest.raises(Unreachable):
        deliver_left_states(spool, Client(Unreachable()))
    assert entry.folder.exists()
    deliver_left_states(spool, Client())
    assert not entry.folder.exists()


@pytest.mark.parametrize("error", [Refused("too large"), LeaseLost(), RuntimeError("the server failed")])
def test_state_that_is_not_accepted_is_kept_for_a_while(spool, directory, error):
    entry = make_entry(spool, directory)
    deliver_left_states(spool, Client(error))
    client = Client()
    deliver_left_states(spool, client)
    assert (client.states, entry.folder.exists()) == ([], True)  # not tried again by this daemon
    old = entry.folder.stat().st_mtime - KEEP_SECONDS - 1
    os.utime(entry.folder, (old, old))
    deliver_left_states(Spool(entry.folder.parent, "a"), Client(error))
    assert not entry.folder.exists()


def test_refused_entry_is_removed_when_it_is_old(spool, directory):
    entry = make_entry(spool, directory)
    deliver_left_states(spool, Client(Refused("too large")))
    old = entry.folder.stat().st_mtime - KEEP_SECONDS - 1
    os.utime(entry.folder, (old, old))
    client = Client()
    deliver_left_states(spool, client)
    assert (client.states, entry.folder.exists(), directory.exists()) == ([], False, False)


def test_states_in_links_are_not_read(tmp_path):
    other = tmp_path / "other" / "tf-1"
    other.mkdir(parents=True)
    (other / STATE_FILE).write_bytes(b'{"serial": 1}')
    job = tmp_path / "job"
    job.mkdir()
    (job / "tf-1").symlink_to(other)
    (job / "tf-2").mkdir()
    (job / "tf-2" / STATE_FILE).symlink_to(other / STATE_FILE)
    assert last_state(None, job) == b""


def test_state_that_is_too_large_is_named_in_the_log(tmp_path, caplog):
    entry, engine = tmp_path / "entry", tmp_path / "job" / "tf-1"
    entry.mkdir()
    engine.mkdir(parents=True)
    (entry / "state").write_bytes(b'{"serial": 1}')
    (engine / STATE_FILE).touch()
    os.truncate(engine / STATE_FILE, MAX_STATE + 1)
    assert last_state(entry, tmp_path / "job") == b'{"serial": 1}'
    assert f"{engine / STATE_FILE} is not read" in caplog.text
