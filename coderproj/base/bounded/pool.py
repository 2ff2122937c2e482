"""The server's side of the bounded processes: starting, sharing and stopping them."""

import atexit
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from coderproj.base.bounded.errors import ClientGone, OverLimit, PoolBusy, ShareUsedUp, TaskFailed
from coderproj.base.bounded.tasks import Argument, Order, Reply, Result, Task, receive_frame, send_frame

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = "coderproj.base.bounded.process"
# Seconds that a call waits for a free process.
WAIT_SECONDS = 3.0
# Seconds between looks at whether the client is still there.
TICK = 0.25
_END_SECONDS = 2.0


class BoundedProcess:
    """One process, which runs one call after the other. Not for several threads at once."""

    def __init__(self, paths: tuple[str, ...]) -> None:
        self._channel, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                (sys.executable, "-m", PROGRAM, *paths),
                cwd=ROOT,
                env={"PATH": os.defpath},
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def call(self, order: Order, seconds: float, is_gone: Callable[[], bool] | None) -> Reply:
        """Run a call. Raises OverLimit, TaskFailed, ClientGone, and PoolBusy after ``seconds``: a call with a limit on
        processor time takes that long only on a busy machine. The process must be ended after each of them.
        """
        deadline = time.monotonic() + seconds

        def receive(count: int) -> bytes:
            while not select.select([self._channel], [], [], min(TICK, max(0.0, deadline - time.monotonic())))[0]:
                if time.monotonic() >= deadline:
                    raise PoolBusy
                if is_gone is not None and is_gone():
                    raise ClientGone
            return self._channel.recv(count)

        try:
            self._channel.settimeout(seconds)
            send_frame(self._channel, order)
            frame = receive_frame(receive)
        except TimeoutError:
            raise PoolBusy from None
        except OSError as error:
            raise TaskFailed from error
        if frame is None:
            raise self._reason(order)
        return msgspec.msgpack.decode(frame, type=Reply)

    def _reason(self, order: Order) -> OverLimit | TaskFailed:
        """Return why the process ended without a reply."""
        try:
            status = self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            status = None
        if status in (-signal.SIGXCPU, -signal.SIGKILL):
            return OverLimit()
        logger.error("A bounded process ended with status %s in %s", status, order.name)
        return TaskFailed()

    def end(self) -> None:
        """End the process. Can be called again."""
        self._channel.close()
        self._process.kill()
        self._process.wait()


class Pool:
    """At most ``size`` processes that run ``tasks``; a user has at most ``share`` of them, and as many waiting calls.

    Processes stay for later calls, and one that was stopped is replaced at once. ``close`` ends them; a later call
    starts them again.
    """

    def __init__(self, tasks: tuple[Task[Any, Any], ...], *, size: int = 0, share: int = 0) -> None:
        self._paths = tuple(task.path for task in tasks)
        self.size = size or min(4, max(2, os.cpu_count() or 1))
        self.share = share or max(1, self.size - 1)
        self._changed = threading.Condition()
        self._idle: list[BoundedProcess] = []
        self._running: Counter[Hashable] = Counter()
        self._waiting: Counter[Hashable] = Counter()
        atexit.register(self.close)

    def run(
        self,
        task: Task[Argument, Result],
        argument: Argument,
        *,
        user: Hashable,
        is_gone: Callable[[], bool] | None = None,
    ) -> Result:
        """Run a task for a user and return its result. ``is_gone`` returns True once the client has disconnected.

        Raises ShareUsedUp and PoolBusy if no process is free for the user, OverLimit if the task exceeds a limit,
        ClientGone, and TaskFailed.
        """
        order = Order(task.path, msgspec.msgpack.encode(argument), task.cpu_seconds)
        with self._slot(user):
            taken = self._take()
            keep = False
            try:
                reply = taken.call(order, task.seconds, is_gone)
                keep = not reply.is_last
            finally:
                self._give_back(taken, keep=keep)
        if reply.over_limit:
            raise OverLimit
        if reply.error:
            logger.error("The task %s failed: %s", task.path, reply.error)
            raise TaskFailed
        result: Result = msgspec.msgpack.decode(reply.result, type=task.result)
        return result

    def warm_up(self) -> None:
        """Start the first process."""
        with self._changed:
            if not self._idle:
                self._idle.append(BoundedProcess(self._paths))

    def close(self) -> None:
        """End the processes that run no call."""
        with self._changed:
            idle, self._idle = self._idle, []
        for one in idle:
            one.end()

    @contextmanager
    def _slot(self, user: Hashable) -> "Iterator[None]":
        """Wait for a free process within the user's share."""
        until = time.monotonic() + WAIT_SECONDS
        with self._changed:
            if self._running[user] + self._waiting[user] >= 2 * self.share:
                raise ShareUsedUp
            if self._waiting.total() >= 2 * self.size:
                raise PoolBusy
            self._waiting[user] += 1
            try:
                while self._running[user] >= self.share or self._running.total() >= self.size:
                    if not self._changed.wait(until - time.monotonic()) and time.monotonic() >= until:
                        raise ShareUsedUp if self._running[user] >= self.share else PoolBusy
            finally:
                _subtract(self._waiting, user)
            self._running[user] += 1
        try:
            yield
        finally:
            with self._changed:
                _subtract(self._running, user)
                self._changed.notify_all()

    def _take(self) -> BoundedProcess:
        with self._changed:
            while self._idle:
                one = self._idle.pop()
                if one.is_alive:
                    return one
                one.end()
        return BoundedProcess(self._paths)

    def _give_back(self, one: BoundedProcess, *, keep: bool) -> None:
        if not keep:
            one.end()
            with suppress(OSError):  # the next call reports it
                one = BoundedProcess(self._paths)
                keep = True
        if keep:
            with self._changed:
                self._idle.append(one)


def _subtract(counter: "Counter[Hashable]", key: Hashable) -> None:
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]
