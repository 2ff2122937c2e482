"""What workers run periodically. No Django: idle workers import this module."""

from coderproj.worker.periodic import EVERY_FOUR_SECONDS, PeriodicTask

PERIODIC_TASKS = [
    PeriodicTask(
        "workspaces",
        EVERY_FOUR_SECONDS,
        has_work="SELECT EXISTS (SELECT FROM workspaces_workspace WHERE due_at <= now())",
        run="templates_app.workspaces.executor.run_task",
    )
]
