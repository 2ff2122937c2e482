"""Periodic tasks. Apps declare them in modules that do not import Django, which the setting PERIODIC_TASKS lists."""

from dataclasses import dataclass

# For tasks that look for something to do: with the start of a process, work waits less than 10 s.
EVERY_FOUR_SECONDS = "* * * * * */4"


@dataclass(frozen=True, slots=True)
class PeriodicTask:
    """A function that workers run at the times of ``cron``, whose sixth field has the seconds, if there is work.

    ``has_work`` is a statement that returns a boolean. ``run`` is the dotted path of the function, which receives one
    that returns True when the worker stops, and which returns the number of things done. If it raises, it runs again.
    Two workers can run it at the same time.
    """

    name: str
    cron: str
    has_work: str
    run: str
