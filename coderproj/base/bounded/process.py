"""A bounded process: ``python -m coderproj.base.bounded.process TASK …``, with the server's socket as standard input.

It imports the modules of the tasks that its arguments name, then runs one call after the other. It ends when the
server closes the socket, by the kernel when a call exceeds a limit, and after a call that needed much memory.
"""

import gc
import os
import resource
import socket
import sys
import traceback
from contextlib import suppress
from importlib import import_module
from typing import Any

import msgspec

from coderproj.base.bounded.tasks import Order, Reply, Task, receive_frame, send_frame

MEMORY_BYTES = 1 << 30
# A process that needed more is replaced: Python returns little to the system. A new one has 32 MiB.
KEPT_BYTES = 48 << 20
FILE_BYTES = 64 << 20
OPEN_FILES = 64
# Requests of the web server have priority on a shared processor.
NICENESS = 10


def main(paths: list[str]) -> None:
    """Serve calls until the server closes the socket."""
    channel = socket.socket(fileno=os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.nice(NICENESS)
    tasks = {path: _task(path) for path in paths}
    _limit()
    gc.collect()
    gc.freeze()
    while (frame := receive_frame(channel.recv)) is not None:
        order = msgspec.msgpack.decode(frame, type=Order)
        reply = _call(tasks[order.name], order)
        with suppress(OSError):  # the server no longer waits for it
            send_frame(channel, reply)
        if reply.is_last:
            return


def _task(path: str) -> Task[Any, Any]:
    module, _, name = path.partition(":")
    task: Task[Any, Any] = getattr(import_module(module), name)
    return task


def _limit() -> None:
    for kind, limit in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, FILE_BYTES),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        with suppress(OSError, ValueError):  # the system's own limit is lower
            resource.setrlimit(kind, (limit, limit))


def _call(task: Task[Any, Any], order: Order) -> Reply:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    # The limit counts from the process's start, in whole seconds.
    resource.setrlimit(resource.RLIMIT_CPU, (int(usage.ru_utime + usage.ru_stime) + order.cpu_seconds + 1, hard))
    try:
        argument = msgspec.msgpack.decode(order.argument, type=task.argument)
        result = msgspec.msgpack.encode(task.function(argument))
    except (MemoryError, RecursionError) as error:
        return Reply(error=type(error).__name__, over_limit=True, is_last=True)
    except Exception as error:  # noqa: BLE001 - a defect of a task must not end the process without a reply
        traceback.print_exc()
        return Reply(error=type(error).__name__)
    return Reply(result=result, is_last=_most_memory() > KEPT_BYTES)


def _most_memory() -> int:
    """Return the most memory in bytes that the process has had, 0 on systems without ``/proc``.

    ``ru_maxrss`` is at least that of the web server, from which the process was started.
    """
    try:
        with open("/proc/self/status") as status:  # noqa: PTH123 - after every call: faster than a Path
            return next((int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:")), 0)
    except OSError:
        return 0


if __name__ == "__main__":
    main(sys.argv[1:])
