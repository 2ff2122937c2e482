"""The process table and process settings."""

import os
import signal
import subprocess
import sys
import time

from coderproj.base.processes import descendants, end_with_parent, process_ids, proportional_memory

SLEEP = "import time; time.sleep(60)"
WITH_CHILD = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SLEEP!r}])"
# Starts a child that ends with it, prints the child's id and waits.
PARENT = f"""
import signal, subprocess, sys, time
from coderproj.base.processes import end_with_parent
child = subprocess.Popen([sys.executable, "-c", {SLEEP!r}], preexec_fn=end_with_parent(signal.SIGTERM))
print(child.pid, flush=True)
time.sleep(60)
"""


def wait_until(condition) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_descendants_include_grandchildren_and_no_zombies():
    with subprocess.Popen([sys.executable, "-c", WITH_CHILD]) as child:
        wait_until(lambda: len(descendants(child.pid)) == 1)
        (grandchild,) = descendants(child.pid)
        assert {child.pid, grandchild} <= set(descendants(os.getpid())) <= set(process_ids())
        os.kill(grandchild, signal.SIGKILL)
        child.kill()
        wait_until(lambda: child.pid not in descendants(os.getpid()))  # before it is reaped


def test_a_child_ends_with_its_killed_parent():
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        assert child in process_ids()
        parent.kill()
        parent.wait()
        wait_until(lambda: child not in process_ids() or child not in descendants(1))


def test_a_child_whose_parent_has_ended_already_ends_at_once():
    prepare = end_with_parent(signal.SIGTERM)
    pid = os.fork()
    if not pid:
        if os.fork() == 0:
            try:
                prepare()  # the parent of this process is not the one that called end_with_parent
            finally:
                os._exit(7)
        _, status = os.wait()
        os._exit(os.waitstatus_to_exitcode(status))
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 1


def test_memory_of_this_process_and_of_an_ended_one():
    assert proportional_memory(os.getpid()) > 1_000_000
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    assert proportional_memory(ended.pid) == 0
