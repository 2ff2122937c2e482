"""The daemon's main loop: claim jobs, run them, extend their leases, and stop without losing one."""

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
from provisioning.daemon.job_limits import Bounds
from provisioning.daemon.process import RunnerProcess, Spares
from provisioning.daemon.spool import Entry, Spool
from provisioning.daemon.supervisor import SHUTTING_DOWN, Supervisor
from provisioning.protocol import kinds
from provisioning.protocol.client import (
    Assignment,
    DaemonFacts,
    JobClient,
    LeaseLost,
    NotAccepted,
    Refused,
    StateKept,
    Unreachable,
)

logger = logging.getLogger(__name__)

WATCH_SECONDS = 0.05
FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.1, 2.0
SPARES = 2
DETECT_SECONDS = 60
KILLED = "the job was interrupted, because its daemon was killed"


class Daemon:
    """A daemon. ``run`` returns after ``stop``; with ``once`` when no more jobs are waiting."""

    def __init__(self, configuration: Configuration, client: JobClient, *, once: bool = False) -> None:
        self._configuration = configuration
        self._client = client
        self._once = once
        self._bounds = Bounds(
            job=configuration.job_seconds,
            cancel_grace=configuration.cancel_grace_seconds,
            lease=configuration.lease_seconds,
            build=configuration.build_seconds,
            apply_grace=configuration.apply_grace_seconds,
        )
        self._running: dict[Supervisor, threading.Thread] = {}
        self._registering = threading.Lock()
        self._deregistered = False
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._stop_now = threading.Event()
        self._finished = threading.Event()
        self._facts = _facts(configuration)
        self._kinds = kinds.load(configuration.job_kinds)
        prepare = messages.Prepare(configuration.provisioners, configuration.engine, configuration.job_kinds)
        self._children = Children(configuration.environment, prepare)
        self._spool = Spool(configuration.spool, client.server)
        self._spares = Spares(min(SPARES, configuration.concurrency), lambda: RunnerProcess(self._children, prepare))

    # ------------------------------------------------------------------ called from signal handlers and other threads
    def stop(self) -> None:
        """Claim no more jobs and stop when the running ones have ended. A second call returns them to the queue."""
        if self._stopping.is_set():
            self._stop_now.set()
        self._stopping.set()
        self._client.wake()

    # ------------------------------------------------------------------ the main thread
    def run(self) -> None:
        """Run the daemon. Returns when it has stopped and none of its jobs is running.

        Raises Refused and NotAccepted when the server rejects the daemon.
        """
        try:
            if not self._call_until_answered(self._register):
                return
            logger.info(
                "Daemon %s runs up to %d jobs concurrently, tags %s",
                self._facts.name,
                self._facts.concurrency,
                " ".join(f"{key}={value}" for key, value in sorted(self._facts.tags.items())),
            )
            self._spares.start()
            for work in (self._watch, self._send_heartbeats, self._send_left_states, self._detect_engine):
                threading.Thread(target=work, name=work.__name__.strip("_"), daemon=True).start()
            self._work()
            self._deregister()
        finally:
            for supervisor in self._supervisors():
                supervisor.release()
            self._join(max(self._bounds.lease, self._bounds.apply_grace + self._bounds.cancel_grace))
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
                # Read before the claim: a job that ends after it may have kept the slot or left another job waiting.
                was_idle = not self._supervisors()
                if not self._stopping.is_set() and self._has_slot() and self._claim():
                    continue
                if self._once and was_idle:
                    return
                wakeup = self._client.wait_for_jobs(
                    self._client.poll_seconds if drain_until is None else 0.5,
                    has_slot=drain_until is None and self._has_slot(),
                )
                backoff.reset()
            except Unreachable as error:
                if not backoff.failures:
                    logger.warning("The server is unreachable: %s. Trying again.", error)
                self._pause(backoff.fail())
                continue
            for supervisor in self._supervisors():
                if supervisor.assignment.job_id in wakeup.canceling:
                    supervisor.cancel()

    def _drain(self, until: float | None) -> float:
        """Return the jobs to the queue when the time to stop is over. Returns the deadline."""
        if until is None:
            until = time.monotonic() + self._configuration.drain_seconds
            logger.info("Stopping: %d jobs are still running", len(self._supervisors()))
        if self._stop_now.is_set() or time.monotonic() > until:
            for supervisor in self._supervisors():
                supervisor.release()
        return until

    def _claim(self) -> bool:
        """Claim a job and start it. Returns False if there is none."""
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
            spool=self._spool,
        )
        if self._stopping.is_set():
            self._release(assignment)
            return False
        thread = threading.Thread(
            target=self._supervise, args=(supervisor,), name=f"job-{assignment.job_id}", daemon=True
        )
        with self._lock:
            self._running[supervisor] = thread
        thread.start()
        return True

    def _release(self, assignment: Assignment) -> None:
        """Return a job to the queue that was claimed while the daemon was stopping."""
        try:
            self._call_until_answered(lambda: self._client.release(assignment.lease, SHUTTING_DOWN))
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

    def _call_until_answered(self, call: Callable[[], object]) -> bool:
        """Call the server until it answers. Returns False when the daemon must stop before that."""
        backoff = Backoff(FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS)
        while True:
            try:
                call()
            except Unreachable as error:
                if not backoff.failures:
                    logger.warning("The server is unreachable: %s. Trying again.", error)
                pause = backoff.fail()
                if self._stopping.is_set() and backoff.full_pause >= 1:
                    return False
                self._pause(pause)
            else:
                return True

    def _pause(self, seconds: float) -> None:
        """Sleep in short steps, because a signal handler cannot interrupt a wait for an event."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self._stop_now.is_set():
            time.sleep(min(left, 0.1))

    def _deregister(self) -> None:
        with self._registering:
            self._deregistered = True
            try:
                self._client.deregister()
            except (Unreachable, NotAccepted):
                logger.warning("Could not deregister the daemon: the server is unreachable")

    # ------------------------------------------------------------------ separate threads
    def _watch(self) -> None:
        """Enforce the time limits of jobs. Never calls the server, so that it cannot be delayed."""
        while not self._finished.wait(WATCH_SECONDS):
            for supervisor in self._supervisors():
                supervisor.watch()

    def _send_heartbeats(self) -> None:
        """Extend the leases and send the daemon's heartbeat."""
        interval = self._bounds.lease / 3
        while not self._finished.wait(interval):
            for supervisor in self._supervisors():
                self._try(partial(self._extend_lease, supervisor))
            self._try(self._client.refresh)

    def _extend_lease(self, supervisor: Supervisor) -> None:
        began = time.monotonic()
        try:
            is_canceled = self._client.heartbeat(supervisor.assignment.lease)
        except LeaseLost:
            supervisor.abandon()
            return
        supervisor.confirm(began)
        if is_canceled:
            supervisor.cancel()

    def _send_left_states(self) -> None:
        """Send what killed daemons of this machine have left: at the start, and as long as this daemon runs."""
        while True:
            self._try(partial(deliver_left_states, self._spool, self._client))
            if self._finished.wait(self._bounds.lease / 3):
                return

    def _try(self, call: Callable[[], object]) -> None:
        try:
            call()
        except Unreachable:
            pass  # the main loop logs this
        except NotAccepted:
            self._client.wake()  # the main loop then receives the same error
        except Exception:
            logger.exception("A heartbeat failed")

    def _detect_engine(self) -> None:
        """Detect the engine and the sandbox of this machine, and register with them."""
        equipment = detect(self._configuration)
        if equipment.problem:
            logger.warning("Terraform templates cannot be planned here: %s", equipment.problem)
        else:
            logger.info("Terraform templates are planned with %s, sandbox %s", equipment.engine, equipment.sandbox)
        for warning in equipment.warnings:
            logger.warning("The settings of providers: %s", warning)
        self._facts = replace(self._facts, engine=equipment.engine[:128], sandbox=equipment.sandbox)
        self._try(self._register)

    def _register(self) -> None:
        with self._registering:
            if self._deregistered:  # the detection finished after the daemon had stopped
                return
            registration = self._client.register(self._facts)
            self._facts = replace(self._facts, tags=registration.tags)


def deliver_left_states(spool: Spool, client: JobClient) -> None:
    """Send the states that belong to nobody, and end their jobs, which do not run any more. Raises Unreachable and
    NotAccepted."""
    for entry in spool.left():
        try:
            _deliver(entry, client)
        except (Unreachable, NotAccepted):
            raise
        except (Refused, LeaseLost, RuntimeError) as error:
            spool.refuse(entry, str(error) or "the lease belongs to no such job")
        else:
            logger.info("Job %s: sent what a killed daemon has left", entry.facts.job_id)
            entry.remove()
        finally:
            entry.close()


def _deliver(entry: Entry, client: JobClient) -> None:
    """Send the state of a job that does not run any more, and end the job."""
    try:
        client.store_state(entry.lease, entry.last_state(), is_last=True)
    except StateKept:
        return
    try:
        client.fail(entry.lease, KILLED)
    except NotAccepted:
        raise
    except LeaseLost:
        pass  # it has ended already


def detect(configuration: Configuration) -> Equipment:
    """Detect Terraform and the sandbox in a process with the environment of a runner."""
    try:
        answer = subprocess.run(
            (sys.executable, "-m", "provisioning.daemon.engines"),
            input=msgspec.json.encode(configuration.engine),
            stdout=subprocess.PIPE,
            cwd=SOURCE_DIRECTORY,
            env=configuration.environment,
            timeout=DETECT_SECONDS,
            check=True,
        )
        return msgspec.json.decode(answer.stdout, type=Equipment)
    except (OSError, subprocess.SubprocessError, msgspec.MsgspecError) as error:
        return Equipment(problem=f"the detection of Terraform failed: {type(error).__name__}")


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
