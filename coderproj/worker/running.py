"""Run the periodic tasks with Procrastinate, until stopped. Does not set up Django.

A worker mostly waits. It needs half of the memory without Django, so it starts a process with Django, ``manage.py
worker --task NAME``, when a task has work. The process ends when it has had nothing to do for a while.

Procrastinate's jobs are not kept: a worker queues a task at its time, unless another worker did, one of them runs it,
and it is deleted. A task that fails is repeated, and then reported in the log.

Procrastinate remembers the last time at which it queued a task. If the clock is set back, it would queue nothing until
that time comes again; if it is set forward, it would queue all times in between. So the worker begins again when the
clock was set.
"""

import asyncio
import logging
import logging.config
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from procrastinate import App, JobContext, PsycopgConnector, RetryStrategy
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Status
from psycopg import OperationalError, sql

from coderproj.base.backoff import Backoff
from coderproj.base.processes import end_with_parent
from coderproj.database.libpq import parameters
from coderproj.worker.clock import ClockWatch
from coderproj.worker.periodic import PeriodicTask

logger = logging.getLogger(__name__)

QUEUE = "periodic"
RETRIES, RETRY_SECONDS = 3, 1
CONNECT_SECONDS = 10.0
FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 1.0, 30.0
# A worker that ran this long did not fail in a row.
HEALTHY_SECONDS = 60.0


class TaskFailed(Exception):
    """The process of a task failed. Its output has the reason."""


def main(tasks: Sequence[PeriodicTask]) -> None:
    """Run the tasks until SIGTERM or SIGINT."""
    logging.config.dictConfig(settings.LOGGING)
    asyncio.run(_main(tasks))


async def _main(tasks: Sequence[PeriodicTask]) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    await run(tasks, stopping)


async def run(tasks: Sequence[PeriodicTask], stopping: asyncio.Event) -> None:
    """Run the tasks until ``stopping`` is set. Begins again after a lost connection."""
    app = _app(tasks)
    backoff = Backoff(FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS)
    while not stopping.is_set():
        began = time.monotonic()
        # No task waits for another one: each has a place, and one is left for the times at which all of them run.
        error = await _work_until(app, len(tasks) + 1, stopping)
        if error is None:
            continue
        if time.monotonic() - began > HEALTHY_SECONDS:
            backoff.reset()
        pause = backoff.fail()
        is_expected = isinstance(error, ConnectorException | OperationalError)
        reason = "the database is unavailable" if is_expected else str(error)
        logger.warning(
            "The worker ended: %s. It starts again in %.0f s", reason, pause, exc_info=None if is_expected else error
        )
        await _first_of(stopping.wait(), asyncio.sleep(pause))
    logger.info("The worker has stopped")


# ---------------------------------------------------------------------- Procrastinate
def _app(tasks: Sequence[PeriodicTask]) -> App:
    database = settings.DATABASES["default"]
    prepare_threshold = database["OPTIONS"].get("prepare_threshold")

    async def configure(connection: Any) -> None:
        """Do not wait for the disk: a task that a crash of the database undoes comes again."""
        await connection.set_autocommit(True)
        await connection.execute("SET synchronous_commit = off")
        if role := database["OPTIONS"].get("assume_role"):
            await connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))

    app = App(
        connector=PsycopgConnector(
            kwargs={**parameters(database), "prepare_threshold": prepare_threshold},
            configure=configure,
            min_size=1,
            max_size=1,
            timeout=CONNECT_SECONDS,
            name="worker",
        )
    )
    for task in tasks:
        _register(app, task)
    return app


def _register(app: App, task: PeriodicTask) -> None:
    is_running = asyncio.Lock()

    async def run_task(context: JobContext, timestamp: int) -> None:
        if is_running.locked():
            return  # the task's process goes on until it has no work
        async with is_running:
            await run_if_needed()

    async def run_if_needed() -> None:
        row = await app.connector.execute_query_one_async(f"SELECT ({task.has_work}) AS has_work")
        if row["has_work"]:
            await _run_process(task)

    retry = RetryStrategy(max_attempts=RETRIES, wait=RETRY_SECONDS)
    registered = app.task(name=task.name, queue=QUEUE, pass_context=True, retry=retry)(run_task)
    app.periodic(cron=task.cron)(registered)


async def _run_process(task: PeriodicTask) -> None:
    """Run the task in a process with Django. Raises TaskFailed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "manage.py",
        "worker",
        "--task",
        task.name,
        cwd=settings.BASE_DIR,
        stdin=asyncio.subprocess.DEVNULL,
        start_new_session=True,  # a terminal sends Ctrl-C to the worker only
        preexec_fn=end_with_parent(signal.SIGTERM),
    )
    try:
        status = await process.wait()
    except asyncio.CancelledError:
        process.terminate()
        await process.wait()
        raise
    if status:
        raise TaskFailed(f"the process of the task {task.name} ended with status {status}")


# ---------------------------------------------------------------------- one life of a worker
async def _work_until(app: App, concurrency: int, stopping: asyncio.Event) -> BaseException | None:
    """Work until the worker must stop or the clock was set. Return the error that ended the work before."""
    work = asyncio.create_task(_work(app, concurrency))
    await _first_of(asyncio.shield(work), stopping.wait(), ClockWatch().jump())
    if not work.done():
        if not stopping.is_set():
            logger.warning("The clock was set: the worker starts again")
        work.cancel()
        await asyncio.wait([work])
        return None
    return work.exception() or RuntimeError("a part of it failed")


async def _work(app: App, concurrency: int) -> None:
    async with app.open_async():
        # The tasks of workers that were killed.
        for job in await app.job_manager.get_stalled_jobs(queue=QUEUE):
            await app.job_manager.finish_job(job, status=Status.ABORTED, delete_job=True)
        logger.info("The worker runs")
        await app.run_worker_async(
            queues=[QUEUE],
            concurrency=concurrency,
            delete_jobs="always",
            install_signal_handlers=False,
            shutdown_graceful_timeout=0.0,  # cancels running tasks, which end their processes
        )


async def _first_of(*waiting: Any) -> None:
    """Wait for the first of these to end, and cancel the others."""
    tasks = [asyncio.ensure_future(one) for one in waiting]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
