"""The daemon: claims jobs, has them run, keeps their leases alive, and stops without losing one."""

import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import msgspec

from coderproj import __version__
from coderproj.base.backoff import Backoff
from provisioning.daemon import messages
from provisioning.daemon.children import SOURCE_DIRECTORY, Children
from provisioning.daemon.configuration import Configuration
from provisioning.daemon.engines import Equipment
from provisioning.daemon.process import RunnerProcess, Spares
from provisioning.daemon.supervisor import SHUTTING_DOWN, Bounds, Supervisor
from provisioning.protocol import kinds
from provisioning.protocol.client import Assignment, DaemonFacts, JobClient, LeaseLost, NotAccepted, Unreachable

logger = logging.getLogger(__name__)

WATCH_SECONDS = 0.05
FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.1, 2.0
SPARES = 2
LOOK_SECONDS = 60


class Daemon:
    """``run`` works until ``stop``; with ``once`` only until no job waits."""

    def __init__(self, configuration: Configuration, client: JobClient, *, once: bool = False) -> None:
        self._configuration = configuration
        self._client = client
        self._once = once
        self._bounds = Bounds(
            job=configuration.job_seconds,
            cancel_grace=configuration.cancel_grace_seconds,
            lease=configuration.lease_seconds,
        )
        self._running: dict[Supervisor, threading.Thread] = {}
        self._registering = threading.Lock()
        self._said_goodbye = False
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._hurry = threading.Event()
        self._finished = threading.Event()
        self._facts = _facts(configuration)
        self._kinds = kinds.load(configuration.job_kinds)
        prepare = messages.Prepare(configuration.provisioners, configuration.engine, configuration.job_kinds)
        self._children = Children(configuration.environment, prepare)
        self._spares = Spares(min(SPARES, configuration.concurrency), lambda: RunnerProcess(self._children, prepare))

    # ------------------------------------------------------------------ from signal handlers and other threads
    def stop(self) -> None:
        """Claim nothing more, end when the running jobs have ended. A second call gives those back at
        once.
        """
        if self._stopping.is_set():
            self._hurry.set()
        self._stopping.set()
        self._client.wake()

    # ------------------------------------------------------------------ the main thread
    def run(self) -> None:
        """Work. Returns when the daemon has stopped and none of its jobs runs any more.

        Raises Refused and NotAccepted when the server will not have the daemon.
        """
        try:
            if not self._persist(self._register):
                return
            logger.info(
                "Daemon %s takes up to %d jobs at a time, tags %s",
                self._facts.name,
                self._facts.concurrency,
                " ".join(f"{key}={value}" for key, value in sorted(self._facts.tags.items())),
            )
            self._spares.start()
            for work in (self._watch, self._beat, self._look_around):
                threading.Thread(target=work, name=work.__name__.strip("_"), daemon=True).start()
            self._work()
            self._say_goodbye()
        finally:
            for supervisor in self._supervisors():
                supervisor.release()
            self._join(self._bounds.lease)
            self._finished.set()
            self._spares.close()
            self._children.close()
            self._client.close()
        logger.info("Daemon %s has stopped", self._facts.name)

    def _work(self) -> None:
        backoff = Backoff(FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS)
        drain_until: float | None = None
        while True:
            if self._stopping.is_set():
                if not self._supervisors():
                    return
                drain_until = self._drain(drain_until)
            try:
                if not self._stopping.is_set() and self._has_slot() and self._claim():
                    continue
                if self._once and not self._supervisors():
                    return
                wakeup = self._client.wait_for_work(
                    self._client.poll_seconds if drain_until is None else 0.5,
                    has_slot=drain_until is None and self._has_slot(),
                )
                backoff.reset()
            except Unreachable as error:
                if not backoff.failures:
                    logger.warning("The server cannot be reached: %s. Trying again.", error)
                self._pause(backoff.fail())
                continue
            for supervisor in self._supervisors():
                if supervisor.assignment.job_id in wakeup.canceling:
                    supervisor.cancel()

    def _drain(self, until: float | None) -> float:
        """While stopping: give the jobs back when the time is up. Returns that time."""
        if until is None:
            until = time.monotonic() + self._configuration.drain_seconds
            logger.info("Stopping: %d jobs still run", len(self._supervisors()))
        if self._hurry.is_set() or time.monotonic() > until:
            for supervisor in self._supervisors():
                supervisor.release()
        return until

    def _claim(self) -> bool:
        """Take a job if there is one and have it run."""
        claimed_at = time.monotonic()
        assignment = self._client.acquire()
        if assignment is None:
            return False
        supervisor = Supervisor(
            assignment,
            kind=self._kinds.of(assignment.job_type),
            client=self._client,
            spares=self._spares,
            bounds=self._bounds,
            claimed_at=claimed_at,
        )
        if self._stopping.is_set():
            self._give_back(assignment)
            return False
        thread = threading.Thread(
            target=self._supervise, args=(supervisor,), name=f"job-{assignment.job_id}", daemon=True
        )
        with self._lock:
            self._running[supervisor] = thread
        thread.start()
        return True

    def _give_back(self, assignment: Assignment) -> None:
        """Stopping was asked for while the job was being taken."""
        try:
            self._persist(lambda: self._client.release(assignment.lease, SHUTTING_DOWN))
        except LeaseLost:
            logger.info("Job %s: dropped", assignment.job_id)

    def _supervise(self, supervisor: Supervisor) -> None:
        try:
            supervisor.run()
        finally:
            with self._lock:
                del self._running[supervisor]
            self._client.wake()

    def _has_slot(self) -> bool:
        return len(self._running) < self._configuration.concurrency

    def _supervisors(self) -> list[Supervisor]:
        with self._lock:
            return list(self._running)

    def _join(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        with self._lock:
            threads = list(self._running.values())
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _persist(self, call: Callable[[], object]) -> bool:
        """Call the server until it answers; False when the daemon is in a hurry to stop before that."""
        backoff = Backoff(FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS)
        while True:
            try:
                call()
            except Unreachable as error:
                if not backoff.failures:
                    logger.warning("The server cannot be reached: %s. Trying again.", error)
                pause = backoff.fail()
                if self._stopping.is_set() and backoff.full_pause >= 1:
                    return False
                self._pause(pause)
            else:
                return True

    def _pause(self, seconds: float) -> None:
        """Wait, in short pieces: a signal handler does not end a wait for an event that is set already."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self._hurry.is_set():
            time.sleep(min(left, 0.1))

    def _say_goodbye(self) -> None:
        with self._registering:
            self._said_goodbye = True
            try:
                self._client.deregister()
            except (Unreachable, NotAccepted):
                logger.warning("The server could not be told that the daemon stops")

    # ------------------------------------------------------------------ threads of their own
    def _watch(self) -> None:
        """Hold jobs to their bounds. It never talks to the server, so that nothing can hold it up."""
        while not self._finished.wait(WATCH_SECONDS):
            for supervisor in self._supervisors():
                supervisor.watch()

    def _beat(self) -> None:
        """Prolong the leases and tell that the daemon lives."""
        interval = self._bounds.lease / 3
        while not self._finished.wait(interval):
            for supervisor in self._supervisors():
                self._safely(partial(self._prolong, supervisor))
            self._safely(self._client.refresh)

    def _prolong(self, supervisor: Supervisor) -> None:
        began = time.monotonic()
        try:
            is_canceled = self._client.heartbeat(supervisor.assignment.lease)
        except LeaseLost:
            supervisor.abandon()
            return
        supervisor.confirm(began)
        if is_canceled:
            supervisor.cancel()

    def _safely(self, call: Callable[[], object]) -> None:
        try:
            call()
        except Unreachable:
            pass  # whoever needs an answer says so
        except NotAccepted:
            self._client.wake()  # who waits for work finds out, too
        except Exception:
            logger.exception("A heartbeat failed")

    def _look_around(self) -> None:
        """Find out what this machine has, and tell."""
        equipment = look(self._configuration)
        if equipment.problem:
            logger.warning("Terraform templates cannot be planned here: %s", equipment.problem)
        else:
            logger.info("Terraform templates are planned with %s, sandbox %s", equipment.engine, equipment.sandbox)
        self._facts = replace(self._facts, engine=equipment.engine[:128], sandbox=equipment.sandbox)
        self._safely(self._register)

    def _register(self) -> None:
        with self._registering:
            if self._said_goodbye:  # who finds out about the machine only now is too late
                return
            registration = self._client.register(self._facts)
            self._facts = replace(self._facts, tags=registration.tags)


def look(configuration: Configuration) -> Equipment:
    """Ask a process like a job's what there is to plan Terraform templates with."""
    try:
        answer = subprocess.run(
            (sys.executable, "-m", "provisioning.daemon.engines"),
            input=msgspec.json.encode(configuration.engine),
            stdout=subprocess.PIPE,
            cwd=SOURCE_DIRECTORY,
            env=configuration.environment,
            timeout=LOOK_SECONDS,
            check=True,
        )
        return msgspec.json.decode(answer.stdout, type=Equipment)
    except (OSError, subprocess.SubprocessError, msgspec.MsgspecError) as error:
        return Equipment(problem=f"looking for Terraform failed: {type(error).__name__}")


def _facts(configuration: Configuration) -> DaemonFacts:
    return DaemonFacts(
        name=configuration.name,
        tags=configuration.tags,
        provisioners=configuration.provisioners,
        concurrency=configuration.concurrency,
        version=__version__,
        hostname=socket.gethostname(),
        engine="",
        sandbox="",
    )
