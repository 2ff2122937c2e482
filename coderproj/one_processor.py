"""Keeps the web process on one processor, the one on which others do least.

The interpreter lets one of its threads run at a time. Left to the scheduler, the event loop and the threads of the
requests wake one another on different processors, and what they share (every object that both touch) travels from one
processor's caches to the other's: a read takes 10 to 30 % more processor time that way
(docs/benchmarks.md). More processors are used by more web processes, each on its own.
"""

import contextlib
import logging
import math
import os
import random
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

logger = logging.getLogger(__name__)

STATISTICS = Path("/proc/stat")
THREADS = Path("/proc/self/task")
# Seconds between two looks at what others do.
INTERVAL = 5.0
# Another processor is taken when others use that much less of it, as a share of its time: moving costs cold caches.
WORTH_MOVING = 0.25
TICKS = os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def on_one_processor() -> Iterator[None]:
    """While the block runs, all threads of this process run on one processor of those that it may use.

    Where the system does not let it, they run as before, and the log says so.
    """
    allowed = os.sched_getaffinity(0)
    first = random.choice(sorted(allowed))  # noqa: S311 - several processes that start together shall differ
    if len(allowed) == 1 or not _stay_on({first}):
        yield
        return
    done = threading.Event()
    keeper = threading.Thread(target=_keep, args=(first, allowed, done), name="one-processor", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        done.set()
        keeper.join()
        _stay_on(allowed)


def _keep(current: int, allowed: set[int], done: threading.Event) -> None:
    """Move to the best processor, again and again until ``done``."""
    busy, own = busy_seconds(), time.process_time()
    while not done.wait(INTERVAL):
        busy_before, own_before = busy, own
        busy, own = busy_seconds(), time.process_time()
        worked = {processor: busy[processor] - busy_before.get(processor, 0) for processor in allowed & busy.keys()}
        current = best_processor(current, worked, own - own_before, INTERVAL)
        if not _stay_on({current}):
            return


def best_processor(current: int, worked: Mapping[int, float], own: float, seconds: float) -> int:
    """The processor to use, when in so many seconds each has ``worked`` that long, the current one ``own`` for us."""
    others = {**worked, current: worked.get(current, math.inf) - own}  # the current one may have been taken away
    least = min(others, key=others.__getitem__)
    return least if others[current] - others[least] > WORTH_MOVING * seconds else current


def busy_seconds() -> dict[int, float]:
    """For each processor the time that it has worked since the system's start (proc_stat(5))."""
    busy = {}
    for line in STATISTICS.read_text(encoding="ascii").splitlines():
        name, *values = line.split()
        if name.startswith("cpu") and name != "cpu":
            user, nice, system, _idle, _waiting, *interrupts_and_stolen = map(int, values[:8])
            busy[int(name[3:])] = (user + nice + system + sum(interrupts_and_stolen)) / TICKS
    return busy


def _stay_on(processors: set[int]) -> bool:
    """Have every thread run there, and those that they start; whether the system has let us."""
    try:
        for thread in THREADS.iterdir():
            with contextlib.suppress(ProcessLookupError):  # it has ended
                os.sched_setaffinity(int(thread.name), processors)
    except OSError as error:  # forbidden, or the processors that this process may use have been changed meanwhile
        logger.warning("the web server does not keep to one processor: %s", error)
        return False
    return True
