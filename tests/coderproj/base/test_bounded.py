"""Calls in bounded processes: limits, shares, and what happens to processes afterwards."""

import os
import resource
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from coderproj.base.bounded import OverLimit, Pool, PoolBusy, ShareUsedUp, Task, TaskFailed, pool
from coderproj.base.bounded.errors import ClientGone

HERE = "tests.coderproj.base.test_bounded"


def _spin(_):
    while True:
        pass


def _sleep(seconds):
    time.sleep(seconds)
    return os.getpid()


def _deep(_):
    return _deep(_) + 1


ECHO = Task(f"{HERE}:ECHO", lambda given: given[::-1], bytes, bytes)
PID = Task(f"{HERE}:PID", lambda _: os.getpid(), int, int)
SPIN = Task(f"{HERE}:SPIN", _spin, int, int, cpu_seconds=0)
SLEEP = Task(f"{HERE}:SLEEP", _sleep, float, int, seconds=30)
NAP = Task(f"{HERE}:NAP", _sleep, float, int, seconds=0.2)
EAT = Task(f"{HERE}:EAT", lambda count: len(bytearray(count)), int, int)
DEEP = Task(f"{HERE}:DEEP", _deep, int, int)
DEFECT = Task(f"{HERE}:DEFECT", lambda given: 1 // given, int, int)
DIE = Task(f"{HERE}:DIE", os._exit, int, int)
SECRETS = Task(f"{HERE}:SECRETS", lambda _: sorted(os.environ), int, list[str])
CORE = Task(f"{HERE}:CORE", lambda _: resource.getrlimit(resource.RLIMIT_AS)[0], int, int)
TASKS = (ECHO, PID, SPIN, SLEEP, NAP, EAT, DEEP, DEFECT, DIE, SECRETS, CORE)


@pytest.fixture(scope="module")
def shared():
    made = Pool(TASKS, size=2, share=1)
    yield made
    made.close()


def test_a_call_returns_the_result(shared):
    assert shared.run(ECHO, b"abc" * 1_000_000, user="ada") == b"cba" * 1_000_000


def test_a_process_serves_many_calls_one_after_the_other(shared):
    assert len({shared.run(PID, 0, user="ada") for _ in range(5)}) == 1


@pytest.mark.parametrize(("task", "argument"), [(SPIN, 0), (EAT, 2 << 30), (DEEP, 0)])
def test_a_call_over_a_limit_is_stopped_and_its_process_replaced(shared, task, argument):
    before = shared.run(PID, 0, user="ada")
    with pytest.raises(OverLimit):
        shared.run(task, argument, user="ada")
    assert shared.run(PID, 0, user="ada") != before


def test_a_call_that_waits_too_long_is_stopped(shared):
    with pytest.raises(PoolBusy):
        shared.run(NAP, 30.0, user="ada")


@pytest.mark.parametrize(("task", "argument"), [(DEFECT, 0), (DIE, 3)])
def test_a_defect_fails_the_call_alone(shared, task, argument, capfd):
    with pytest.raises(TaskFailed):
        shared.run(task, argument, user="ada")
    assert shared.run(DEFECT, 1, user="ada") == 1


def test_a_process_that_needed_much_memory_is_replaced(shared):
    before = shared.run(PID, 0, user="ada")
    assert shared.run(EAT, 60 << 20, user="ada") == 60 << 20
    assert shared.run(PID, 0, user="ada") != before


def test_memory_of_the_server_does_not_count(shared):
    server = bytearray(100 << 20)
    fresh = Pool(TASKS, size=1)
    try:
        assert fresh.run(PID, 0, user="ada") == fresh.run(PID, 0, user="ada")
    finally:
        fresh.close()
    assert len(server) == 100 << 20


def test_a_process_has_no_credentials_and_limited_memory(shared, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://secret")
    fresh = Pool(TASKS, size=1)
    try:
        assert "DATABASE_URL" not in fresh.run(SECRETS, 0, user="ada")
        assert fresh.run(CORE, 0, user="ada") == 1 << 30
    finally:
        fresh.close()


def test_a_call_is_stopped_when_its_client_has_gone(shared):
    gone = threading.Event()
    with ThreadPoolExecutor() as threads:
        call = threads.submit(shared.run, SLEEP, 30.0, user="ada", is_gone=gone.is_set)
        gone.set()
        with pytest.raises(ClientGone):
            call.result(10)
    assert shared.run(ECHO, b"ab", user="ada") == b"ba"


def test_a_user_has_a_share_and_leaves_processes_to_others(shared, monkeypatch):
    monkeypatch.setattr(pool, "WAIT_SECONDS", 0.3)
    gone = threading.Event()
    with ThreadPoolExecutor() as threads:
        call = threads.submit(shared.run, SLEEP, 30.0, user="ada", is_gone=gone.is_set)
        wait_for_call(shared, "ada")
        with pytest.raises(ShareUsedUp) as refused:
            shared.run(ECHO, b"ab", user="ada")
        assert shared.run(ECHO, b"ab", user="bob") == b"ba"
        gone.set()
        with pytest.raises(ClientGone):
            call.result(10)
    assert refused.value.status_code == 429
    assert shared.run(ECHO, b"ab", user="ada") == b"ba"


def test_a_user_cannot_wait_with_many_threads(shared):
    gone = threading.Event()
    with ThreadPoolExecutor(16) as threads:
        calls = [threads.submit(shared.run, SLEEP, 30.0, user="ada", is_gone=gone.is_set) for _ in range(12)]
        refused = [call for call in calls if isinstance(_error_within(call, 1.0), ShareUsedUp)]
        gone.set()
    assert len(refused) == 10  # one runs, one waits
    assert shared.run(ECHO, b"ab", user="ada") == b"ba"


def test_all_users_together_have_a_bound(shared, monkeypatch):
    monkeypatch.setattr(pool, "WAIT_SECONDS", 0.3)
    gone = threading.Event()
    with ThreadPoolExecutor() as threads:
        calls = [threads.submit(shared.run, SLEEP, 30.0, user=user, is_gone=gone.is_set) for user in "ab"]
        for user in "ab":
            wait_for_call(shared, user)
        with pytest.raises(PoolBusy) as refused:
            shared.run(ECHO, b"ab", user="c")
        gone.set()
        for call in calls:
            with pytest.raises(ClientGone):
                call.result(10)
    assert refused.value.status_code == 503


def test_processes_end_with_the_pool():
    made = Pool(TASKS, size=1)
    pid = made.run(PID, 0, user="ada")
    made.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def wait_for_call(shared, user):
    until = time.monotonic() + 10
    while not shared._running[user]:
        assert time.monotonic() < until
        time.sleep(0.01)


def _error_within(call, seconds):
    try:
        return call.exception(seconds)
    except TimeoutError:
        return None
