"""The fork server, which forks the runners: ``python -m provisioning.daemon.fork_server DAEMON_PID``.

It imports the engines once, which takes longer than many jobs. A forked runner starts with them in a few milliseconds
and shares their memory. The fork server runs no jobs, has one thread, and holds no credentials. It ends with its
daemon, and so do its children. No Django.

The daemon sends orders over a socket on standard input: first a ``messages.Prepare``, then for each child its folder
with three descriptors, the ends of its two pipes and a socket. The fork server sends the child's pid on that socket,
and later its exit status as in ``subprocess``. It reaps the child after the daemon has closed its end of the socket, so
that the pid is not reused before.
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
    channel: socket.socket
    has_ended: bool = False
    released: bool = False


class ForkServer:
    """Forks children on request and reports their exit statuses."""

    def __init__(self, orders: socket.socket) -> None:
        self._pid = os.getpid()
        self._orders = orders
        self._children: dict[int, _Child] = {}  # by the descriptor of its socket
        self._poll = select.poll()
        self._poll.register(orders, select.POLLIN)
        # SIGCHLD ends the poll.
        self._woken, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._poll.register(self._woken, select.POLLIN)

    def run(self) -> None:
        """Serve requests until the daemon closes its socket."""
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor == self._orders.fileno():
                    if not self._fork_child():
                        return
                elif descriptor == self._woken:
                    with suppress(BlockingIOError):
                        os.read(self._woken, 4096)
                elif child := self._children.get(descriptor):
                    child.released = True
                    self._poll.unregister(descriptor)
            self._reap()

    def _fork_child(self) -> bool:
        """Fork one child. Returns False when the daemon has closed its socket."""
        folder, descriptors, _, _ = socket.recv_fds(self._orders, ORDER_BYTES, DESCRIPTORS)
        if not folder:
            return False
        stdin, stdout, channel = descriptors
        try:
            pid = os.fork()
        except OSError as error:  # the daemon notices and tries again
            print(f"cannot fork a process for a job: {error}", file=sys.stderr, flush=True)
            for descriptor in descriptors:
                os.close(descriptor)
            return True
        if pid == 0:
            self._become_job(Path(os.fsdecode(folder)), stdin, stdout, channel)
        _lead_group(pid)
        os.close(stdin)
        os.close(stdout)
        child = _Child(pid, socket.socket(fileno=channel))
        self._children[channel] = child
        self._poll.register(channel, 0)  # poll always reports that the other end was closed
        self._send(child, pid)
        return True

    def _become_job(self, folder: Path, stdin: int, stdout: int, channel: int) -> None:
        """Run a job in the child process. Does not return."""
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _lead_group(0)
            os.dup2(stdin, 0)
            os.dup2(stdout, 1)
            for descriptor in (
                stdin,
                stdout,
                channel,
                self._woken,
                self._waker,
                self._orders.fileno(),
                *self._children,
            ):
                os.close(descriptor)
            os.chdir(folder)
            os.environ["TMPDIR"] = str(folder)
            tempfile.tempdir = None
            runner.run_job(self._pid, folder)
        except BaseException:  # noqa: BLE001 - the child must never continue as a second fork server
            traceback.print_exc()
        finally:
            os._exit(1)

    def _reap(self) -> None:
        """Report the exit statuses of ended children; reap those that the daemon has released."""
        for descriptor, child in list(self._children.items()):
            if not child.has_ended:
                ended = os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                if ended is not None:
                    child.has_ended = True
                    self._send(child, ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status)
            if child.has_ended and child.released:
                os.waitpid(child.pid, 0)
                child.channel.close()
                del self._children[descriptor]

    def _send(self, child: _Child, number: int) -> None:
        with suppress(OSError):  # the daemon has closed the socket
            child.channel.send(b"%d" % number)


def _lead_group(pid: int) -> None:
    """Make a child (or, with 0, this process) the leader of a process group, which can be killed as a whole. Parent and
    child both do so, so that the group exists when the pid is reported."""
    with suppress(OSError):
        os.setpgid(pid, 0)


def _import_engines(prepare: messages.Prepare) -> None:
    kinds.load(prepare.job_kinds)
    for name in prepare.provisioners:
        with suppress(EngineError, ImportError, OSError):  # reported when a job needs it
            engines.make(name, prepare.settings)
    gc.collect()
    gc.freeze()  # objects that exist now are permanent: children neither scan nor copy them


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
    ForkServer(orders).run()


if __name__ == "__main__":
    main()
