"""``manage.py worker``: run the periodic tasks."""

import signal
import threading
import time
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import close_old_connections
from django.utils.module_loading import import_string

from coderproj.worker.tasks import periodic_tasks

# Seconds between two runs of a task, and without work until its process ends.
PAUSE_SECONDS = 2.0
IDLE_SECONDS = 20.0


class Command(BaseCommand):
    help = (
        "Start and stop workspaces at their times. Any number of workers may run, on any machine with access to the"
        " database. SIGTERM: stop."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        names = [task.name for task in periodic_tasks(settings.PERIODIC_TASKS)]
        parser.add_argument("--task", choices=names, help="run this task only, until it has no work (workers do this)")

    def handle(self, *args: Any, **options: Any) -> None:
        tasks = periodic_tasks(settings.PERIODIC_TASKS)
        if options["task"] is None:
            from coderproj.worker.running import main  # slow to import

            main(tasks)
            return
        stopping = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopping.set())
        (path,) = [task.run for task in tasks if task.name == options["task"]]
        run_while_working(import_string(path), stopping)


def run_while_working(run: Callable[[Callable[[], bool]], int], stopping: threading.Event) -> None:
    """Run a task again and again, until it has had nothing to do for IDLE_SECONDS, or ``stopping`` is set."""
    worked = time.monotonic()
    while not stopping.is_set() and time.monotonic() - worked < IDLE_SECONDS:
        if run(stopping.is_set):
            worked = time.monotonic()
        close_old_connections()
        stopping.wait(PAUSE_SECONDS)
