"""Passes of the executor in tests, and when workspaces are due."""

from datetime import timedelta

from templates_app.workspaces import executor
from templates_app.workspaces.models import WorkspaceBuild

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
HOURLY = "0 * * * *"
START, STOP = ("start", "autostart"), ("stop", "autostop")


def run():
    """Run a pass; return the transitions and reasons of the builds that it queued."""
    before = set(WorkspaceBuild.objects.values_list("pk", flat=True))
    done = executor.run()
    rows = WorkspaceBuild.objects.exclude(pk__in=before).order_by("created_at")
    made = [(row.transition, row.reason) for row in rows]
    assert done.built == len(made)
    return made


def in_minutes(workspace):
    """Return in how many minutes the workspace is due, None if it is not."""
    workspace.refresh_from_db()
    if workspace.due_at is None:
        return None
    ended = workspace.latest_build.job.completed_at
    return round((workspace.due_at - ended) / MINUTE)
