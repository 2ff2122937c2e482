"""The runner: the process of one job, forked by the fork server. ``messages`` is its protocol with the daemon.

It is started before there is a job for it, creates the engines, waits, runs one job and ends. It has no credentials and
ends with its daemon. No Django.
"""

import gc
import os
import queue
import shutil
import signal
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from coderproj.base.errors import DomainError
from coderproj.base.processes import adopt_orphans, signal_at_parent_death
from provisioning.daemon import engines, messages
from provisioning.daemon.descendants import kill_descendants
from provisioning.daemon.running_job import Answer, Clock, JobLog, RunningJob
from provisioning.daemon.spool import RunnerEntry
from provisioning.engine import bounds
from provisioning.engine.base import Engine, EngineError, LogLevel, Stage
from provisioning.engine.state import remove_memory_folders
from provisioning.files import archive
from provisioning.protocol import kinds

_CHUNK = 64 * 1024
_LEASE_TICK = 0.25


class Pipes:
    """The runner's ends of the two pipes, moved away from standard input and output so that no library uses them."""

    def __init__(self) -> None:
        self._incoming = os.dup(0)
        self._outgoing = os.dup(1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(2, 1)  # output of libraries goes to the daemon's log
        self._lock = threading.Lock()
        self._waiting: queue.SimpleQueue[bytes | threading.Event] | None = None

    def orders(self) -> Iterator[messages.Order]:
        """Yield the daemon's messages until it closes the pipe."""
        parts: list[bytes] = []
        while chunk := os.read(self._incoming, _CHUNK):
            *lines, rest = chunk.split(b"\n")
            for line in lines:
                yield messages.decode_order(b"".join((*parts, line)))
                parts = []
            if rest:
                parts.append(rest)

    def outlive_daemon(self) -> None:
        """Send messages in the background from now on, and drop them when the daemon has ended: a job that changes
        things outside must notice an interrupt while its daemon is frozen or waits for the server."""
        self._waiting = queue.SimpleQueue()
        threading.Thread(target=self._send_waiting, args=(self._waiting,), name="messages", daemon=True).start()

    def send(self, event: messages.Event) -> None:
        """Send a message; blocks while the daemon does not read."""
        data = messages.encode(event)
        if self._waiting is not None:
            self._waiting.put(data)
        else:
            self._write(data)

    def flush(self) -> None:
        """Wait until the daemon has received all messages, or has ended."""
        if self._waiting is not None:
            sent = threading.Event()
            self._waiting.put(sent)
            sent.wait()

    def _send_waiting(self, waiting: "queue.SimpleQueue[bytes | threading.Event]") -> None:
        is_open = True
        while True:
            item = waiting.get()
            if isinstance(item, threading.Event):
                item.set()
            elif is_open:
                try:
                    self._write(item)
                except BrokenPipeError:
                    is_open = False

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        with self._lock:
            while view:
                view = view[os.write(self._outgoing, view) :]


class Runner:
    """Waits for a job, runs it and reports its end."""

    def __init__(self, pipes: Pipes, folder: Path) -> None:
        self._pipes = pipes
        self._folder = folder
        self._log = JobLog(pipes.send)
        self._stop = threading.Event()
        self._starts: queue.SimpleQueue[messages.WarmUp | messages.Start] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Answer | None] = queue.SimpleQueue()
        self._settings: queue.SimpleQueue[messages.Prepare] = queue.SimpleQueue()
        self._engines: dict[str, Engine] = {}
        self._clock = Clock()
        self._confirmed: messages.Confirmed | None = None
        self._entry: RunnerEntry | None = None
        self._is_applying = False
        self._is_orphan = False

    def _interrupt(self) -> None:
        self._stop.set()
        self._answers.put(None)

    def _end_with_lease(self) -> None:
        """Interrupt the job, then kill what it runs, then exit, when the daemon does not confirm the lease in time.

        The exit leaves the folder, which can have a newer state than the spool.
        """
        while True:
            time.sleep(_LEASE_TICK)
            confirmed, now = self._confirmed, time.monotonic()
            if confirmed is None:
                continue
            if now > confirmed.exit_at:
                kill_descendants(os.getpid())
                os._exit(1)
            if now > confirmed.kill_at:
                kill_descendants(os.getpid())
            elif now > confirmed.interrupt_at and not self._stop.is_set():
                self._interrupt()

    def listen(self) -> None:
        """Dispatch the daemon's messages. Ends the job when the daemon ends or sends an invalid message."""
        try:
            for order in self._pipes.orders():
                match order:
                    case messages.Prepare():
                        self._settings.put(order)
                    case messages.WarmUp() | messages.Start():
                        self._starts.put(order)
                    case messages.Values() | messages.CostDecided():
                        self._answers.put(order)
                    case messages.Cancel():
                        self._interrupt()
                    case messages.Confirmed():
                        self._confirmed = order
        except (OSError, messages.Unreadable):
            traceback.print_exc()
        self.end_without_daemon()

    def end_without_daemon(self) -> None:
        """End the job, because the daemon has ended: at once, or, if the job changes things outside, gently, within the
        time of its lease.
        """
        if not self._is_applying:
            self.exit_without_daemon()
        if not self._is_orphan:
            self._is_orphan = True
            # A signal handler must not wait for the event's lock, which the interrupted thread can hold.
            threading.Thread(target=self._interrupt, name="interrupt", daemon=True).start()

    def exit_without_daemon(self) -> None:
        """Kill all descendants, remove the folder and exit: the daemon has ended."""
        kill_descendants(os.getpid())
        shutil.rmtree(self._folder, ignore_errors=True)
        remove_memory_folders(self._folder)
        os._exit(1)

    def run(self) -> None:
        """Run one job."""
        prepare = self._settings.get()
        self._set_up_engines(prepare)
        # The folder of the job's template; an engine can prepare processes there in advance.
        directory = self._folder / "template"
        directory.mkdir()
        while isinstance(start := self._starts.get(), messages.WarmUp):
            self._set_up_engines(prepare)
            for engine in self._engines.values():
                engine.warm_up(directory, with_sample_plan=self._starts.empty())
            gc.freeze()  # objects that exist now are permanent and need not be scanned
        self._clock.start()
        try:
            end = self._end_of(start, prepare)
            self._log.open(Stage.CLEANING_UP)
            self._pipes.send(messages.Measured(self._clock.seconds))
            self._pipes.send(end)
            self._pipes.flush()
        finally:
            kill_descendants(os.getpid())
            shutil.rmtree(start.directory, ignore_errors=True)
        if self._is_orphan:
            self.exit_without_daemon()

    def _set_up_engines(self, prepare: messages.Prepare) -> None:
        """Create the missing engines until a job arrives: a job needs only one of them, and importing the others can
        take longer than the job.
        """
        for name in prepare.provisioners:
            if name not in self._engines and self._starts.empty():
                with suppress(EngineError, ImportError, OSError):  # tried again, and reported, when a job needs it
                    self._engines[name] = engines.make(name, prepare.settings)

    def _end_of(self, start: messages.Start, prepare: messages.Prepare) -> messages.Event:
        try:
            engine = self._engines.get(start.provisioner) or engines.make(start.provisioner, prepare.settings)
            return self._work(start, engine, prepare.job_kinds)
        except (EngineError, DomainError) as error:
            # After a request to stop, an error was most likely caused by the interruption.
            return messages.Interrupted() if self._stop.is_set() else messages.Failed(_text(error))
        except OSError as error:
            traceback.print_exc()
            return messages.Failed(f"the job could not use its folder: {error.strerror}")
        except Exception as error:  # noqa: BLE001 - a defect of the runner must end the job, with a reason
            traceback.print_exc()
            return messages.Failed(f"internal error of the provisioner: {type(error).__name__}")

    def _work(self, start: messages.Start, engine: Engine, job_kinds: tuple[str, ...]) -> messages.Event:
        kind = kinds.load(job_kinds).of(start.job_type)
        if kind.run is None or kind.payload is None:
            raise EngineError(kinds.cannot_run(start.job_type))
        if kind.applies:
            self._keep_states(start.entry)
        log = self._log
        log.open(Stage.SETTING_UP)
        unpacked = archive.unpack(start.archive, start.directory)
        if unpacked.dropped:
            log.note(LogLevel.INFO, f"Left out of the archive: {', '.join(unpacked.dropped)}")
        self._clock.lap("unpack")
        job = RunningJob(
            self._pipes.send, log, self._clock, self._answers, self._stop, start.directory, engine, self._entry
        )
        job.check_canceled()
        result = kind.run(job, kind.payload.decode(start.payload))
        bounds.check(result)
        return messages.Finished(messages.raw(result))

    def _keep_states(self, entry: Path | None) -> None:
        """Let the job end with its lease and not with its daemon, and keep its states in the spool."""
        if entry is not None:
            self._entry = RunnerEntry(entry)
        self._pipes.outlive_daemon()
        self._is_applying = True
        threading.Thread(target=self._end_with_lease, name="lease", daemon=True).start()


def _text(error: EngineError | DomainError) -> str:
    if isinstance(error, DomainError) and error.detail:
        return f"{error.message} {error.detail}"
    return str(error)


def _belong_to(parent_pid: int) -> bool:
    """Let this process end with its parent, adopt orphans of Terraform, and be killed first when memory runs out.

    Returns False when the parent has ended already.
    """
    adopt_orphans()
    signal_at_parent_death(signal.SIGTERM)  # not SIGKILL: the children must be ended first
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")
    return os.getppid() == parent_pid


def run_job(parent_pid: int, folder: Path) -> NoReturn:
    """Run as the process of a job. Standard input and output are the ends of its pipes."""
    runner = Runner(Pipes(), folder)
    signal.signal(signal.SIGTERM, lambda *_: runner.end_without_daemon())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if not _belong_to(parent_pid):
        runner.exit_without_daemon()
    os.umask(0o022)
    threading.Thread(target=runner.listen, name="orders", daemon=True).start()
    try:
        runner.run()
    except BrokenPipeError:
        runner.exit_without_daemon()
    os._exit(0)  # do not wait for threads of an engine's libraries
