"""Keeps the web process on one processor, the one on which others do least.

The interpreter lets one of its threads run at a time. Left to the scheduler, the event loop and the threads of the
requests wake one another on different processors, and what they share (every object that both touch) travels from one
processor's caches to the other's: a read takes 10 to 30 % more processor time that way (docs/benchmarks.md). More
processors are used by more web processes, each on its own.
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
# Seconds between two looks at what others do, on average.
INTERVAL = 5.0
# Another processor is taken when others use that much less of it, as a share of its time: moving costs cold caches.
WORTH_MOVING = 0.25
# How often that is done then: two processes that met on one processor shall not both leave it for the same other one.
CHANCE = 0.5
TICKS = os.sysconf("SC_CLK_TCK")
# The processors that this process may use, since it keeps to one of them.
_allowed: set[int] = set()


@contextlib.contextmanager
def on_one_processor() -> Iterator[None]:
    """While the block runs, all threads of this process run on one processor of those that it may use, and so do
    processes that they start.

    Where the system does not let it, or does not tell what its processors do, they run as before.
    """
    done = threading.Event()
    _allowed.update(os.sched_getaffinity(0))
    keeper = threading.Thread(target=_keep, args=(set(_allowed), done), name="one-processor", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        done.set()
        keeper.join()
        _allowed.clear()


@contextlib.contextmanager
def anywhere() -> Iterator[None]:
    """While the block runs, this thread may use any processor: for work without the interpreter's lock, of longer than
    a few milliseconds."""
    before = os.sched_getaffinity(0)
    with contextlib.suppress(OSError):  # then it stays where it is
        os.sched_setaffinity(0, _allowed or before)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # the next look brings it back
            os.sched_setaffinity(0, before)


def _keep(allowed: set[int], done: threading.Event) -> None:
    """Stay on the processor that is the best, until ``done``; then be free again."""
    try:
        busy, own, since = busy_seconds(), time.process_time(), time.monotonic()
        if not allowed <= busy.keys():
            raise LookupError("the system does not tell what all its processors do")
        current = random.choice(sorted(allowed))  # noqa: S311 - processes that start together shall differ
        _stay_on({current})
        while not done.wait(random.uniform(0.5, 1.5) * INTERVAL):  # noqa: S311
            before, own_before, since_before = busy, own, since
            busy, own, since = busy_seconds(), time.process_time(), time.monotonic()
            worked = {processor: busy[processor] - before.get(processor, 0) for processor in allowed & busy.keys()}
            best = best_processor(current, worked, own - own_before, since - since_before)
            if random.random() < CHANCE:  # noqa: S311
                current = best
            _stay_on({current})
    except (OSError, LookupError, ValueError) as error:
        # Forbidden, or it may use other processors now, or there is nothing readable about them.
        logger.warning("the web server does not keep to one processor: %s", error)
    with contextlib.suppress(OSError):  # it may use none of them any more: the system has moved it already
        _stay_on(allowed)


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


def _stay_on(processors: set[int]) -> None:
    """Have every thread run there, and those that they start. Raises OSError."""
    for thread in THREADS.iterdir():
        with contextlib.suppress(ProcessLookupError):  # it has ended
            os.sched_setaffinity(int(thread.name), processors)
