"""The process that the processes of jobs are forked from: ``python -m provisioning.daemon.nursery DAEMON_PID``.

It imports the engines once, which takes longer than many a job; a job's process then begins with them in a few
milliseconds, and shares the memory that they take. It runs no job itself, has one thread, and holds no credentials.
It ends with its daemon, and so do its children. No Django.

The daemon's orders come over a socket on standard input: first a ``messages.Prepare``, then for each child its folder
with three descriptors, the ends of its two pipes and a socket. On that socket the child's pid is told, and its end as
an exit status as in ``subprocess``. The child is reaped when the daemon has closed its end: until then the pid is the
child's and nobody else's.
"""

import gc
import os
import select
import signal
import socket
import sys
import tempfile
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from coderproj.base.processes import signal_at_parent_death
from provisioning.daemon import engines, messages, runner
from provisioning.engine.base import EngineError
from provisioning.protocol import kinds

ORDER_BYTES = 1024 * 1024
DESCRIPTORS = 3


@dataclass(slots=True)
class _Child:
    pid: int
    told: socket.socket
    has_ended: bool = False
    may_go: bool = False


class Nursery:
    """Forks children on request and tells of their ends."""

    def __init__(self, orders: socket.socket) -> None:
        self._pid = os.getpid()
        self._orders = orders
        self._children: dict[int, _Child] = {}  # by the descriptor of its socket
        self._poll = select.poll()
        self._poll.register(orders, select.POLLIN)
        # A child's end ends the wait.
        self._woken, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._poll.register(self._woken, select.POLLIN)

    def run(self) -> None:
        """Until the daemon goes away."""
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor == self._orders.fileno():
                    if not self._obey():
                        return
                elif descriptor == self._woken:
                    with suppress(BlockingIOError):
                        os.read(self._woken, 4096)
                elif child := self._children.get(descriptor):
                    child.may_go = True
                    self._poll.unregister(descriptor)
            self._look_around()

    def _obey(self) -> bool:
        """Fork one child. False when there will be no more orders."""
        folder, descriptors, _, _ = socket.recv_fds(self._orders, ORDER_BYTES, DESCRIPTORS)
        if not folder:
            return False
        stdin, stdout, told = descriptors
        try:
            pid = os.fork()
        except OSError as error:  # the daemon notices, and tries again
            print(f"no process for a job: {error}", file=sys.stderr, flush=True)
            for descriptor in descriptors:
                os.close(descriptor)
            return True
        if pid == 0:
            self._become_job(Path(os.fsdecode(folder)), stdin, stdout, told)
        _lead_group(pid)
        os.close(stdin)
        os.close(stdout)
        child = _Child(pid, socket.socket(fileno=told))
        self._children[told] = child
        self._poll.register(told, 0)  # its closing is told without being asked for
        self._tell(child, pid)
        return True

    def _become_job(self, folder: Path, stdin: int, stdout: int, told: int) -> None:
        """What the child does; does not return."""
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _lead_group(0)
            os.dup2(stdin, 0)
            os.dup2(stdout, 1)
            for descriptor in (stdin, stdout, told, self._woken, self._waker, self._orders.fileno(), *self._children):
                os.close(descriptor)
            os.chdir(folder)
            os.environ["TMPDIR"] = str(folder)
            tempfile.tempdir = None
            runner.run_job(self._pid, folder)
        except BaseException:  # noqa: BLE001 - whatever it is must not go on as a second nursery
            traceback.print_exc()
        finally:
            os._exit(1)

    def _look_around(self) -> None:
        """Tell of the children that have ended; reap those that the daemon has done with."""
        for descriptor, child in list(self._children.items()):
            if not child.has_ended:
                ended = os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                if ended is not None:
                    child.has_ended = True
                    self._tell(child, ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status)
            if child.has_ended and child.may_go:
                os.waitpid(child.pid, 0)
                child.told.close()
                del self._children[descriptor]

    def _tell(self, child: _Child, number: int) -> None:
        with suppress(OSError):  # the daemon does not want to know any more
            child.told.send(b"%d" % number)


def _lead_group(pid: int) -> None:
    """Make a child, or with 0 this process, the leader of a group, which can be killed whole. Both sides do so: from
    the moment on that its pid is told there is such a group."""
    with suppress(OSError):
        os.setpgid(pid, 0)


def _import_engines(prepare: messages.Prepare) -> None:
    kinds.load(prepare.job_kinds)
    for name in prepare.provisioners:
        with suppress(EngineError, ImportError, OSError):  # told when a job wants it
            engines.make(name, prepare.settings)
    gc.collect()
    gc.freeze()  # what is there by now stays: children need neither look through it nor copy it


def main() -> None:
    signal_at_parent_death(signal.SIGTERM)
    if os.getppid() != int(sys.argv[1]):
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    orders = socket.socket(fileno=os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    order = messages.decode_order(orders.recv(ORDER_BYTES))
    assert isinstance(order, messages.Prepare)
    _import_engines(order)
    Nursery(orders).run()


if __name__ == "__main__":
    main()
