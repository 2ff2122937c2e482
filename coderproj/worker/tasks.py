"""The periodic tasks of all apps. Does not set up Django."""

from collections.abc import Sequence
from importlib import import_module

from coderproj.worker.periodic import PeriodicTask


def periodic_tasks(paths: Sequence[str]) -> list[PeriodicTask]:
    """Return the tasks in the lists with these dotted paths. Raises ImportError and AttributeError."""
    found: list[PeriodicTask] = []
    for path in paths:
        module, _, name = path.rpartition(".")
        found += getattr(import_module(module), name)
    return found
